#include "sqlite_backend.hpp"

#include <stdlib.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <weir/adapters/sqlite_async.hpp>

namespace query_service {

namespace asio = boost::asio;

std::filesystem::path SqliteConnector::file_of(Tenant tenant) const {
    std::filesystem::path file = path;
    if (tenant != Tenant::nobody) {
        file += ".tenant-" + to_string(tenant);
    }
    return file;
}

weir::sqlite::Options SqliteConnector::options_of(std::filesystem::path const& file) const {
    // In WAL mode NORMAL loses nothing when a process dies, only when the machine does; a sync of the disk at every
    // commit would measure the disk.
    return {.path = file.string(), .wal = true, .pragmas = {{"synchronous", "normal"}}};
}

SqliteConn SqliteConnector::connect() const {
    if (sharing == Sharing::one_ledger) {
        return SqliteConn{options_of(path), line};
    }
    // Opens no file: what is attached is all that there is to see.
    SqliteConn conn{{.mode = weir::sqlite::Mode::memory}, line};
    reset(conn);
    return conn;
}

void SqliteConnector::close(SqliteConn& conn) const {
    if (conn.lost()) {
        return;  // there is nobody to tell
    }
    // SQLite's advice for the end of a connection. If a writer is in the way it fails, which costs nothing.
    conn.db().busy_timeout(std::chrono::milliseconds{0});
    conn.db().exec("PRAGMA optimize");
}

SqliteBackend::TemporaryDirectory::TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "query_service_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
        throw std::system_error(errno, std::generic_category(), "cannot make the temporary directory " + name);
    }
    path = name;
}

void SqliteBackend::TemporaryDirectory::remove() noexcept {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
}

SqliteBackend::SqliteBackend(Options const& options)
    : accounts_(options.accounts),
      tenants_(options.tenants),
      directory_(options.db.empty() ? std::make_unique<TemporaryDirectory>() : nullptr),
      line_(std::make_shared<Line>()),
      connector_{
          directory_ ? directory_->path / "ledger.db" : std::filesystem::path{options.db.substr(sizeof("sqlite:") - 1)},
          options.tenants == 0 ? SqliteConnector::Sharing::one_ledger : SqliteConnector::Sharing::by_tenants, line_},
      // A thread for each connection that may be leased, so that no lease waits for a thread; more would only wait
      // for SQLite's one writer.
      threads_(std::clamp<std::size_t>(options.high, 1, 32)) {}

std::string SqliteBackend::describe() const {
    return std::string("SQLite ") + sqlite3_libversion() + ", " + connector_.path.string();
}

void SqliteBackend::prepare() {
    keepers_.clear();
    for (std::uint32_t number = 0; number <= tenants_; ++number) {
        auto const tenant = static_cast<Tenant>(number);
        auto const file = connector_.file_of(tenant);
        // Where there are tenants, nobody has nothing.
        auto const accounts = tenant == Tenant::nobody && tenants_ > 0 ? 0 : accounts_;
        // Kept open throughout: the last connection to close would have to write the whole log back into the file.
        Conn& keeper = keepers_.emplace_back(connector_.options_of(file));
        try {
            keeper.run_text("BEGIN IMMEDIATE");
            for (std::string const& sql : ledger_script(tenant, accounts)) {
                keeper.run_text(sql);
            }
            keeper.run_text("COMMIT");
        } catch (boost::system::system_error const& error) {
            throw DatabaseError{error.code(), "cannot use " + file.string() + ": " + error.what()};
        }
    }
}

Audit SqliteBackend::audit(Tenant tenant) {
    Conn& keeper = keepers_.at(static_cast<std::size_t>(tenant));
    return read_audit([&](char const* sql) { return keeper.run_text(sql); });
}

void SqliteBackend::clean_up() noexcept {
    keepers_.clear();
    if (directory_) {
        directory_->remove();
    }
}

void SqliteBackend::run(Conn& conn, Operation& operation) {
    while (operation.advance(conn.run(operation.statement()))) {
    }
}

template <class Function>
asio::awaitable<std::invoke_result_t<Function>> SqliteBackend::on_database_thread(Function function) {
    // The inner coroutine never suspends: it is a call on another thread, awaited here, exception included.
    auto call = [&function]() -> asio::awaitable<std::invoke_result_t<Function>> { co_return function(); };
    co_return co_await asio::co_spawn(threads_, call, asio::use_awaitable);
}

asio::awaitable<void> SqliteBackend::async_run(Conn& conn, Operation& operation) {
    // One hop for the whole request, not one for each statement.
    auto const request = [&](weir::sqlite::Connection&) { run(conn, operation); };
    co_await weir::sqlite::async_run(threads_.get_executor(), conn.db(), request);
}

SqliteConn SqliteBackend::open(Tenant tenant) {
    Conn conn = connector_.connect();
    if (tenant != Tenant::nobody) {
        connector_.apply(conn, tenant);
    }
    return conn;
}

asio::awaitable<std::unique_ptr<SqliteConn>> SqliteBackend::async_open(Tenant tenant) {
    return on_database_thread([this, tenant] { return std::make_unique<Conn>(open(tenant)); });
}

asio::awaitable<void> SqliteBackend::async_close(std::unique_ptr<Conn> conn) {
    co_await on_database_thread([&] { conn.reset(); });
}

}  // namespace query_service
