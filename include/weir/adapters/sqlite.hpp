#pragma once
// SQLite for `weir::Pool`: readers and a writer of one file, PRAGMAs as settings, statements that can be interrupted.
// ```
// weir::sqlite::Options const options{.path = "shop.db", .mode = weir::sqlite::Mode::read_only};
// weir::Pool<weir::sqlite::Connection> readers{weir::sqlite::Connector{options}};
// auto const answer = readers.acquire()->exec("SELECT name FROM customer WHERE id = ?", 7);
// std::cout << answer.get<std::string>(0, 0);
// ```

#include <sqlite3.h>

#include <algorithm>
#include <boost/system/system_error.hpp>
#include <charconv>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>
#include <weir/adapters/error.hpp>
#include <weir/adapters/session_settings.hpp>
#include <weir/adapters/sqlite_error.hpp>
#include <weir/adapters/sqlite_interrupt.hpp>
#include <weir/adapters/sqlite_options.hpp>
#include <weir/adapters/sqlite_statement.hpp>
#include <weir/adapters/sqlite_value.hpp>
#include <weir/connector.hpp>

namespace weir::sqlite {

/// An open database.
///
/// Errors: `adapters::Error`, a `system_error`, with an extended result code and SQLite's own text.
///
/// Distinct objects: safe. Shared objects: unsafe; see `InterruptOn` for what another thread may do. Its busy handler
/// and its trace hook let statements be interrupted; who replaces them through `native_handle` loses that.
class Connection {
public:
    /// Opens the database and reads its header, so that a file that is none fails here. Waits for locks, unless `stop`
    /// is requested.
    explicit Connection(Options const& options, std::stop_token const& stop = {})
        : statements_{options.statement_cache} {
        options.validate();
        try {
            open(options);
            InterruptOn const until{*this, stop};
            set_up(options);
        } catch (boost::system::system_error const& error) {
            throw adapters::Error{error.code(), "cannot open " + options.path + ": " + error.what()};
        }
    }

    /// Runs one statement. The parameters are its `?`, `?1`, `:name`, … in the order of their numbers.
    ///
    /// Equal texts are prepared once, so put what differs into parameters. A statement that fails has done nothing.
    template <std::convertible_to<Parameter>... Parameters>
    Result exec(std::string_view sql, Parameters const&... parameters) {
        std::initializer_list<Parameter> const list{parameters...};
        return exec(sql, std::span<Parameter const>{list.begin(), list.size()});
    }
    Result exec(std::string_view sql, std::span<Parameter const> parameters) {
        detail::Statements::InUse const use{statements_, *session_, sql};
        auto* const statement = use.handle();
        Result result;
        if (!statement) return result;
        bind(statement, parameters);
        int const before = sqlite3_total_changes(native_handle());
        int code = sqlite3_step(statement);
        // Not before that: it may have been prepared for tables that have other columns by now.
        for (int i = 0; i < sqlite3_column_count(statement); ++i)
            result.columns.emplace_back(sqlite3_column_name(statement, i));
        for (; code == SQLITE_ROW; code = sqlite3_step(statement)) result.rows.push_back(detail::row_of(statement));
        if (code != SQLITE_DONE) session_->fail(code);
        bool const has_changed = sqlite3_total_changes(native_handle()) != before;
        result.changes = has_changed ? sqlite3_changes(native_handle()) : 0;
        return result;
    }

    /// As `exec`, and ends with SQLITE_INTERRUPT when a stop is requested meanwhile; see `InterruptOn`. With the token
    /// of the pool's `lifetime()` a long query does not hold up its close.
    template <std::convertible_to<Parameter>... Parameters>
    Result exec(std::stop_token const& stop, std::string_view sql, Parameters const&... parameters) {
        InterruptOn const until{*this, stop};
        return exec(sql, parameters...);
    }

    /// Runs all statements of a text, which take no parameters, up to the first that fails.
    void exec_script(std::string const& sql) {
        session_->check(sqlite3_exec(native_handle(), sql.c_str(), nullptr, nullptr, nullptr));
    }

    /// The value of a PRAGMA that has one.
    std::string pragma(std::string const& name) {
        if (name == "busy_timeout") return std::to_string(busy_timeout().count());
        auto const answer = exec("PRAGMA " + checked(name));
        if (answer.rows.size() != 1 || answer.columns.size() != 1) detail::refuse("PRAGMA " + name + " has no value");
        return std::visit(AsText{}, answer.rows[0][0]);
    }

    /// Sets a PRAGMA; the value is sent as text in quotes. SQLite says nothing to what makes no sense to it.
    void pragma(std::string const& name, std::string const& value) {
        if (name == "busy_timeout") return busy_timeout(milliseconds_of(value));
        if (value.find('\0') != value.npos) detail::refuse("PRAGMA " + name + " takes no text with a null in it");
        exec("PRAGMA " + checked(name) + " = " + quoted(value, '\''));
    }

    std::chrono::milliseconds busy_timeout() const noexcept { return session_->busy_timeout(); }
    /// How long statements wait for locks from now on. (SQLite's own waits, after `PRAGMA busy_timeout` in `exec`, hear
    /// no interrupt.)
    void busy_timeout(std::chrono::milliseconds time) noexcept { session_->busy_timeout(time); }

    bool in_transaction() const noexcept { return sqlite3_get_autocommit(native_handle()) == 0; }

    /// Whether the file has been removed or renamed since; takes one look at the directory. What is written to such a
    /// file nobody else will read.
    bool has_moved() const noexcept {
        int moved = 0;
        sqlite3_file_control(native_handle(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
        return moved != 0;
    }

    /// Sets PRAGMAs, of `undoable_pragmas` only, and remembers what they were.
    void apply(adapters::SessionSettings const& settings) {
        for (auto const& [name, value] : settings) {
            if (std::find(undoable_pragmas.begin(), undoable_pragmas.end(), name) == undoable_pragmas.end())
                detail::refuse("PRAGMA " + name + " cannot be a setting, as it cannot be undone");
            undo_.push_back({name, pragma(name)});
            pragma(name, value);
        }
    }

    /// Sets back what `apply` has set. What its users have changed by themselves stays as it is.
    void reset() {
        for (; !undo_.empty(); undo_.pop_back()) pragma(undo_.back().name, undo_.back().value);
    }

    /// Ends what its last user has left unfinished, cursors and a transaction, if that needs no file: what a transaction
    /// has written is forgotten in memory, or beyond the end of a log. Else false: it has to be closed.
    bool recycle() {
        if (!session_) return false;
        session_->forget_stops();
        for (auto* each = sqlite3_next_stmt(native_handle(), nullptr); each;
             each = sqlite3_next_stmt(native_handle(), each)) {
            if (sqlite3_stmt_busy(each) == 0) continue;
            if (sqlite3_stmt_readonly(each) == 0) return false;
            sqlite3_reset(each);
        }
        if (!in_transaction()) return true;
        if (sqlite3_txn_state(native_handle(), nullptr) == SQLITE_TXN_WRITE && !forgets_writes()) return false;
        exec("ROLLBACK");
        return true;
    }

    /// Null once it has been closed or moved from.
    sqlite3* native_handle() const noexcept { return session_ ? session_->db() : nullptr; }

    /// What the destructor does, too. The last connection to a file in WAL mode writes the log back here.
    void close() noexcept {
        statements_.clear();
        session_.reset();
    }

private:
    friend class InterruptOn;

    struct Undo {
        std::string name;
        std::string value;
    };

    struct AsText {
        std::string operator()(std::string const& text) const { return text; }
        std::string operator()(std::int64_t number) const { return std::to_string(number); }
        std::string operator()(double number) const { return std::to_string(number); }
        std::string operator()(auto const&) const { return {}; }
    };

    void open(Options const& options) {
        int flags = SQLITE_OPEN_NOMUTEX;  // one thread at a time is what a lease gives
        std::string name = options.path;
        switch (options.mode) {
            case Mode::read_only: flags |= SQLITE_OPEN_READONLY; break;
            case Mode::read_write: flags |= SQLITE_OPEN_READWRITE; break;
            case Mode::create: flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE; break;
            case Mode::memory:
                flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI;
                name = name.empty() ? ":memory:" : "file:/" + name + "?vfs=memdb";
                break;
        }
        sqlite3* db = nullptr;
        int const code = sqlite3_open_v2(name.c_str(), &db, flags, nullptr);
        std::unique_ptr<sqlite3, decltype(&sqlite3_close_v2)> owner{db, &sqlite3_close_v2};
        if (code != SQLITE_OK) {
            int const cause = db ? sqlite3_system_errno(db) : 0;
            throw adapters::Error{make_error_code(code),
                                  cause ? std::generic_category().message(cause) : sqlite3_errstr(code)};
        }
        session_ = std::make_shared<detail::Session>(db);
        static_cast<void>(owner.release());
    }

    void set_up(Options const& options) {
        busy_timeout(options.busy_timeout);
        pragma("foreign_keys", options.foreign_keys ? "on" : "off");
        for (auto const& [name, value] : options.pragmas) {
            if (exec("SELECT 1 FROM pragma_pragma_list WHERE name = ?", name).rows.empty())
                detail::refuse("there is no PRAGMA " + name);
            pragma(name, value);
        }
        // Where it cannot be, SQLite tells so by the mode that stays.
        if (options.wal && exec("PRAGMA journal_mode = wal").get<std::string>(0, 0) != "wal")
            detail::refuse("write-ahead logging is not possible there");
        pragma("schema_version");
    }

    void bind(sqlite3_stmt* statement, std::span<Parameter const> parameters) {
        auto const count = static_cast<std::size_t>(sqlite3_bind_parameter_count(statement));
        if (count != parameters.size())
            throw adapters::Error{make_error_code(SQLITE_RANGE), "weir: sqlite: a statement with " +
                                                                     std::to_string(count) + " parameters was given " +
                                                                     std::to_string(parameters.size())};
        int index = 0;
        for (auto const& parameter : parameters)
            session_->check(std::visit(detail::Bind{statement, ++index}, parameter.view()));
    }

    bool forgets_writes() {
        for (auto const& row : exec("PRAGMA database_list").rows) {
            auto const& name = std::get<std::string>(row.at(1));
            if (sqlite3_txn_state(native_handle(), name.c_str()) != SQLITE_TXN_WRITE) continue;
            auto const mode = exec("PRAGMA " + quoted(name, '"') + ".journal_mode").get<std::string>(0, 0);
            if (mode != "wal" && mode != "memory") return false;
        }
        return true;
    }

    static std::string quoted(std::string const& text, char quote) {
        std::string result(1, quote);
        for (char const c : text) result.append(c == quote ? 2 : 1, c);
        return result += quote;
    }

    static std::string const& checked(std::string const& name) {
        if (!detail::is_identifier(name)) detail::refuse("no name of a PRAGMA: " + name);
        return name;
    }

    static std::chrono::milliseconds milliseconds_of(std::string const& text) {
        std::chrono::milliseconds::rep number = -1;
        auto const* const end = text.data() + text.size();
        auto const [last, error] = std::from_chars(text.data(), end, number);
        if (error != std::errc{} || last != end || number < 0) detail::refuse("no time in milliseconds: " + text);
        return std::chrono::milliseconds{number};
    }

    std::shared_ptr<detail::Session> session_;
    detail::Statements statements_;
    std::vector<Undo> undo_;  // what settings have changed; the last is undone first
};

inline InterruptOn::InterruptOn(Connection& conn, std::stop_token token)
    : added_{conn.session_, token}, callback_{std::move(token), Interrupt{added_}} {}

/// Opens databases for a pool. Plain, as SQLite is: it runs where the pool may block.
///
/// Distinct objects: safe. Shared objects: safe.
class Connector {
public:
    /// Throws `std::invalid_argument` naming the option that is wrong.
    explicit Connector(Options options) : options_{std::move(options)} { options_.validate(); }

    Connection connect(ConnectContext const& context) const {
        using std::chrono::milliseconds;
        auto const left = std::chrono::ceil<milliseconds>(context.deadline - std::chrono::steady_clock::now());
        Options hurried = options_;
        hurried.busy_timeout = std::clamp(left, milliseconds{0}, options_.busy_timeout);
        Connection conn{hurried, context.lifetime.stop_token()};
        conn.busy_timeout(options_.busy_timeout);
        return conn;
    }

    /// Whether the file is still where it was.
    bool check(Connection& conn) const noexcept { return conn.native_handle() && !conn.has_moved(); }

    void apply(Connection& conn, adapters::SessionSettings const& settings) const { conn.apply(settings); }
    void reset(Connection& conn) const { conn.reset(); }
    bool recycle(Connection& conn) const { return conn.recycle(); }
    void close(Connection& conn) const noexcept { conn.close(); }

private:
    Options options_;
};

}  // namespace weir::sqlite
