#pragma once
// How resources are opened.

#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <weir/policy/slots.hpp>

namespace weir {

/// One attempt an acquire: when it fails, the acquire fails with its error.
///
/// Throws `std::invalid_argument` on construction of the pool when `timeout` is not positive or `max_concurrent` is 0.
struct ConnectOnce {
    using policy_slot = slot::Connecting;

    /// How long one attempt may take; then it fails with `Errc::timed_out`, and what it yet opens is closed.
    /// The hooks of a connector that are awaitable are given as long.
    std::chrono::steady_clock::duration timeout = std::chrono::seconds{10};
    /// How many attempts may be in flight at once. None: as many as `high` allows.
    std::optional<std::size_t> max_concurrent = std::nullopt;

    constexpr void validate() const {
        if (timeout <= timeout.zero()) throw std::invalid_argument{"weir: ConnectOnce::timeout must be positive"};
        if (max_concurrent && *max_concurrent == 0)
            throw std::invalid_argument{"weir: ConnectOnce::max_concurrent must be at least 1"};
    }
};

}  // namespace weir
