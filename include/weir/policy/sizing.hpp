#pragma once
// How many resources a pool may have open, and how many acquires may wait.

#include <cstddef>
#include <limits>
#include <optional>
#include <stdexcept>
#include <weir/policy/slots.hpp>

namespace weir {

/// What a sizing policy answers.
struct Limits {
    std::size_t low = 0;                                         ///< this many are kept open however long they idle
    std::size_t high = std::numeric_limits<std::size_t>::max();  ///< never more than this many open
    std::optional<std::size_t> max_waiters{};                    ///< no more than this many wait; none: no bound
    bool eager = false;                                          ///< open up to `low` though nobody asks
};

/// Between a low and a high mark, as in Finagle's watermark pool.
///
/// Up to `low` resources stay open for ever, up to `high - low` more as long as the idle policy says, and there are
/// never more than `high`: those being opened and closed count.
///
/// Throws `std::invalid_argument` on construction of the pool when `high` is 0 or `low` is above `high`.
struct Watermark {
    using policy_slot = slot::Sizing;

    std::size_t low = 0;
    std::size_t high = 16;
    /// How many acquires may wait at once; one more fails at once with `Errc::too_many_waiters`.
    /// None: no bound. 0: nobody waits, though opening a resource is still allowed.
    std::optional<std::size_t> max_waiters = std::nullopt;
    /// Whether `low` are opened at once and whenever fewer are open, in the background. What fails is tried again, ever
    /// later (10 ms to 5 s, unless the connecting policy says otherwise); see `Pool::last_connect_failure`.
    bool eager = false;

    constexpr Limits limits() const noexcept { return {low, high, max_waiters, eager}; }

    constexpr void validate() const {
        if (high == 0) throw std::invalid_argument{"weir: Watermark::high must be at least 1"};
        if (low > high) throw std::invalid_argument{"weir: Watermark::low must not be above Watermark::high"};
    }
};

/// For `SharedPool`: few resources, each lent to many at once.
///
/// Throws `std::invalid_argument` on construction of the pool when `connections` is 0, or `streams` is.
struct Multiplex {
    using policy_slot = slot::Sizing;

    /// How many may be open; those that drain are not counted.
    std::size_t connections = 1;
    /// How many may use one of them at once, unless its connector says otherwise. None: no bound (but 8,388,607).
    std::optional<std::size_t> streams = std::nullopt;
    /// As `Watermark::max_waiters`.
    std::optional<std::size_t> max_waiters = std::nullopt;

    constexpr Limits limits() const noexcept { return {.low = 0, .high = connections, .max_waiters = max_waiters}; }

    constexpr void validate() const {
        if (connections == 0) throw std::invalid_argument{"weir: Multiplex::connections must be at least 1"};
        if (streams == std::size_t{0}) throw std::invalid_argument{"weir: Multiplex::streams must be at least 1"};
    }
};

/// No bound: an acquire that finds nothing idle always opens a resource and never waits for another's return.
struct Unbounded {
    using policy_slot = slot::Sizing;

    constexpr Limits limits() const noexcept { return {}; }
};

}  // namespace weir
