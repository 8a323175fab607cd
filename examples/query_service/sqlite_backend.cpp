#include "sqlite_backend.hpp"

#include <stdlib.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>
#include <cerrno>
#include <string_view>
#include <system_error>

namespace query_service {

namespace asio = boost::asio;

namespace {

constexpr int busy_timeout_ms = 5'000;

class SqliteCategory final : public boost::system::error_category {
public:
    char const* name() const noexcept override { return "sqlite"; }
    std::string message(int code) const override { return sqlite3_errstr(code); }
};

DatabaseError failure(int code, std::string text) {
    static SqliteCategory const category;
    return {boost::system::error_code{code, category}, std::move(text)};
}

constexpr char const* sql_of(Query query) {
    // IMMEDIATE: a transaction that began as a reader could be refused when it turns writer, without waiting.
    return query == Query::begin ? "BEGIN IMMEDIATE" : common_sql[static_cast<std::size_t>(query)];
}

}  // namespace

SqliteConn SqliteConn::open(std::filesystem::path const& path) {
    sqlite3* db = nullptr;
    // NOMUTEX: the lease sees to it that one thread at a time is in here.
    int const code =
        sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    SqliteConn conn{db};
    if (code != SQLITE_OK) {
        int const cause = db == nullptr ? 0 : sqlite3_system_errno(db);
        throw failure(code, std::string("cannot open it: ") +
                                (cause == 0 ? sqlite3_errstr(code) : std::generic_category().message(cause)));
    }
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, busy_timeout_ms);
    // In WAL mode NORMAL loses nothing when a process dies, only when the machine does; a sync of the disk at every
    // commit would measure the disk.
    conn.run_text("PRAGMA synchronous = NORMAL");
    return conn;
}

SqliteConn::Prepared SqliteConn::prepare(char const* sql) const {
    sqlite3_stmt* statement = nullptr;
    int const code = sqlite3_prepare_v3(db_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) {
        throw failure(code, sqlite3_errmsg(db_.get()));
    }
    return Prepared{statement};
}

Outcome SqliteConn::step_through(sqlite3_stmt* statement) const {
    struct Reset {
        sqlite3_stmt* statement;
        ~Reset() { sqlite3_reset(statement); }  // ends the read transaction, too
    } const reset{statement};

    Outcome outcome;
    int code = sqlite3_step(statement);
    for (; code == SQLITE_ROW; code = sqlite3_step(statement)) {
        if (outcome.rows++ == 0) {
            outcome.value = sqlite3_column_int64(statement, 0);
        }
    }
    if (code != SQLITE_DONE) {
        throw failure(code, sqlite3_errmsg(db_.get()));
    }
    if (sqlite3_column_count(statement) == 0) {
        outcome.rows = sqlite3_changes(db_.get());
    }
    return outcome;
}

Outcome SqliteConn::run(Statement const& statement) {
    Prepared& prepared = prepared_[static_cast<std::size_t>(statement.query)];
    if (!prepared) {
        prepared = prepare(sql_of(statement.query));
    }
    for (std::size_t i = 0; i < statement.arity; ++i) {
        sqlite3_bind_int64(prepared.get(), static_cast<int>(i + 1), statement.args[i]);
    }
    return step_through(prepared.get());
}

Outcome SqliteConn::run_text(std::string const& sql) { return step_through(prepare(sql.c_str()).get()); }

void SqliteConn::switch_to_wal() {
    auto const statement = prepare("PRAGMA journal_mode = WAL");
    int const code = sqlite3_step(statement.get());
    if (code != SQLITE_ROW) {
        throw failure(code, sqlite3_errmsg(db_.get()));
    }
    // Where it cannot, SQLite says so by naming the mode that stays.
    auto const* const mode = reinterpret_cast<char const*>(sqlite3_column_text(statement.get(), 0));
    if (mode == nullptr || std::string_view{mode} != "wal") {
        throw failure(SQLITE_ERROR, "WAL mode is not possible there");
    }
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
      directory_(options.db.empty() ? std::make_unique<TemporaryDirectory>() : nullptr),
      path_(directory_ ? directory_->path / "ledger.db"
                       : std::filesystem::path{options.db.substr(sizeof("sqlite:") - 1)}),
      // A thread for each connection that may be leased, so that no lease waits for a thread; more would only wait
      // for SQLite's one writer.
      threads_(std::clamp<std::size_t>(options.high, 1, 32)) {}

std::string SqliteBackend::describe() const {
    return std::string("SQLite ") + sqlite3_libversion() + ", " + path_.string();
}

void SqliteBackend::prepare() {
    keeper_.reset();
    try {
        // Kept open throughout: the last connection to close would have to write the whole log back into the file.
        keeper_ = Conn::open(path_);
        keeper_->switch_to_wal();
        keeper_->run_text("BEGIN IMMEDIATE");
        for (std::string const& sql : ledger_script(accounts_)) {
            keeper_->run_text(sql);
        }
        keeper_->run_text("COMMIT");
    } catch (DatabaseError const& error) {
        throw DatabaseError{error.code(), "cannot use " + path_.string() + ": " + error.what()};
    }
}

Audit SqliteBackend::audit() {
    return read_audit([this](char const* sql) { return keeper_->run_text(sql); });
}

void SqliteBackend::clean_up() noexcept {
    keeper_.reset();
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
    co_await on_database_thread([&] { run(conn, operation); });
}

asio::awaitable<std::unique_ptr<SqliteConn>> SqliteBackend::async_open() {
    return on_database_thread([this] { return std::make_unique<Conn>(open()); });
}

asio::awaitable<void> SqliteBackend::async_close(std::unique_ptr<Conn> conn) {
    co_await on_database_thread([&] { conn.reset(); });
}

}  // namespace query_service
