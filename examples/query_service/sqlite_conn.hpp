// A connection to a SQLite file that can be lost, as if it were one to a server.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <weir/adapters/sqlite.hpp>

#include "database.hpp"
#include "line.hpp"

namespace query_service {

/// Movable; for one thread at a time, which is what a lease gives. Errors: `system_error`.
class SqliteConn {
public:
    /// On a `line` it is lost once that is cut, and cannot be opened before it is mended.
    explicit SqliteConn(weir::sqlite::Options const& options, std::shared_ptr<Line const> line = nullptr);

    /// From now on the tables are those of that file, and of that file only.
    void attach(std::filesystem::path const& path);

    Outcome run(Statement const& statement);
    Outcome run_text(std::string const& sql);
    bool lost() const noexcept { return line_ && line_->number() != opened_at_; }
    weir::sqlite::Connection& db() noexcept { return db_; }

private:
    void refuse_when_lost() const;

    std::shared_ptr<Line const> line_;  // none: nothing can happen to it
    Line::Number opened_at_;
    weir::sqlite::Connection db_;
    bool attached_ = false;
};

}  // namespace query_service
