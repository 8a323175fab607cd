#pragma once

#include <atomic>
#include <chrono>
#include <weir/detail/slot.hpp>

namespace weir::detail {

/// How long resources have been idle, without reading a clock when they are lent or come back.
///
/// A return is stamped with a word that a periodic round advances while something is parked that may expire. The word
/// may be behind the time by one period, so an age read off it may be too high by one: the limit is one period longer
/// than the time to live, and nothing expires early. With two periods of a sixteenth of the time to live, or half a
/// second if that is less, nothing outlives it by more than `min(ttl / 8, 1 s)`. While the clock stands still nothing
/// ages; what was parked then ages from its next start.
///
/// A clock that is cheap to read is read instead, and then ages are exact.
template <class Clock>
class IdleClock {
public:
    using duration = std::chrono::steady_clock::duration;
    using time_point = std::chrono::steady_clock::time_point;

    explicit IdleClock(duration ttl) noexcept
        : ages_{ttl > duration::zero() && ttl < duration::max() / 2},
          period_{period_for(ttl)},
          limit_{!ages_ ? duration::max().count() : (Clock::is_cheap ? ttl : ttl + period_).count()} {}

    // ---- For any thread. -------------------------------------------------------------------------------------------

    /// For the slot's owner, before it parks it.
    void stamp(SlotBase& slot) const noexcept { slot.parked_at.store(now(), std::memory_order_relaxed); }

    /// False when it may have expired.
    bool is_fresh(SlotBase const& slot) const noexcept {
        return now() - slot.parked_at.load(std::memory_order_relaxed) < limit_;
    }

    // ---- Under the core's mutex. -----------------------------------------------------------------------------------

    bool ages() const noexcept { return ages_; }
    bool runs() const noexcept { return next_ != time_point::max(); }
    time_point next_round() const noexcept { return next_; }

    bool is_expired(SlotBase const& slot) const noexcept {
        if (!ages_) return false;
        auto from = slot.parked_at.load(std::memory_order_relaxed);
        if constexpr (!Clock::is_cheap) from = from < started_ ? started_ : from;
        return now() - from >= limit_;
    }

    void start(time_point now) noexcept {
        advance(now);
        started_ = now.time_since_epoch().count();
        next_ = now + period_;
    }

    /// A round: the word follows the time.
    void advance(time_point now) noexcept {
        // Relaxed: the word orders nothing, and a stamp that misses a round is one that came before it.
        word_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
    }

    void next_round_in(duration whole, time_point now) noexcept { next_ = now + whole; }
    duration period() const noexcept { return period_; }
    void stop() noexcept { next_ = time_point::max(); }

private:
    static constexpr duration period_for(duration ttl) noexcept {
        constexpr duration shortest = std::chrono::microseconds{500};
        constexpr duration longest = std::chrono::milliseconds{500};
        return ttl / 16 < shortest ? shortest : ttl / 16 > longest ? longest : ttl / 16;
    }

    duration::rep now() const noexcept {
        if constexpr (Clock::is_cheap)
            return Clock::now().time_since_epoch().count();
        else
            return word_.load(std::memory_order_relaxed);
    }

    bool const ages_;
    duration const period_;
    duration::rep const limit_;
    std::atomic<duration::rep> word_{0};
    duration::rep started_ = 0;
    time_point next_ = time_point::max();
};

}  // namespace weir::detail
