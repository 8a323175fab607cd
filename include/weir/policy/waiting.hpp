#pragma once
// How long an acquire waits, and in which order waiters are served.

#include <chrono>
#include <stdexcept>
#include <weir/policy/slots.hpp>

namespace weir {

/// First come, first served, for sync and async acquires alike.
struct Fifo {
    using policy_slot = slot::Waiting;
    static constexpr bool sheds = false;

    /// How long an acquire without a time of its own may take in all: waiting, opening, checking.
    std::chrono::steady_clock::duration timeout = std::chrono::seconds{30};

    /// How long newcomers may take what is idle although somebody waits in front of them.
    ///
    /// With 0, the default, a returned resource is always given to the longest waiter: strictly fair, at the price of
    /// a thread switch per lease when resources are scarce. With more, a return parks the resource and wakes the
    /// front waiter, and whoever comes first has it, until the front waiter has waited this long; from then on it is
    /// handed over. Nobody waits longer than his patience and a turn.
    std::chrono::steady_clock::duration patience = std::chrono::steady_clock::duration::zero();

    constexpr void validate() const {
        if (timeout < timeout.zero()) throw std::invalid_argument{"weir: Fifo::timeout must not be negative"};
        if (patience < patience.zero()) throw std::invalid_argument{"weir: Fifo::patience must not be negative"};
    }
};

/// First come, first served, until the line stands: then those who have waited too long fail with `Errc::shed`, and who
/// is served is served in time.
///
/// Controlled delay, as server queues use it: when the head of the line has waited longer than `target` for a whole
/// `interval`, whoever has waited for more than twice the target is shed when he comes to the head. That ends as soon
/// as the line has been shorter again for a moment, or empty. Who is not made to wait is never shed.
///
/// Throws `std::invalid_argument` on construction of the pool when `timeout` is negative, or `target` or `interval` is
/// not positive.
struct Codel {
    using policy_slot = slot::Waiting;
    static constexpr bool sheds = true;

    /// As that of `Fifo`.
    std::chrono::steady_clock::duration timeout = std::chrono::seconds{30};
    std::chrono::steady_clock::duration target = std::chrono::milliseconds{5};
    std::chrono::steady_clock::duration interval = std::chrono::milliseconds{100};

    constexpr void validate() const {
        if (timeout < timeout.zero()) throw std::invalid_argument{"weir: Codel::timeout must not be negative"};
        if (target <= target.zero()) throw std::invalid_argument{"weir: Codel::target must be positive"};
        if (interval <= interval.zero()) throw std::invalid_argument{"weir: Codel::interval must be positive"};
    }
};

}  // namespace weir
