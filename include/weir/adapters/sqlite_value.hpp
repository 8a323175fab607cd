#pragma once
// What goes into SQLite, and what comes out of it.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace weir::sqlite {

namespace detail {

template <class T>
concept Number = std::integral<T> && !std::same_as<T, char> && !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> &&
                 !std::same_as<T, char16_t> && !std::same_as<T, char32_t>;
template <class T>
concept Text = std::convertible_to<T const&, std::string_view> && !std::same_as<T, std::nullptr_t>;
template <class T>
concept Bytes = std::convertible_to<T const&, std::span<std::byte const>>;

}  // namespace detail

using Blob = std::vector<std::byte>;

/// What stands in a column: `std::monostate` is NULL. Which type it has is the row's affair, not the column's.
using Value = std::variant<std::monostate, std::int64_t, double, std::string, Blob>;

/// What a `?` stands for: numbers, text, bytes, a `Value`, an optional of these, or `nullptr`. Views only.
class Parameter {
public:
    using View = std::variant<std::monostate, std::int64_t, double, std::string_view, std::span<std::byte const>>;

    // All are implicit: they are what arguments of `exec` become.
    // NOLINTBEGIN(google-explicit-constructor)
    Parameter(std::nullptr_t) noexcept {}
    Parameter(std::monostate) noexcept {}
    /// Throws `std::out_of_range` above the largest of SQLite's integers, which have 64 bits and a sign.
    template <detail::Number T>
    Parameter(T number) : view_{static_cast<std::int64_t>(number)} {
        if (number > 0 && std::get<std::int64_t>(view_) < 0)
            throw std::out_of_range{"weir: sqlite: a parameter exceeds the largest integer"};
    }
    template <std::floating_point T>
    Parameter(T number) noexcept : view_{static_cast<double>(number)} {}
    template <detail::Text T>
    Parameter(T const& text) : view_{std::string_view{text}} {}
    template <detail::Bytes T>
    Parameter(T const& bytes) : view_{std::span<std::byte const>{bytes}} {}
    template <class T>
    Parameter(std::optional<T> const& maybe) : view_{maybe ? Parameter{*maybe}.view_ : View{}} {}
    Parameter(Value const& value) : view_{std::visit([](auto const& held) { return Parameter{held}.view_; }, value)} {}
    // NOLINTEND(google-explicit-constructor)

    View const& view() const noexcept { return view_; }

    /// A copy that stands on its own.
    Value value() const {
        struct Copy {
            Value operator()(std::string_view text) const { return std::string{text}; }
            Value operator()(std::span<std::byte const> bytes) const { return Blob{bytes.begin(), bytes.end()}; }
            Value operator()(std::monostate null) const { return null; }
            Value operator()(std::int64_t number) const { return number; }
            Value operator()(double number) const { return number; }
        };
        return std::visit(Copy{}, view_);
    }

private:
    View view_;
};

/// What one statement gave.
struct Result {
    std::vector<std::string> columns{};  ///< their names
    std::vector<std::vector<Value>> rows{};
    std::int64_t changes = 0;  ///< rows that it inserted, changed or deleted itself, without what its triggers did

    /// Throws `std::out_of_range` where there is nothing, and `std::bad_variant_access` where there is another type.
    template <class T>
    T const& get(std::size_t row, std::size_t column) const {
        return std::get<T>(rows.at(row).at(column));
    }
};

}  // namespace weir::sqlite
