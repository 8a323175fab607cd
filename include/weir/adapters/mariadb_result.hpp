#pragma once
// What a MariaDB server answers, and what it is asked with.

#include <mariadb/mysql.h>

#include <boost/system/errc.hpp>
#include <boost/system/error_category.hpp>
#include <boost/system/error_code.hpp>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>
#include <weir/adapters/error.hpp>

namespace weir::mariadb {

namespace detail {

class ErrorCategory final : public boost::system::error_category {
public:
    constexpr ErrorCategory() noexcept : boost::system::error_category{0x77656972'6d617264ULL} {}

    char const* name() const noexcept override { return "mariadb"; }
    // The texts come with the errors from the server. Those by which a connection fails are here, for who has only a code.
    std::string message(int number) const override {
        auto const* const text = text_of(number);
        return "MariaDB error " + std::to_string(number) + (text ? std::string{": "} + text : "");
    }

private:
    static constexpr char const* text_of(int number) noexcept {
        switch (number) {
            case 1040: return "too many connections";
            case 1044: return "no access to the database";
            case 1045: return "access denied";
            case 1049: return "unknown database";
            case 1203: return "the user has too many connections";
            case 1927: return "the connection was killed";
            case 2002:
            case 2003: return "cannot connect";
            case 2006: return "the server has gone away";
            case 2013: return "the connection to the server was lost";
            case 2026: return "TLS failed";
            default: return nullptr;
        }
    }
};

inline constexpr ErrorCategory error_category_instance{};

class Filler;

}  // namespace detail

/// The category of the error numbers of servers (from 1000) and of Connector/C (from 2000), named "mariadb".
inline boost::system::error_category const& error_category() noexcept { return detail::error_category_instance; }

/// `thrown.code() == error(1045)`: access was denied. <mariadb/mysqld_error.h> and <mariadb/errmsg.h> have names.
inline boost::system::error_code error(unsigned number) noexcept {
    return {static_cast<int>(number), error_category()};
}

/// The rows of an answer, as text. Movable, owns its memory, and needs no connection any more.
///
/// Rows and columns count from 0; `std::out_of_range` is thrown for others than there are.
class Result {
public:
    std::size_t rows() const noexcept { return columns_.empty() ? 0 : cells_.size() / columns_.size(); }
    std::size_t columns() const noexcept { return columns_.size(); }
    std::string_view column(std::size_t number) const { return columns_.at(number); }

    /// Nothing for NULL. Valid as long as this result.
    std::optional<std::string_view> value(std::size_t row, std::size_t column) const {
        Cell const& cell = cells_.at(row * columns_.size() + (column < columns_.size() ? column : cells_.size()));
        if (cell.size == null) return std::nullopt;
        return std::string_view{bytes_}.substr(cell.begin, cell.size);
    }
    bool is_null(std::size_t row, std::size_t column) const { return !value(row, column); }
    /// Empty when it is null. Valid as long as this result.
    std::string_view text(std::size_t row, std::size_t column) const {
        return value(row, column).value_or(std::string_view{});
    }
    /// A number. Throws `system_error` (invalid_argument) for what is none, NULL too.
    template <class T = std::int64_t>
        requires std::is_arithmetic_v<T> T number(std::size_t row, std::size_t column)
    const {
        T number{};
        auto const digits = text(row, column);
        auto const [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
        if (ec != std::errc{} || end != digits.data() + digits.size())
            throw adapters::Error{make_error_code(boost::system::errc::invalid_argument),
                                  "weir: mariadb: not a number of that type: '" + std::string{digits} + "'"};
        return number;
    }

    /// Rows that an INSERT, UPDATE, DELETE and the like have changed.
    std::uint64_t affected() const noexcept { return affected_; }
    /// Of a column that is AUTO_INCREMENT; 0 for none.
    std::uint64_t insert_id() const noexcept { return insert_id_; }

private:
    friend class detail::Filler;

    static constexpr std::size_t null = std::numeric_limits<std::size_t>::max();
    struct Cell {
        std::size_t begin;
        std::size_t size;
    };

    std::vector<std::string> columns_{};
    std::string bytes_{};  // of all values, one after the other
    std::vector<Cell> cells_{};
    std::uint64_t affected_ = 0;
    std::uint64_t insert_id_ = 0;
};

/// What stands in for the question marks of a statement: numbers, bools, text, and NULL for `nullptr` and an empty
/// `std::optional`. Owns what it holds.
class Parameters {
public:
    using Value = std::variant<std::monostate, std::int64_t, std::uint64_t, double, std::string>;

    Parameters() = default;
    template <class... Values>
    explicit Parameters(std::in_place_t, Values const&... values) : values_{value_of(values)...} {}

    template <class T>
    void add(T const& value) {
        values_.push_back(value_of(value));
    }

    std::vector<Value> const& values() const noexcept { return values_; }

private:
    static Value value_of(std::nullptr_t) { return {}; }
    template <class T>
    static Value value_of(std::optional<T> const& value) {
        return value ? value_of(*value) : Value{};
    }
    template <std::signed_integral T>
    static Value value_of(T value) {
        return std::int64_t{value};
    }
    template <std::unsigned_integral T>
    static Value value_of(T value) {
        return std::uint64_t{value};
    }
    template <std::floating_point T>
    static Value value_of(T value) {
        return static_cast<double>(value);
    }
    template <std::convertible_to<std::string_view> T>
    static Value value_of(T const& value) {
        return std::string{std::string_view{value}};
    }

    std::vector<Value> values_;
};

namespace detail {

/// Who makes results.
class Filler {
public:
    void columns(MYSQL_FIELD const* fields, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) result_.columns_.emplace_back(fields[i].name, fields[i].name_length);
    }
    void affected(std::uint64_t rows, std::uint64_t insert_id) {
        result_.affected_ = rows;
        result_.insert_id_ = insert_id;
    }
    void null() { result_.cells_.push_back({0, Result::null}); }
    /// Where a value of that size is to be written.
    char* value(std::size_t size) {
        auto const begin = result_.bytes_.size();
        result_.bytes_.resize(begin + size);
        result_.cells_.push_back({begin, size});
        return result_.bytes_.data() + begin;
    }
    bool has_rows() const noexcept { return !result_.columns_.empty(); }
    Result take() { return std::move(result_); }

private:
    Result result_;
};

}  // namespace detail
}  // namespace weir::mariadb
