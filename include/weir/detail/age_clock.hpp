#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <weir/detail/random.hpp>
#include <weir/detail/slot.hpp>
#include <weir/policy/upkeep.hpp>

namespace weir::detail {

/// What is to become of an idle resource.
enum class Verdict {
    fine,
    expired,    // idle for too long
    aged,       // too old
    unchecked,  // to be checked before it is lent
};

/// How long resources have been idle, and how old they are, without reading a clock when they are lent or come back.
///
/// A return is stamped with a word that a periodic round advances while there is something that ages. The word may be
/// behind the time by one period, so an age read off it may be too high by one: the limit is one period longer than the
/// time to live, and nothing expires early; for a check, which must not come late, it is one shorter. With two periods
/// of a sixteenth of the shortest time, or half a second if that is less, nothing outlives the time to live by more than
/// `min(ttl / 8, 1 s)`. While the clock stands still nothing ages; what was parked then ages from its next start.
///
/// A clock that is cheap to read is read instead, and then ages are exact.
template <class Clock>
class AgeClock {
public:
    using duration = std::chrono::steady_clock::duration;
    using rep = duration::rep;
    using time_point = std::chrono::steady_clock::time_point;

    explicit AgeClock(duration ttl, UpkeepRules const& rules = {}) noexcept
        : rules_{rules},
          expires_{ttl > duration::zero() && ttl < duration::max() / 2},
          period_{period_for(ttl, rules)},
          ttl_limit_{!expires_ ? for_ever : (Clock::is_cheap ? ttl : ttl + period_).count()},
          check_limit_{limit_of_check(rules.check_after_idle)} {}

    // ---- For any thread. -------------------------------------------------------------------------------------------

    /// For the slot's owner, before it parks it.
    void stamp(SlotBase& slot) const noexcept { slot.parked_at.store(now(), std::memory_order_relaxed); }

    /// False when it may have expired, or may have to be checked.
    bool is_fresh(SlotBase const& slot) const noexcept {
        return slot.parked_at.load(std::memory_order_relaxed) > bound();
    }

    /// The same where there is upkeep: false also when it may be too old.
    bool is_fresh_and_young(SlotBase const& slot) const noexcept {
        return is_fresh(slot) && now() < slot.dies_at.load(std::memory_order_relaxed);
    }

    /// For the slot's owner, before he parks it: stamps it, unless it is too old or worn.
    bool stamp_young(SlotBase& slot) const noexcept {
        rep const at = now();
        if (at >= slot.dies_at.load(std::memory_order_relaxed)) return false;
        slot.parked_at.store(at, std::memory_order_relaxed);
        return true;
    }

    /// The same for one of several owners: only the first of a round writes.
    bool stamp_shared(SlotBase& slot) const noexcept {
        rep const at = now();
        if (at >= slot.dies_at.load(std::memory_order_relaxed)) return false;
        if (slot.parked_at.load(std::memory_order_relaxed) != at) slot.parked_at.store(at, std::memory_order_relaxed);
        return true;
    }

    bool knows_leases() const noexcept { return Clock::is_cheap || watches_leases(); }
    bool watches_leases() const noexcept { return rules_.overdue_after > duration::zero(); }

    /// For the slot's owner, who lends it.
    void begin_lease(SlotBase& slot) const noexcept { slot.lent_since.store(now(), std::memory_order_relaxed); }

    /// For the slot's owner, who gives it back: whether the lease was reported as overdue.
    static bool end_lease(SlotBase& slot) noexcept {
        return slot.lent_since.exchange(0, std::memory_order_relaxed) < 0;
    }

    /// The same where nobody is told.
    static void end_unwatched_lease(SlotBase& slot) noexcept { slot.lent_since.store(0, std::memory_order_relaxed); }

    // ---- Under the core's mutex. -----------------------------------------------------------------------------------

    UpkeepRules const& rules() const noexcept { return rules_; }

    /// Whether anything ages, in a pool that has more open than stay for ever, or not.
    bool ages(bool above_low) const noexcept {
        return (above_low && expires_) || rules_.max_age > duration::zero() || check_limit_ != for_ever ||
               rules_.check_every > duration::zero() || watches_leases();
    }
    bool runs() const noexcept { return next_ != time_point::max(); }
    time_point next_round() const noexcept { return next_; }

    /// A resource is to be opened. It may be evicted from now on.
    static void conceive(SlotBase& slot) noexcept { slot.dies_at.store(for_ever, std::memory_order_relaxed); }

    /// It has been opened.
    void born(SlotBase& slot, time_point now, Random& random) noexcept {
        rep const at = read(now);
        slot.checked_at.store(at, std::memory_order_relaxed);
        rep const age = rules_.max_age.count();
        rep const lives = age == 0 ? 0 : random.shortened(rules_.max_age, rules_.age_jitter).count();
        if (slot.dies_at.load(std::memory_order_relaxed) != SlotBase::evicted)
            slot.dies_at.store(age == 0 || lives > for_ever - at ? for_ever : at + lives, std::memory_order_relaxed);
        auto const uses = slot.leases.load(std::memory_order_relaxed);
        slot.retires_at = rules_.max_uses == 0 ? std::uint64_t(-1) : uses + rules_.max_uses;
    }

    /// Of one that is idle. With the exact time, where a thread has it at hand.
    Verdict judge(SlotBase const& slot, bool above_low, rep at) const noexcept {
        if (at >= slot.dies_at.load(std::memory_order_relaxed)) return Verdict::aged;
        bool const trusted =
            slot.checked_at.load(std::memory_order_relaxed) >= distrusted_ || since(slot) >= distrusted_;
        if (trusted && above_low && expires_ && at - since(slot) >= ttl_limit_) return Verdict::expired;
        return !trusted || at - since(slot) >= check_limit_ ? Verdict::unchecked : Verdict::fine;
    }

    /// How long until one expires that was parked then.
    duration until_expiry(rep parked, rep at) const noexcept {
        return duration{parked >= at ? ttl_limit_ : parked + ttl_limit_ - at};
    }

    static bool is_worn(SlotBase const& slot, rep at) noexcept {
        return at >= slot.dies_at.load(std::memory_order_relaxed);
    }

    /// Of one that is idle: whether it is to be checked in the background.
    bool is_due(SlotBase const& slot, rep at) const noexcept {
        rep const checked = slot.checked_at.load(std::memory_order_relaxed);
        if (checked < distrusted_ && since(slot) < distrusted_) return true;
        rep const from = checked > since(slot) ? checked : since(slot);
        return rules_.check_every > duration::zero() && at - from >= rules_.check_every.count();
    }

    void checked(SlotBase& slot, time_point now) noexcept {
        slot.checked_at.store(read(now), std::memory_order_relaxed);
    }

    /// Of one that may be lent: how long it has been held, if that is to be reported now. Nothing is reported twice.
    duration report_overdue(SlotBase& slot, rep at) const noexcept {
        rep from = slot.lent_since.load(std::memory_order_relaxed);
        duration const held{at - from};
        rep const slack = Clock::is_cheap ? 0 : period_.count();
        if (from <= 0 || held.count() < rules_.overdue_after.count() + slack) return {};
        // Its holder may be giving it back, or another have it already.
        return slot.lent_since.compare_exchange_strong(from, -from, std::memory_order_relaxed) ? held : duration{};
    }

    /// How long one has been lent, or less than nothing when it is not. Where there is no upkeep nobody knows; where
    /// leases are not watched it may be less, by the time for which the word stood.
    duration held(SlotBase const& slot, rep at) const noexcept {
        rep const from = slot.lent_since.load(std::memory_order_relaxed);
        rep const since = from < 0 ? -from : from;
        return since == 0 ? duration{-1} : duration{at > since ? at - since : 0};
    }

    void start(time_point now) noexcept {
        advance(now);
        started_ = now.time_since_epoch().count();
        next_ = now + period_;
    }

    /// A round: the word follows the time. After a jump of more than ten rounds no age is trusted, where there are
    /// checks, until the resource has been checked.
    void advance(time_point now) noexcept {
        rep const at = read(now);
        bool const jumped = seen_ != 0 && at - seen_ > 10 * period_.count();
        if (jumped && checks()) distrusted_ = at;
        seen_ = at;
        // Relaxed: the word orders nothing, and a stamp that misses a round is one that came before it.
        word_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
        bound_.store(now.time_since_epoch().count() - fast_limit_, std::memory_order_relaxed);
    }

    bool checks() const noexcept { return check_limit_ != for_ever || rules_.check_every > duration::zero(); }

    void next_round_in(duration whole, time_point now) noexcept { next_ = now + whole; }
    duration period() const noexcept { return period_; }
    void stop() noexcept {
        next_ = time_point::max();
        seen_ = 0;
    }

    /// The time, for one who has just read the steady clock.
    static rep read(time_point now) noexcept {
        if constexpr (Clock::is_cheap)
            return Clock::now().time_since_epoch().count();
        else
            return now.time_since_epoch().count();
    }

private:
    static constexpr rep for_ever = duration::max().count();

    // Of two, of which 0 means that there is none.
    static constexpr duration shorter(duration a, duration b) noexcept {
        if (a <= duration::zero()) a = duration::max();
        return b > duration::zero() && b < a ? b : a;
    }

    static constexpr duration period_for(duration ttl, UpkeepRules const& rules) noexcept {
        constexpr duration shortest = std::chrono::microseconds{500};
        constexpr duration longest = std::chrono::milliseconds{500};
        duration least = shorter(ttl, rules.max_age);
        least = shorter(least, rules.check_after_idle);
        least = shorter(least, rules.check_every);
        least = shorter(least, rules.overdue_after);
        return least / 16 < shortest ? shortest : least / 16 > longest ? longest : least / 16;
    }

    rep limit_of_check(duration after) const noexcept {
        if (after <= duration::zero()) return for_ever;
        return Clock::is_cheap ? after.count() : (after - period_).count();
    }

    // While the clock stood nothing aged.
    rep since(SlotBase const& slot) const noexcept {
        rep const from = slot.parked_at.load(std::memory_order_relaxed);
        if constexpr (Clock::is_cheap) return from;
        return from < started_ ? started_ : from;
    }

    rep now() const noexcept {
        if constexpr (Clock::is_cheap)
            return Clock::now().time_since_epoch().count();
        else
            return word_.load(std::memory_order_relaxed);
    }

    // What came back later is fresh.
    rep bound() const noexcept {
        if constexpr (requires { Clock::roughly_now(); })
            return Clock::roughly_now().time_since_epoch().count() - fast_limit_;
        else if constexpr (Clock::is_cheap)
            return now() - fast_limit_;
        else
            return bound_.load(std::memory_order_relaxed);
    }

    UpkeepRules const rules_;
    bool const expires_;
    duration const period_;
    rep const ttl_limit_;
    rep const check_limit_;
    rep const fast_limit_ = ttl_limit_ < check_limit_ ? ttl_limit_ : check_limit_;
    std::atomic<rep> word_{std::chrono::steady_clock::now().time_since_epoch().count()};
    std::atomic<rep> bound_{word_.load() - fast_limit_};
    rep started_ = 0;
    rep seen_ = 0;        // in the latest round; 0: there was none since the start
    rep distrusted_ = 0;  // stamps before this are worth nothing until a check
    time_point next_ = time_point::max();
};

}  // namespace weir::detail
