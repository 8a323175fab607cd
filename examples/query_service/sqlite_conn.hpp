// A connection to a SQLite file.
#pragma once

#include <sqlite3.h>

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "database.hpp"
#include "line.hpp"

namespace query_service {

/// An open database. Movable; for one thread at a time, which is what a lease gives. Errors: `system_error`.
class SqliteConn {
public:
    /// On a `line` it is lost once that is cut, and cannot be opened before it is mended.
    static SqliteConn open(std::filesystem::path const& path, std::shared_ptr<Line const> line = nullptr);

    /// Opens no file: what `attach` names is all that there is to see.
    static SqliteConn open_empty(std::shared_ptr<Line const> line);

    /// From now on the tables are those of that file, and of that file only.
    void attach(std::filesystem::path const& path);

    Outcome run(Statement const& statement);
    Outcome run_text(std::string const& sql);
    void switch_to_wal();
    void never_wait() noexcept { sqlite3_busy_timeout(db_.get(), 0); }
    bool in_transaction() const noexcept { return sqlite3_get_autocommit(db_.get()) == 0; }
    bool lost() const noexcept { return line_ && line_->number() != opened_at_; }

private:
    struct Close {
        void operator()(sqlite3* db) const noexcept { sqlite3_close_v2(db); }
    };
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
    };
    using Prepared = std::unique_ptr<sqlite3_stmt, Finalize>;

    SqliteConn(sqlite3* db, std::shared_ptr<Line const> line) noexcept
        : db_(db), line_(std::move(line)), opened_at_(line_ ? line_->number() : 0) {}
    Prepared prepare(char const* sql) const;
    Outcome step_through(sqlite3_stmt* statement) const;
    void refuse_when_lost() const;

    std::unique_ptr<sqlite3, Close> db_;
    std::shared_ptr<Line const> line_;  // none: nothing can happen to it
    Line::Number opened_at_;
    bool attached_ = false;
    // Each text is prepared when first used, then kept: a connection that is used again is worth more than a new one.
    std::array<Prepared, query_count> prepared_;
};

}  // namespace query_service
