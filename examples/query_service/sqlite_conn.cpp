#include "sqlite_conn.hpp"

#include <boost/system/errc.hpp>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

namespace query_service {

namespace errc = boost::system::errc;
namespace sqlite = weir::sqlite;

namespace {

constexpr char const* sql_of(Query query) {
    // IMMEDIATE: a transaction that began as a reader could be refused when it turns writer, without waiting.
    return query == Query::begin ? "BEGIN IMMEDIATE" : common_sql[static_cast<std::size_t>(query)];
}

Outcome outcome_of(sqlite::Result const& result) {
    if (result.columns.empty()) {
        return {.rows = result.changes, .value = 0};
    }
    Outcome outcome{.rows = static_cast<std::int64_t>(result.rows.size()), .value = 0};
    if (outcome.rows > 0) {
        auto const* const value = std::get_if<std::int64_t>(&result.rows[0][0]);
        outcome.value = value != nullptr ? *value : 0;
    }
    return outcome;
}

}  // namespace

SqliteConn::SqliteConn(sqlite::Options const& options, std::shared_ptr<Line const> line)
    : line_(std::move(line)), opened_at_(line_ ? line_->number() : 0), db_(options) {
    if (Line::is_cut(opened_at_)) {
        throw DatabaseError{make_error_code(errc::host_unreachable), "cannot open it: out of reach (simulated)"};
    }
}

void SqliteConn::attach(std::filesystem::path const& path) {
    refuse_when_lost();
    if (attached_) {
        db_.exec("DETACH DATABASE ledger");
        attached_ = false;
    }
    db_.exec("ATTACH DATABASE ? AS ledger", path.string());
    attached_ = true;
    db_.exec("PRAGMA ledger.synchronous = normal");  // each file has its own
}

void SqliteConn::refuse_when_lost() const {
    if (lost()) {
        throw DatabaseError{make_error_code(errc::connection_reset), "the connection was lost (simulated)"};
    }
}

Outcome SqliteConn::run(Statement const& statement) {
    refuse_when_lost();
    std::vector<sqlite::Parameter> const args{statement.args.begin(), statement.args.begin() + statement.arity};
    Outcome const outcome = outcome_of(db_.exec(sql_of(statement.query), args));
    refuse_when_lost();  // what is done is done, but the answer does not arrive
    return outcome;
}

Outcome SqliteConn::run_text(std::string const& sql) {
    refuse_when_lost();
    return outcome_of(db_.exec(sql));
}

}  // namespace query_service
