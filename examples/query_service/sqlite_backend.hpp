// The ledger in a SQLite file, or the ledgers of tenants in one each.
//
// SQLite calls block: mostly for microseconds, but a writer waits for the one writer SQLite allows, up to the busy
// timeout. So coroutines run their SQL on database threads, apart from the io threads, which stay free for timers,
// signals and everybody else. Plain threads call SQLite where they are.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "database.hpp"
#include "line.hpp"
#include "options.hpp"
#include "sqlite_conn.hpp"
#include "workload.hpp"

namespace query_service {

/// The pool's connector. Plain: the pool runs `connect` and the hooks where they may block.
struct SqliteConnector {
    enum class Sharing : std::uint8_t { one_ledger, by_tenants };

    std::filesystem::path path;
    Sharing sharing{};
    std::shared_ptr<Line const> line;

    /// Every tenant has a file of its own beside the first, which then is nobody's.
    std::filesystem::path file_of(Tenant tenant) const;

    weir::sqlite::Options options_of(std::filesystem::path const& file) const;

    SqliteConn connect() const;

    bool check(SqliteConn& conn) const { return !conn.lost(); }
    void apply(SqliteConn& conn, Tenant const& tenant) const { conn.attach(file_of(tenant)); }
    void reset(SqliteConn& conn) const { conn.attach(path); }

    /// A request that failed half-way leaves its transaction open; nobody else may see that.
    bool recycle(SqliteConn& conn) const { return !conn.lost() && conn.db().recycle(); }
    void close(SqliteConn& conn) const;
};

class SqliteBackend {
public:
    using Conn = SqliteConn;
    using Connector = SqliteConnector;

    explicit SqliteBackend(Options const& options);

    std::string describe() const;
    void prepare();  ///< fresh tables
    Audit audit(Tenant tenant);
    void clean_up() noexcept;
    Connector connector() const { return connector_; }

    /// The database is out of reach, until it is mended.
    void cut() noexcept { line_->cut(); }
    void mend() noexcept { line_->mend(); }

    void run(Conn& conn, Operation& operation);
    boost::asio::awaitable<void> async_run(Conn& conn, Operation& operation);

    Conn open(Tenant tenant);
    boost::asio::awaitable<std::unique_ptr<Conn>> async_open(Tenant tenant);
    boost::asio::awaitable<void> async_close(std::unique_ptr<Conn> conn);

private:
    /// A directory that is gone with this object.
    struct TemporaryDirectory {
        TemporaryDirectory();
        ~TemporaryDirectory() { remove(); }
        TemporaryDirectory(TemporaryDirectory const&) = delete;
        TemporaryDirectory& operator=(TemporaryDirectory const&) = delete;
        void remove() noexcept;
        std::filesystem::path path;
    };

    template <class Function>
    boost::asio::awaitable<std::invoke_result_t<Function>> on_database_thread(Function function);

    std::size_t accounts_;
    std::size_t tenants_;
    std::unique_ptr<TemporaryDirectory> directory_;
    std::shared_ptr<Line> line_;
    Connector connector_;
    std::vector<Conn> keepers_;  // one for each ledger, on no line: who looks after the tables is not cut off
    boost::asio::thread_pool threads_;
};

}  // namespace query_service
