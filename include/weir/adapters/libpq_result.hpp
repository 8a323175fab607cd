#pragma once
// What a PostgreSQL server answers: rows, or an error with its SQLSTATE.

#include <libpq-fe.h>

#include <algorithm>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace weir::libpq {

/// Errors are SQLSTATEs (PostgreSQL's documentation, appendix A), five digits and capital letters, whose value is that
/// number to the base of 36. `message()` gives the five back. What libpq finds itself has no SQLSTATE of a server and
/// gets one of class 08: 08001 when no connection was made, 08006 when one was lost.
inline boost::system::error_category const& sqlstate_category() noexcept {
    class Category final : public boost::system::error_category {
    public:
        char const* name() const noexcept override { return "sqlstate"; }
        std::string message(int value) const override {
            std::string digits(5, '0');
            for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit, value /= 36)
                *digit = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[value % 36];
            return "SQLSTATE " + digits;
        }
    };
    static Category const category;
    return category;
}

/// `error.code() == sqlstate("28P01")`: the password was wrong.
inline boost::system::error_code sqlstate(std::string_view digits) noexcept {
    int value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value, 36);
    return {value, sqlstate_category()};
}

namespace detail {

/// On one line; libpq writes several, some of them indented.
inline std::string one_line(std::string_view text) {
    std::string line;
    while (!text.empty()) {
        auto const end = text.find('\n');
        std::string_view part = text.substr(0, end);
        part.remove_prefix(std::min(part.find_first_not_of(" \t"), part.size()));
        if (!part.empty()) (line += line.empty() ? "" : "; ") += part;
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
    }
    return line;
}

inline boost::system::system_error failure(std::string_view state, std::string_view text) {
    return {sqlstate(state), one_line(text)};
}

}  // namespace detail

/// The rows of an answer, as text. Movable, owns its memory, and needs no connection any more.
///
/// Rows and columns count from 0; others than there are: undefined, as in libpq.
class Result {
public:
    Result() = default;
    explicit Result(PGresult* result) noexcept : result_{result} {}

    std::size_t rows() const noexcept { return static_cast<std::size_t>(PQntuples(result_.get())); }
    std::size_t columns() const noexcept { return static_cast<std::size_t>(PQnfields(result_.get())); }
    std::string_view column(std::size_t number) const noexcept {
        return PQfname(result_.get(), static_cast<int>(number));
    }
    bool is_null(std::size_t row, std::size_t column) const noexcept {
        return PQgetisnull(result_.get(), static_cast<int>(row), static_cast<int>(column)) != 0;
    }
    /// Empty when it is null. Valid as long as this result.
    std::string_view text(std::size_t row, std::size_t column) const noexcept {
        auto const at_row = static_cast<int>(row);
        auto const at_column = static_cast<int>(column);
        return {PQgetvalue(result_.get(), at_row, at_column),
                static_cast<std::size_t>(PQgetlength(result_.get(), at_row, at_column))};
    }
    /// A number. Throws `system_error` (22P02, invalid text representation) for what is none, null too.
    template <class T = std::int64_t>
        requires std::is_arithmetic_v<T> T number(std::size_t row, std::size_t column)
    const {
        T value{};
        auto const digits = text(row, column);
        auto const [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (ec != std::errc{} || end != digits.data() + digits.size())
            throw detail::failure("22P02", "weir: not a number of that type: '" + std::string{digits} + "'");
        return value;
    }
    /// Rows that an INSERT, UPDATE, DELETE and the like have touched; of a SELECT those it found.
    std::size_t affected() const noexcept {
        std::string_view const digits = PQcmdTuples(result_.get());
        std::size_t value = 0;
        std::from_chars(digits.data(), digits.data() + digits.size(), value);
        return value;
    }

    PGresult* native_handle() const noexcept { return result_.get(); }

private:
    struct Clear {
        void operator()(PGresult* result) const noexcept { PQclear(result); }
    };
    std::unique_ptr<PGresult, Clear> result_;
};

/// What stands in for `$1`, `$2`…: text, numbers, bools, and null for `nullptr` and an empty `std::optional`. All go as
/// text, whose type the server infers from the statement. Throws 22021 for text with a null byte.
class Parameters {
public:
    Parameters() = default;
    template <class... Values>
    explicit Parameters(std::in_place_t, Values const&... values) : texts_{text_of(values)...} {}

    template <class Value>
    void add(Value const& value) {
        texts_.push_back(text_of(value));
    }

    /// As libpq wants them; valid as long as this.
    std::vector<char const*> pointers() const {
        std::vector<char const*> all;
        all.reserve(texts_.size());
        for (auto const& text : texts_) all.push_back(text ? text->c_str() : nullptr);
        return all;
    }

private:
    using Text = std::optional<std::string>;

    static Text text_of(std::nullptr_t) { return std::nullopt; }
    template <class T>
    static Text text_of(std::optional<T> const& value) {
        return value ? text_of(*value) : std::nullopt;
    }
    static Text text_of(bool value) { return value ? "t" : "f"; }
    template <class T>
        requires(std::is_arithmetic_v<T> && !std::same_as<T, bool>)
    static Text text_of(T value) {
        char digits[32];
        return std::string(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
    }
    template <std::convertible_to<std::string_view> T>
    static Text text_of(T const& value) {
        std::string text{std::string_view{value}};
        // As the server refuses it, who would only see what comes before.
        if (text.find('\0') != text.npos) throw detail::failure("22021", "weir: a parameter has a null byte in it");
        return text;
    }

    std::vector<Text> texts_;
};

}  // namespace weir::libpq
