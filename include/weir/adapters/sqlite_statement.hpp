#pragma once
// Prepared statements: kept, bound and read.

#include <sqlite3.h>

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>
#include <weir/adapters/sqlite_error.hpp>
#include <weir/adapters/sqlite_interrupt.hpp>
#include <weir/adapters/sqlite_value.hpp>

namespace weir::sqlite::detail {

/// The statements of one connection that were used last, ready to be used again.
class Statements {
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
    };
    using Handle = std::unique_ptr<sqlite3_stmt, Finalize>;
    struct Prepared {
        std::string sql;
        Handle handle;
        bool is_kept;
    };

public:
    explicit Statements(std::size_t capacity) noexcept : capacity_{capacity} {}

    void clear() noexcept { all_.clear(); }

    /// One in use. It is out of the list: a function of the user's that SQLite calls may use the connection again. At
    /// the end it is reset, which ends its read transaction, too.
    class InUse {
    public:
        InUse(Statements& home, Session const& session, std::string_view sql) : home_{home} {
            auto const same = [sql](Prepared const& each) { return each.sql == sql; };
            if (auto const found = std::find_if(home.all_.begin(), home.all_.end(), same); found != home.all_.end())
                statement_.splice(statement_.begin(), home.all_, found);
            else
                statement_.push_back(home.prepare(session, sql));
        }
        InUse(InUse const&) = delete;
        InUse& operator=(InUse const&) = delete;
        ~InUse() {
            if (!handle() || !statement_.front().is_kept) return;
            sqlite3_reset(handle());
            sqlite3_clear_bindings(handle());
            home_.all_.splice(home_.all_.begin(), statement_);
            if (home_.all_.size() > home_.capacity_) home_.all_.pop_back();
        }

        /// Null for a text that is nothing but a comment.
        sqlite3_stmt* handle() const noexcept { return statement_.front().handle.get(); }

    private:
        Statements& home_;
        std::list<Prepared> statement_;
    };

private:
    Prepared prepare(Session const& session, std::string_view sql) const {
        // Some PRAGMAs act when they are prepared: a second use of the same statement would do nothing.
        constexpr std::string_view never_kept = "pragma";
        auto const same = [](char a, char b) { return (a | 0x20) == b; };
        auto const pragma = std::search(sql.begin(), sql.end(), never_kept.begin(), never_kept.end(), same);
        bool const is_kept = capacity_ > 0 && pragma == sql.end();

        char const* rest = sql.data();
        char const* const end = rest + sql.size();
        auto const next = [&] {
            auto const size = static_cast<int>(std::min<std::ptrdiff_t>(end - rest, INT_MAX));
            unsigned const flags = is_kept ? SQLITE_PREPARE_PERSISTENT : 0;
            sqlite3_stmt* statement = nullptr;
            session.check(sqlite3_prepare_v3(session.db(), rest, size, flags, &statement, &rest));
            return Handle{statement};
        };
        Prepared prepared{std::string{sql}, next(), is_kept};
        if (rest != end && next()) refuse("exec runs one statement; for several there is exec_script");
        return prepared;
    }

    std::list<Prepared> all_;  // the last used comes first
    std::size_t capacity_;
};

/// Binds a view, which must live until the bindings are cleared. Returns a result code.
struct Bind {
    sqlite3_stmt* statement;
    int index;

    int operator()(std::monostate) const { return sqlite3_bind_null(statement, index); }
    int operator()(std::int64_t number) const { return sqlite3_bind_int64(statement, index, number); }
    int operator()(double number) const { return sqlite3_bind_double(statement, index, number); }
    // A null pointer would be taken for NULL, which what is empty is not.
    int operator()(std::string_view text) const {
        char const* const data = text.empty() ? "" : text.data();
        return sqlite3_bind_text64(statement, index, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
    }
    int operator()(std::span<std::byte const> bytes) const {
        if (bytes.empty()) return sqlite3_bind_zeroblob(statement, index, 0);
        return sqlite3_bind_blob64(statement, index, bytes.data(), bytes.size(), SQLITE_STATIC);
    }
};

inline Value value_at(sqlite3_stmt* statement, int column) {
    switch (sqlite3_column_type(statement, column)) {
        case SQLITE_INTEGER: return sqlite3_column_int64(statement, column);
        case SQLITE_FLOAT: return sqlite3_column_double(statement, column);
        case SQLITE_TEXT: {
            auto const* const text = reinterpret_cast<char const*>(sqlite3_column_text(statement, column));
            return std::string{text, static_cast<std::size_t>(sqlite3_column_bytes(statement, column))};
        }
        case SQLITE_BLOB: {
            auto const* const bytes = static_cast<std::byte const*>(sqlite3_column_blob(statement, column));
            return Blob{bytes, bytes + sqlite3_column_bytes(statement, column)};
        }
        default: return std::monostate{};
    }
}

inline std::vector<Value> row_of(sqlite3_stmt* statement) {
    int const columns = sqlite3_column_count(statement);
    std::vector<Value> values;
    values.reserve(static_cast<std::size_t>(columns));
    for (int i = 0; i < columns; ++i) values.push_back(value_at(statement, i));
    return values;
}

}  // namespace weir::sqlite::detail
