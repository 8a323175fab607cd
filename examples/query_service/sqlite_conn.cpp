#include "sqlite_conn.hpp"

#include <boost/system/errc.hpp>
#include <boost/system/error_code.hpp>
#include <string_view>
#include <system_error>

namespace query_service {

namespace errc = boost::system::errc;

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

SqliteConn SqliteConn::open(std::filesystem::path const& path, std::shared_ptr<Line const> line) {
    sqlite3* db = nullptr;
    // NOMUTEX: the lease sees to it that one thread at a time is in here.
    int const code =
        sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    SqliteConn conn{db, std::move(line)};
    if (Line::is_cut(conn.opened_at_)) {
        throw DatabaseError{make_error_code(errc::host_unreachable), "cannot open it: out of reach (simulated)"};
    }
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

SqliteConn SqliteConn::open_empty(std::shared_ptr<Line const> line) { return open(":memory:", std::move(line)); }

void SqliteConn::attach(std::filesystem::path const& path) {
    refuse_when_lost();
    // Prepared for another file's tables.
    for (Prepared& each : prepared_) {
        each.reset();
    }
    if (attached_) {
        run_text("DETACH DATABASE ledger");
        attached_ = false;
    }
    auto const sql = prepare("ATTACH DATABASE ?1 AS ledger");
    sqlite3_bind_text(sql.get(), 1, path.c_str(), -1, SQLITE_TRANSIENT);
    step_through(sql.get());
    attached_ = true;
    run_text("PRAGMA ledger.synchronous = NORMAL");  // as in `open`: each file has its own
}

void SqliteConn::refuse_when_lost() const {
    if (lost()) {
        throw DatabaseError{make_error_code(errc::connection_reset), "the connection was lost (simulated)"};
    }
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
    refuse_when_lost();
    Prepared& prepared = prepared_[static_cast<std::size_t>(statement.query)];
    if (!prepared) {
        prepared = prepare(sql_of(statement.query));
    }
    for (std::size_t i = 0; i < statement.arity; ++i) {
        sqlite3_bind_int64(prepared.get(), static_cast<int>(i + 1), statement.args[i]);
    }
    Outcome const outcome = step_through(prepared.get());
    refuse_when_lost();  // what is done is done, but the answer does not arrive
    return outcome;
}

Outcome SqliteConn::run_text(std::string const& sql) {
    refuse_when_lost();
    return step_through(prepare(sql.c_str()).get());
}

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

}  // namespace query_service
