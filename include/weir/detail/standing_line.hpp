#pragma once
// What most steps are of a pool that is short of resources.

#include <weir/detail/recent_time.hpp>
#include <weir/detail/steps.hpp>

namespace weir::detail {

/// The two steps of a line in which others stand, before and after: one more joins it, and what has come back goes to the
/// first. By the invariants nothing is idle then, there is no room, and neither changes; so nothing else is to be decided,
/// or put right at the end. All that is not as simple goes the long way, which would do the same here.
template <class Conn, class P>
class StandingLine : protected Steps<Conn, P> {
    using Base = Steps<Conn, P>;

public:
    using typename Base::Options;
    using typename Base::time_point;

    /// Joins the line: false, and nothing done, when there is more to decide. Else he may be served and gone, and the core
    /// with him.
    bool join_line(Waiter& waiter) noexcept {
        if (!stands(0)) return false;  // a hint, without the mutex
        auto const now = waiter.asked == time_point{} ? std::chrono::steady_clock::now() : waiter.asked;
        std::lock_guard const lock{this->mutex_};
        if (!has_only_to_wait(waiter, now)) return false;
        waiter.asked = {};
        waiter.summoned = false;
        waiter.is_late = false;
        queue_.join(waiter, Waiter::Place::waiting);
        this->note_wait(waiter, now);
        return true;
    }

    /// Hands a resource whose lease has ended to the first in line: he is to be delivered to, and keeps the core until
    /// then. nullptr, and nothing done, when there is more to decide.
    Waiter* hand_on(SlotBase& slot) noexcept {
        if (!stands(1)) return nullptr;
        auto const now = recent_time();
        std::lock_guard const lock{this->mutex_};
        if (!has_only_to_be_handed_on(slot, now)) return nullptr;
        Waiter& waiter = queue_.pop_waiting();
        WEIR_ASSERT(!waiter.attempt && "who waits has no connect of his own");
        this->note_waited(waiter, now);
        this->grant(waiter, slot);
        waiter.begin_deliver();
        return &waiter;
    }

protected:
    using Base::clock_;
    using Base::closed_;
    using Base::ledger_;
    using Base::queue_;

    StandingLine(Home<Conn>& home, Options const& options) : Base{home, options} {}
    ~StandingLine() = default;

private:
    // Whether more than so many wait, and no policy wants to look at them, or at the time, whenever one comes or goes.
    bool stands(std::size_t more_than) const noexcept {
        constexpr bool is_plain = !P::shares && !P::sheds && !P::is_keyed;
        return is_plain && queue_.waiting() > more_than && this->patience_ == this->patience_.zero();
    }

    bool has_only_to_wait(Waiter const& waiter, time_point now) const noexcept {
        return stands(0) && !closed_ && !waiter.owed && waiter.deadline > now && waiter.deadline >= this->alarm_at_ &&
               ledger_.may_wait(queue_.waiting());
    }

    bool has_only_to_be_handed_on(SlotBase const& slot, time_point now) noexcept {
        bool as_it_is = !P::has_settings && slot.generation == this->generation_ && !slot.chores.any();
        if constexpr (P::has_upkeep) as_it_is = as_it_is && !clock_.is_worn(slot, clock_.read(now));
        return as_it_is && stands(1) && !closed_ && ledger_.surplus() == 0 && queue_.connecting() == 0 &&
               queue_.front_waiting().deadline > now && queue_.next_deadline() > now;
    }
};

}  // namespace weir::detail
