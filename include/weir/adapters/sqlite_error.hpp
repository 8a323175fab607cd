#pragma once
// SQLite's result codes as error codes.

#include <sqlite3.h>

#include <boost/system/errc.hpp>
#include <boost/system/error_category.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/error_condition.hpp>
#include <string>
#include <weir/adapters/error.hpp>

namespace weir::sqlite {

namespace detail {

class ErrorCategory final : public boost::system::error_category {
public:
    constexpr ErrorCategory() noexcept : boost::system::error_category{0x77656972'73716c69ULL} {}

    char const* name() const noexcept override { return "sqlite"; }
    std::string message(int code) const override { return sqlite3_errstr(code); }
    boost::system::error_condition default_error_condition(int code) const noexcept override {
        return {code & 0xFF, *this};  // an extended code has the primary one in its lowest byte
    }
};

inline constexpr ErrorCategory error_category_instance{};

}  // namespace detail

/// The category of SQLite's extended result codes, named "sqlite".
inline boost::system::error_category const& error_category() noexcept { return detail::error_category_instance; }

inline boost::system::error_code make_error_code(int result) noexcept { return {result, error_category()}; }

/// A primary result code, to which all its extended ones compare equal: `error.code() == condition(SQLITE_BUSY)`.
inline boost::system::error_condition condition(int primary) noexcept { return {primary, error_category()}; }

namespace detail {

/// For what is wrong before SQLite sees it.
[[noreturn]] inline void refuse(std::string const& why) {
    throw adapters::Error{boost::system::errc::make_error_code(boost::system::errc::invalid_argument),
                          "weir: sqlite: " + why};
}

}  // namespace detail
}  // namespace weir::sqlite
