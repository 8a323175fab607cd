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
    static constexpr bool retries = false;

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

/// Attempts that fail are made again until the acquire's deadline; its `timed_out` then carries the last failure.
///
/// The first failure holds back all that follow: one attempt at a time, after `first`, then twice as long each time up
/// to `max`, each shortened at random by up to `jitter` of itself, so that many clients of one server do not come at
/// once. The first success ends that; then two may be in flight, four, eight, and so on. An acquire that is held back
/// is a waiter: it stands in line, counts in `max_waiters`, and is served by whatever comes first. One for whom there
/// is no room among the waiters fails with the connector's error.
///
/// Throws `std::invalid_argument` on construction of the pool when `timeout` or `first` is not positive, `max` is less
/// than `first`, `jitter` is not in [0, 1], or `max_concurrent` is 0.
struct Backoff {
    using policy_slot = slot::Connecting;
    static constexpr bool retries = true;

    /// As that of `ConnectOnce`, for each attempt.
    std::chrono::steady_clock::duration timeout = std::chrono::seconds{10};
    std::chrono::steady_clock::duration first = std::chrono::milliseconds{10};
    std::chrono::steady_clock::duration max = std::chrono::seconds{5};
    double jitter = 0.2;
    /// As that of `ConnectOnce`.
    std::optional<std::size_t> max_concurrent = std::nullopt;

    constexpr void validate() const {
        if (timeout <= timeout.zero()) throw std::invalid_argument{"weir: Backoff::timeout must be positive"};
        if (first <= first.zero()) throw std::invalid_argument{"weir: Backoff::first must be positive"};
        if (max < first) throw std::invalid_argument{"weir: Backoff::max must not be less than Backoff::first"};
        if (!(jitter >= 0 && jitter <= 1)) throw std::invalid_argument{"weir: Backoff::jitter must be from 0 to 1"};
        if (max_concurrent && *max_concurrent == 0)
            throw std::invalid_argument{"weir: Backoff::max_concurrent must be at least 1"};
    }
};

}  // namespace weir
