#pragma once

#include <chrono>
#include <weir/detail/deadline.hpp>

namespace weir::detail {

/// Whether a line stands: whether its head has waited longer than `target` for a whole `interval`.
///
/// A line that empties now and then only evens out bursts; one that does not is all delay and no use. That is CoDel's
/// observation (K. Nichols, V. Jacobson: Controlling Queue Delay, ACM Queue 10(5), 2012): not the length tells the two
/// apart but the least delay seen in an interval. While the line stands, whoever has waited for more than twice the
/// target is shed when he comes to its head, as servers do it (B. Maurer: Fail at Scale, ACM Queue 13(8), 2015), and
/// those behind him are served in time. Numbers only, for one thread at a time.
///
/// A template so that it costs nothing to include.
template <class Clock = std::chrono::steady_clock>
class Overload {
public:
    using duration = typename Clock::duration;
    using time_point = typename Clock::time_point;

    constexpr Overload(duration target, duration interval) noexcept : target_{target}, interval_{interval} {}

    /// Somebody has joined an empty line.
    void begin(time_point now) noexcept {
        stands_ = false;
        open_interval(now);
    }

    /// Whether the head of the line, who has waited so long, is to be shed. To be asked when he is about to be served,
    /// and at the end of the interval.
    bool sheds(duration waited, time_point now) noexcept {
        if (waited < least_) least_ = waited;
        if (now >= end_) {
            stands_ = least_ > target_;
            open_interval(now);
        }
        return stands_ && waited / 2 > target_;
    }

    /// The end of the interval.
    time_point next() const noexcept { return end_; }

private:
    void open_interval(time_point now) noexcept {
        end_ = after(now, interval_);
        least_ = duration::max();
    }

    duration const target_;
    duration const interval_;
    bool stands_ = false;
    duration least_ = duration::max();
    time_point end_{};
};

}  // namespace weir::detail
