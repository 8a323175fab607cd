#pragma once
// What most steps are of a pool that is short of resources.

#include <utility>
#include <weir/detail/answer.hpp>
#include <weir/detail/recent_time.hpp>
#include <weir/detail/steps.hpp>

namespace weir::detail {

/// Two steps that leave all but the line as it is: one more joins it, and what has come back goes to the first.
///
/// While it stands nothing is idle, the gate is shut and there is no room (invariant 5), so nothing is to be decided, nor put
/// right at the end. What is not as simple goes the long way, which decides the same for these. A line stands from the end
/// of a step that leaves somebody waiting; and after these two, also when the last has been served: who takes turns with
/// others as handlers mostly asks again before anything comes back. Any other step ends that, and opens the gate.
template <class Conn, class P>
class StandingLine : protected Steps<Conn, P> {
    using Base = Steps<Conn, P>;

public:
    using typename Base::Options;
    using typename Base::time_point;

    /// Whether it does. A hint without the mutex, and one that costs processors nothing that do not wait for each other: the
    /// store's own words are what they exchange.
    bool stands() const noexcept { return this->stands_.load(std::memory_order_relaxed); }

    /// Joins the line, if one more may: then he may be served and gone, and the core with him. To ask again means that
    /// there is more to decide, and nothing has been done.
    Answer join_line(Waiter& waiter) noexcept {
        if (!stands()) return Answer::ask_again;
        if (waiter.asked == time_point{}) waiter.asked = std::chrono::steady_clock::now();
        std::lock_guard const lock{this->mutex_};
        if (!has_only_to_wait(waiter)) return Answer::ask_again;
        if (!ledger_.may_wait(queue_.waiting())) {
            ++ledger_.counts.rejected;
            return Answer::rejected;
        }
        waiter.summoned = false;  // he may come again, from having been told
        queue_.join(waiter, Waiter::Place::waiting);
        this->note_wait(waiter, std::exchange(waiter.asked, {}));
        return Answer::in_line;
    }

    /// Hands a resource whose lease has ended to the first in line: he is to be delivered to, and keeps the core until
    /// then. nullptr, and nothing done, when there is more to decide.
    Waiter* hand_on(SlotBase& slot) noexcept {
        if (!stands()) return nullptr;
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
    bool has_only_to_wait(Waiter const& waiter) const noexcept {
        // A thread watches its time itself.
        bool const needs_alarm = waiter.kind == Waiter::Kind::handler && waiter.deadline < this->alarm_at_;
        return stands() && !closed_ && !waiter.owed && waiter.deadline > waiter.asked && !needs_alarm;
    }

    bool has_only_to_be_handed_on(SlotBase const& slot, time_point now) noexcept {
        bool as_it_is = !P::has_settings && slot.generation == this->generation_ && !slot.chores.any();
        if constexpr (P::has_upkeep) as_it_is = as_it_is && !clock_.is_worn(slot, clock_.read(now));
        return as_it_is && stands() && !closed_ && ledger_.surplus() == 0 && queue_.connecting() == 0 &&
               queue_.waiting() > 0 && leaves_it_standing(queue_.front_waiting()) &&
               queue_.front_waiting().deadline > now && queue_.next_deadline() > now;
    }

    // Threads that share a resource watch the store for its return before they join a line: not behind a gate that is shut.
    bool leaves_it_standing(Waiter const& first) const noexcept {
        return queue_.waiting() > 1 || first.kind == Waiter::Kind::handler;
    }
};

}  // namespace weir::detail
