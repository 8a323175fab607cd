#pragma once
// Conversations with a MariaDB server, cut where they have to wait.

#include <mariadb/mysql.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/system/errc.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>
#include <weir/adapters/error.hpp>
#include <weir/adapters/mariadb_result.hpp>

namespace weir::mariadb::detail {

/// One or more calls of Connector/C in a row, each of which is begun once and continued until it has ended.
///
/// Connector/C runs a call on a stack of its own and leaves that in the midst of it to wait. A call that is to be given
/// up has to be led to its end there, else what it holds is lost, and the stack cannot be used again: see `abandon`.
///
/// Distinct objects: safe. Shared objects: unsafe. An exchange may go on on another thread than it was begun on.
class Exchange {
public:
    explicit Exchange(MYSQL* mysql) noexcept : mysql_{mysql} {}
    Exchange(Exchange const&) = delete;
    Exchange& operator=(Exchange const&) = delete;

    /// Begins, or goes on now that what was waited for has come. Returns what to wait for (MYSQL_WAIT_READ, …) before
    /// it is called again, or 0 at the end. Throws what the server or the library says.
    int resume() {
        int const has_come = waits_for_ & (MYSQL_WAIT_READ | MYSQL_WAIT_WRITE);
        do {
            waits_for_ = waits_for_ != 0 ? go_on(has_come) : begin();
            if (waits_for_ != 0) return waits_for_;
        } while (next());
        return 0;
    }

    /// Tells the call under way that there will be nothing more to wait for, until it has ended. Waits for nothing. The
    /// connection is lost.
    void abandon() noexcept {
        while (waits_for_ != 0) {
            // Where TLS waits it does not hear of a timeout, but that its socket is at an end.
            ::shutdown(mysql_get_socket(mysql_), SHUT_RDWR);
            waits_for_ = go_on(MYSQL_WAIT_TIMEOUT);
        }
    }

protected:
    ~Exchange() = default;

    virtual int begin() = 0;
    virtual int go_on(int has_come) = 0;
    /// The call has ended; whether there is another one to begin.
    virtual bool next() = 0;

    MYSQL* mysql() const noexcept { return mysql_; }
    [[noreturn]] void fail() const { throw adapters::Error{error(mysql_errno(mysql_)), mysql_error(mysql_)}; }

private:
    MYSQL* const mysql_;
    int waits_for_ = 0;
};

/// A single call that returns an int, 0 for success.
template <class Begin, class GoOn>
class Call final : public Exchange {
public:
    Call(MYSQL* mysql, Begin first, GoOn then) : Exchange{mysql}, begin_{std::move(first)}, go_on_{then} {}

private:
    int begin() override { return begin_(&result_); }
    int go_on(int has_come) override { return go_on_(&result_, mysql(), has_come); }
    bool next() override {
        if (result_ != 0) fail();
        return false;
    }

    Begin begin_;
    GoOn go_on_;
    int result_ = 0;
};

/// A statement as text, and its answer. Of several answers, as of a CALL, the first that has rows is kept.
class TextQuery final : public Exchange {
public:
    /// The text must live as long as this.
    TextQuery(MYSQL* mysql, std::string_view sql) noexcept : Exchange{mysql}, sql_{sql} {}

    Result take() { return filler_.take(); }

private:
    enum class Step : std::uint8_t { query, store, next_answer };

    int begin() override {
        switch (step_) {
            case Step::query: return mysql_real_query_start(&failed_, mysql(), sql_.data(), sql_.size());
            case Step::store: return mysql_store_result_start(&rows_, mysql());
            default: return mysql_next_result_start(&failed_, mysql());
        }
    }
    int go_on(int has_come) override {
        switch (step_) {
            case Step::query: return mysql_real_query_cont(&failed_, mysql(), has_come);
            case Step::store: return mysql_store_result_cont(&rows_, mysql(), has_come);
            default: return mysql_next_result_cont(&failed_, mysql(), has_come);
        }
    }
    bool next() override {
        if (step_ != Step::store) {
            if (failed_ != 0) fail();
            step_ = Step::store;
            return true;
        }
        keep();
        step_ = Step::next_answer;
        return mysql_more_results(mysql()) != 0;
    }

    void keep() {
        std::unique_ptr<MYSQL_RES, decltype(&mysql_free_result)> const rows{rows_, &mysql_free_result};
        rows_ = nullptr;
        if (!rows) {
            if (mysql_field_count(mysql()) != 0) fail();
            filler_.affected(mysql_affected_rows(mysql()), mysql_insert_id(mysql()));
            return;
        }
        if (filler_.has_rows()) return;
        auto const columns = mysql_num_fields(rows.get());
        filler_.columns(mysql_fetch_fields(rows.get()), columns);
        while (MYSQL_ROW row = mysql_fetch_row(rows.get())) {
            auto const* const sizes = mysql_fetch_lengths(rows.get());
            for (unsigned i = 0; i < columns; ++i) {
                if (row[i])
                    std::copy_n(row[i], sizes[i], filler_.value(sizes[i]));
                else
                    filler_.null();
            }
        }
    }

    std::string_view sql_;
    Step step_ = Step::query;
    int failed_ = 0;
    MYSQL_RES* rows_ = nullptr;
    Filler filler_;
};

/// A statement with parameters, prepared for this once, and its answer.
class PreparedQuery final : public Exchange {
public:
    /// What is given must live as long as this.
    PreparedQuery(MYSQL* mysql, std::string_view sql, Parameters const& parameters)
        : Exchange{mysql}, sql_{sql}, parameters_{parameters}, statement_{mysql_stmt_init(mysql)} {
        if (!statement_) fail();
    }

    Result take() { return filler_.take(); }

private:
    enum class Step : std::uint8_t { prepare, execute, store, next_answer };

    struct Close {
        // Tells the server, without waiting for an answer.
        void operator()(MYSQL_STMT* statement) const noexcept { mysql_stmt_close(statement); }
    };

    int begin() override {
        switch (step_) {
            case Step::prepare: return mysql_stmt_prepare_start(&failed_, statement(), sql_.data(), sql_.size());
            case Step::execute: return mysql_stmt_execute_start(&failed_, statement());
            case Step::store: return mysql_stmt_store_result_start(&failed_, statement());
            default: return mysql_stmt_next_result_start(&failed_, statement());
        }
    }
    int go_on(int has_come) override {
        switch (step_) {
            case Step::prepare: return mysql_stmt_prepare_cont(&failed_, statement(), has_come);
            case Step::execute: return mysql_stmt_execute_cont(&failed_, statement(), has_come);
            case Step::store: return mysql_stmt_store_result_cont(&failed_, statement(), has_come);
            default: return mysql_stmt_next_result_cont(&failed_, statement(), has_come);
        }
    }
    bool next() override {
        if (failed_ != 0) fail_statement();
        if (step_ == Step::prepare) {
            bind();
            step_ = Step::execute;
            return true;
        }
        if (step_ != Step::store) {
            step_ = Step::store;
            if (mysql_stmt_field_count(statement()) != 0) return true;
            filler_.affected(mysql_stmt_affected_rows(statement()), mysql_stmt_insert_id(statement()));
        } else if (!filler_.has_rows()) {
            keep();
        }
        step_ = Step::next_answer;
        return mysql_stmt_more_results(statement()) != 0;
    }

    void bind() {
        auto const& values = parameters_.values();
        if (auto const count = mysql_stmt_param_count(statement()); count != values.size())
            throw adapters::Error{make_error_code(boost::system::errc::invalid_argument),
                                  "weir: mariadb: a statement with " + std::to_string(count) +
                                      " parameters was given " + std::to_string(values.size())};
        for (auto const& value : values) std::visit(Bind{binds_.emplace_back()}, value);
        if (mysql_stmt_bind_param(statement(), binds_.data()) != 0) fail_statement();
    }

    // The library only reads what it is given here, though it takes it as not const.
    struct Bind {
        MYSQL_BIND& bind;

        void operator()(std::monostate) const { bind.buffer_type = MYSQL_TYPE_NULL; }
        void operator()(std::int64_t const& number) const { set(MYSQL_TYPE_LONGLONG, &number, sizeof number); }
        void operator()(std::uint64_t const& number) const {
            set(MYSQL_TYPE_LONGLONG, &number, sizeof number);
            bind.is_unsigned = 1;
        }
        void operator()(double const& number) const { set(MYSQL_TYPE_DOUBLE, &number, sizeof number); }
        void operator()(std::string const& text) const { set(MYSQL_TYPE_STRING, text.data(), text.size()); }

        void set(enum_field_types type, void const* data, std::size_t size) const {
            bind.buffer_type = type;
            bind.buffer = const_cast<void*>(data);
            bind.buffer_length = size;
        }
    };

    // All rows have come. Each value is asked for its size first, then fetched as text.
    void keep() {
        std::unique_ptr<MYSQL_RES, decltype(&mysql_free_result)> const head{mysql_stmt_result_metadata(statement()),
                                                                            &mysql_free_result};
        if (!head) fail_statement();
        auto const columns = mysql_num_fields(head.get());
        auto const* const fields = mysql_fetch_fields(head.get());
        filler_.columns(fields, columns);

        std::vector<Cell> cells(columns);
        std::vector<MYSQL_BIND> binds(columns);
        for (unsigned i = 0; i < columns; ++i) {
            cells[i].is_rounded = fields[i].type == MYSQL_TYPE_FLOAT || fields[i].type == MYSQL_TYPE_DOUBLE;
            binds[i].buffer_type = MYSQL_TYPE_STRING;
            binds[i].length = &cells[i].size;
            binds[i].is_null = &cells[i].is_null;
        }
        if (mysql_stmt_bind_result(statement(), binds.data()) != 0) fail_statement();
        for (;;) {
            int const fetched = mysql_stmt_fetch(statement());
            if (fetched == MYSQL_NO_DATA) return;
            if (fetched == 1) fail_statement();
            for (unsigned i = 0; i < columns; ++i) keep(i, cells[i], binds[i]);
        }
    }

    struct Cell {
        unsigned long size = 0;
        my_bool is_null = 0;
        bool is_rounded = false;
    };

    void keep(unsigned column, Cell& cell, MYSQL_BIND bind) {
        if (cell.is_null) return filler_.null();
        // The library fits the digits of these into whatever room there is, and the size it tells is of that.
        std::array<char, 332> digits;
        bind.buffer_length = cell.is_rounded ? digits.size() : cell.size;
        bind.buffer = cell.is_rounded ? digits.data() : filler_.value(cell.size);
        if (bind.buffer_length != 0 && mysql_stmt_fetch_column(statement(), &bind, column, 0) != 0) fail_statement();
        if (cell.is_rounded) std::copy_n(digits.data(), cell.size, filler_.value(cell.size));
    }

    MYSQL_STMT* statement() const noexcept { return statement_.get(); }
    [[noreturn]] void fail_statement() const {
        throw adapters::Error{error(mysql_stmt_errno(statement())), mysql_stmt_error(statement())};
    }

    std::string_view sql_;
    Parameters const& parameters_;
    std::unique_ptr<MYSQL_STMT, Close> statement_;
    std::vector<MYSQL_BIND> binds_;
    Step step_ = Step::prepare;
    int failed_ = 0;
    Filler filler_;
};

}  // namespace weir::mariadb::detail
