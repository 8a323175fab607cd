// The ledger in a SQLite file.
//
// SQLite calls block: mostly for microseconds, but a writer waits for the one writer SQLite allows, up to the busy
// timeout. So coroutines run their SQL on database threads, apart from the io threads, which stay free for timers,
// signals and everybody else. Plain threads call SQLite where they are.
#pragma once

#include <sqlite3.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>

#include "database.hpp"
#include "options.hpp"
#include "workload.hpp"

namespace query_service {

/// An open database. Movable; for one thread at a time, which is what a lease gives. Errors: `system_error`.
class SqliteConn {
public:
    static SqliteConn open(std::filesystem::path const& path);

    Outcome run(Statement const& statement);
    Outcome run_text(std::string const& sql);
    void switch_to_wal();
    void never_wait() noexcept { sqlite3_busy_timeout(db_.get(), 0); }
    bool in_transaction() const noexcept { return sqlite3_get_autocommit(db_.get()) == 0; }

private:
    struct Close {
        void operator()(sqlite3* db) const noexcept { sqlite3_close_v2(db); }
    };
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
    };
    using Prepared = std::unique_ptr<sqlite3_stmt, Finalize>;

    explicit SqliteConn(sqlite3* db) noexcept : db_(db) {}
    Prepared prepare(char const* sql) const;
    Outcome step_through(sqlite3_stmt* statement) const;

    std::unique_ptr<sqlite3, Close> db_;
    // Each text is prepared when first used, then kept: a connection that is used again is worth more than a new one.
    std::array<Prepared, query_count> prepared_;
};

/// The pool's connector. Plain: the pool runs `connect` where it may block.
struct SqliteConnector {
    std::filesystem::path path;

    SqliteConn connect() const { return SqliteConn::open(path); }

    /// A request that failed half-way leaves its transaction open; nobody else may see that.
    bool recycle(SqliteConn& conn) const {
        if (conn.in_transaction()) {
            conn.run({Query::rollback, {}, 0});
        }
        return true;
    }

    void close(SqliteConn& conn) const {
        // SQLite's advice for the end of a connection. If a writer is in the way it fails, which costs nothing.
        conn.never_wait();
        conn.run_text("PRAGMA optimize");
    }
};

class SqliteBackend {
public:
    using Conn = SqliteConn;
    using Connector = SqliteConnector;

    explicit SqliteBackend(Options const& options);

    std::string describe() const;
    void prepare();  ///< fresh tables
    Audit audit();
    void clean_up() noexcept;
    Connector connector() const { return {path_}; }

    void run(Conn& conn, Operation& operation);
    boost::asio::awaitable<void> async_run(Conn& conn, Operation& operation);

    Conn open() { return Conn::open(path_); }
    boost::asio::awaitable<std::unique_ptr<Conn>> async_open();
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
    std::unique_ptr<TemporaryDirectory> directory_;
    std::filesystem::path path_;
    std::optional<Conn> keeper_;
    boost::asio::thread_pool threads_;
};

}  // namespace query_service
