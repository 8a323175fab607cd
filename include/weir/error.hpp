#pragma once

#include <boost/system/error_category.hpp>
#include <boost/system/error_code.hpp>
#include <string>
#include <type_traits>

namespace weir {

/// How an acquire or a close can fail on the pool's own account.
///
/// A connector's own error reaches the acquirer unchanged, and a cancelled operation completes with
/// `boost::asio::error::operation_aborted`.
enum class Errc {
    closed = 1,        ///< the pool is closed, or was closed during the wait
    timed_out,         ///< the deadline passed first
    too_many_waiters,  ///< `max_waiters` others wait already
    exhausted,         ///< `try_acquire`: nothing is idle
    shed,              ///< given up to keep the others' waits short
    connect_failed,    ///< the connector threw something that is no `system_error`
};

namespace detail {

class ErrorCategory final : public boost::system::error_category {
public:
    // An id of its own makes the category of two shared libraries the same one.
    constexpr ErrorCategory() noexcept : boost::system::error_category{0x77656972'706f6f6cULL} {}

    char const* name() const noexcept override { return "weir"; }

    std::string message(int value) const override { return text(value); }

    char const* message(int value, char*, std::size_t) const noexcept override { return text(value); }

private:
    static constexpr char const* text(int value) noexcept {
        switch (static_cast<Errc>(value)) {
            case Errc::closed: return "the pool is closed";
            case Errc::timed_out: return "no resource before the deadline";
            case Errc::too_many_waiters: return "too many acquires wait already";
            case Errc::exhausted: return "no resource is idle";
            case Errc::shed: return "shed to keep the queue short";
            case Errc::connect_failed: return "the connector failed with an exception";
        }
        return "unknown weir error";
    }
};

inline constexpr ErrorCategory error_category_instance{};

}  // namespace detail

/// The category of `Errc`, named "weir".
inline boost::system::error_category const& error_category() noexcept { return detail::error_category_instance; }

inline boost::system::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), error_category()}; }

}  // namespace weir

template <>
struct boost::system::is_error_code_enum<weir::Errc> : std::true_type {};
