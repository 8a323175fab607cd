#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <weir/detail/deadline.hpp>
#include <weir/detail/random.hpp>

namespace weir::detail {

/// When the next attempt may be made at what keeps failing: exponential, with jitter, one at a time; and after a
/// success not all at once, but two, four, eight at a time. Numbers only, for one thread at a time.
///
/// Jitter, and why: M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
///
/// A template so that it costs nothing to include.
template <class Clock = std::chrono::steady_clock>
class Retry {
public:
    using duration = typename Clock::duration;
    using time_point = typename Clock::time_point;

    constexpr Retry(duration first, duration most, double jitter) noexcept
        : first_{first}, most_{most}, jitter_{jitter} {}

    bool failing() const noexcept { return failing_; }

    /// Whether one more may be made beside those in flight.
    bool allows(std::size_t in_flight, time_point now) const noexcept {
        return failing_ ? in_flight == 0 && now >= next_ : in_flight < at_once_;
    }

    /// While failing: when the next may be made.
    time_point next() const noexcept { return next_; }

    /// An attempt that began then has failed now. One that began before the latest failure says nothing new.
    void failed(time_point began, time_point now, Random& random) noexcept {
        if (failing_ && began < failed_at_) return;
        delay_ = !failing_ ? first_ : delay_ > most_ / 2 ? most_ : delay_ * 2;
        failing_ = true;
        failed_at_ = now;
        next_ = after(now, random.shortened(delay_, jitter_));
    }

    void succeeded() noexcept {
        if (failing_)
            at_once_ = 2;
        else if (at_once_ <= most_at_once)
            at_once_ *= 2;
        else
            at_once_ = unlimited;
        failing_ = false;
    }

private:
    static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();
    static constexpr std::size_t most_at_once = 512;  // by then the server has shown that it is back

    duration const first_;
    duration const most_;
    double const jitter_;
    bool failing_ = false;
    std::size_t at_once_ = unlimited;
    duration delay_{};
    time_point failed_at_{};
    time_point next_{};
};

}  // namespace weir::detail
