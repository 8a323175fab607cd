#pragma once

#include <atomic>
#include <chrono>
#include <weir/policy/slots.hpp>

namespace weir::testing {

/// A clock that stands still until a test moves it on. It governs ages (time to live, maximum age, checks, overdue
/// leases); waits and connect deadlines stay on the steady clock.
///
/// One clock for the whole process, as static functions. Thread-safe.
struct ManualClock {
    using policy_slot = slot::Clock;
    using duration = std::chrono::steady_clock::duration;
    using time_point = std::chrono::steady_clock::time_point;

    static constexpr bool is_cheap = true;

    static time_point now() noexcept { return time_point{duration{ticks_.load(std::memory_order_acquire)}}; }
    static void advance(duration by) noexcept { ticks_.fetch_add(by.count(), std::memory_order_acq_rel); }

private:
    // Not zero: a real steady clock never shows the beginning of its time either.
    static inline std::atomic<duration::rep> ticks_{duration{std::chrono::hours{1}}.count()};
};

}  // namespace weir::testing
