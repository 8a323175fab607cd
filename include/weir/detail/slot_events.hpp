#pragma once
// What has become of a slot: a return, the end of a connect, of a recycle, of a close.

#include <weir/detail/answer.hpp>
#include <weir/detail/recent_time.hpp>
#include <weir/detail/standing_line.hpp>

namespace weir::detail {

/// What is told to the pool about a slot by whoever had it, and what follows: who is served, what is opened next.
template <class Conn, class P>
class SlotEvents : public StandingLine<Conn, P> {
    using Base = StandingLine<Conn, P>;

protected:
    using typename Base::Lock;

public:
    using Base::lend;
    using typename Base::Options;
    using typename Base::time_point;

    SlotEvents(Home<Conn>& home, Options const& options) : Base{home, options} {}

    // ---- Returning -------------------------------------------------------------------------------------------------

    /// What becomes of a resource whose lease, and whose `recycle`, has ended. Who is delivered to keeps the core, or
    /// the orders do.
    Fate come_back(SlotBase& slot, Told told, Orders& orders) noexcept {
        auto const now = recent_time();
        Lock const lock{*this, orders, Base::Held::node};
        return this->settle_slot(slot, From::lease, told, now, orders);
    }

    /// Has a resource closed that its holder, or a hook, wants gone.
    void give_up(SlotBase& slot, Cause cause, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        this->begin_close(slot, cause, orders);
    }

    /// A resource is said to be past use, unless its slot holds another by now. One that is idle is closed. Of one that
    /// is lent, or on its way back, its hooks have to find it out; where ages are looked at, its age has come.
    void evict(SlotBase& slot, std::uint64_t id, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        if (this->closed_ || slot.id != id) return;
        if constexpr (P::has_upkeep) slot.dies_at.store(SlotBase::evicted, std::memory_order_relaxed);
        take_away(slot, Cause::unhealthy, orders);
    }

    /// A connector says how many may share what it has opened, unless its slot holds another by now.
    void limit(SlotBase& slot, std::uint64_t id, std::size_t most, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        if (slot.id == id) ShareStore::limit(slot, most);
    }

    /// A resource is to be lent to nobody else, unless its slot holds another by now.
    void drain(SlotBase& slot, std::uint64_t id, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        if (this->closed_ || slot.id != id) return;
        take_away(slot, Cause::stale, orders);
    }

    /// A resource has been closed and destroyed: its slot is free.
    void vacated(SlotBase& slot, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        this->end_operation(slot, orders);
        this->ledger_.closed(slot.cause);
        if (std::exchange(slot.sealed, false) && --this->sealed_ == 0) this->news_.notify_all();
        this->free(slot, orders);
    }

    /// A resource has been taken out for good.
    void detached(SlotBase& slot, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        this->strike(slot);
        this->ledger_.detached();
        this->free(slot, orders);
    }

    // ---- Operations in the background ------------------------------------------------------------------------------

    /// Notes the task that runs an operation of a slot; false when the pool has closed and it is not to be run. Recycling
    /// and most closes have a time limit from now, what is timed already keeps its own.
    bool begin_task(SlotBase& slot, Operation operation, std::shared_ptr<Task> task, Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        if (slot.operation != operation) this->begin_operation(slot, operation, now);
        if (this->closed_ && operation != Operation::closing) return false;
        slot.task = std::move(task);
        if (slot.overrun) orders.push_cancel(slot.task);  // its time was up before it could be told
        return true;
    }

    /// A connect in the background has filled its slot.
    void connected(SlotBase& slot, Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        this->note_connected(slot, now);
        if (this->end_operation(slot, orders)) {
            Waiter* const owner = slot.owner;
            this->end_attempt(slot);
            settle_new(owner, slot, now, orders);
        } else {
            this->begin_close(slot, Cause::unhealthy, orders);
        }
        this->open_for_waiters(now, orders);
    }

    /// A connect in the background has failed: its owner is told, and its slot goes to the next. Once the pool closes
    /// he is told that: his connect may have failed only because it was asked to stop.
    void connect_failed(SlotBase& slot, Failure const& failure, ConnectFailure&& note, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        bool const in_time = this->end_operation(slot, orders);
        if (in_time) {
            Waiter* const owner = slot.owner;
            this->end_attempt(slot);
            auto const now = note.when;
            this->note_failure(slot, std::move(note));
            if (owner) this->attempt_failed(*owner, failure, now, orders);
        }
        vacate(slot, in_time ? failure : Failure{}, orders);
    }

    /// A chore of a slot has ended. The next one is ordered; after the last the slot goes to whom it was prepared for,
    /// or to whoever comes.
    void chore_ended(SlotBase& slot, Failure const& failure, Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        bool const in_time = this->end_operation(slot, orders);
        Waiter* const owner = slot.owner;
        Chore const chore = slot.chores.next();
        this->disown(slot);
        if (failure || !in_time) {
            slot.chores = {};
            if (std::exchange(slot.in_place, false)) --this->checking_;
            this->refill_failed(slot, now);
            this->begin_close(slot, Cause::unhealthy, orders);
            if (owner) this->preparation_failed(*owner, chore, failure, now, orders);
            return;
        }
        note_done(slot, chore, now);
        if (slot.chores.any() && !this->closed_) return this->start_preparation(owner, slot, now, orders);
        slot.chores = {};
        if (slot.refill) this->refilled(slot);
        if (slot.in_place) --this->checking_;
        if (owner && is_lendable(slot)) return this->give(*owner, slot, now, orders);
        // Nobody is worse off for a refresh: one in place of that which is closed for it.
        if (owner) owner->owed = slot.generation != this->generation_;
        this->settle_slot(slot, From::lease, Told::yes, now, orders);
        if (owner && owner->wants_resource()) this->seek(*owner, now, orders);  // unless his time was up
        this->start_checks(now, orders);
    }

    /// The acquirer himself has done the chores, or failed at the first that is left.
    Answer prepared_here(Waiter& waiter, SlotBase& slot, Failure const& failure, Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        Chore const chore = slot.chores.next();
        slot.chores = {};
        if (failure) {
            this->begin_close(slot, Cause::unhealthy, orders);
            if (this->closed_) return Answer::closed;
            waiter.owed = chore != Chore::apply;  // one in place of that which is closed
            return waiter.owed ? Answer::ask_again : Answer::failed;
        }
        if (is_lendable(slot) && (now < waiter.deadline || waiter.is_late)) {
            this->lend_here(slot);
            return Answer::granted;
        }
        bool const late = is_lendable(slot);
        waiter.owed = slot.generation != this->generation_;  // one in place of that which is closed
        this->settle_slot(slot, From::lease, Told::yes, now, orders);
        if (this->closed_) return Answer::closed;
        if (!late) return Answer::ask_again;
        ++this->ledger_.counts.timed_out;
        return Answer::timed_out;
    }

    /// One of several chores is done, by the acquirer himself.
    void chore_done_here(SlotBase& slot, Chore chore) noexcept {
        std::lock_guard const lock{this->mutex_};
        note_done(slot, chore, std::chrono::steady_clock::now());
    }

    /// A recycle in the background has ended; false when it took too long.
    bool recycled(SlotBase& slot, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        return this->end_operation(slot, orders);
    }

    /// A connect on the acquirer's own thread has filled its slot: his, unless it came too late.
    Answer connected_here(Waiter const& waiter, SlotBase& slot, Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        this->note_connected(slot, now);
        this->end_attempt(slot);
        Answer const answer = accept_here(waiter, slot, now, orders);
        this->open_for_waiters(now, orders);
        return answer;
    }

    Answer connect_here_failed(SlotBase& slot, Failure const& failure, ConnectFailure&& note, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        this->note_failure(slot, std::move(note));
        this->end_attempt(slot);
        vacate(slot, failure, orders);
        if (this->closed_) return Answer::closed;
        if (may_share()) return Answer::ask_again;
        return P::retries && this->ledger_.may_wait(this->queue_.waiting()) ? Answer::ask_again : Answer::failed;
    }

protected:
    ~SlotEvents() = default;

private:
    /// Closes it if it lies in the store, without a look beforehand, which may overlook it. What is shared, and not in
    /// there because it has yet to be lent, is remembered.
    void take_away(SlotBase& slot, Cause cause, Orders& orders) noexcept {
        auto const is_it = [&](SlotBase const& each) { return &each == &slot; };
        SlotBase* found = nullptr;
        if constexpr (P::has_settings)
            found = this->store_.take_first(slot.bucket, is_it);
        else
            found = this->store_.take_first(is_it);
        if (found) return this->begin_close(*found, cause, orders);
        if constexpr (P::shares)
            if (Shares::of(slot).out() > 0) this->outdate(slot);
    }

    /// An attempt has yielded nothing, and its slot goes to the next.
    void vacate(SlotBase& slot, Failure const& failure, Orders& orders) noexcept {
        this->strike(slot);
        this->ledger_.vacate_connecting();
        this->attempt_failed_for_all(failure, orders);
        this->free(slot, orders);
    }

    bool may_share() const noexcept {
        if constexpr (P::shares) return this->store_.has_room();
        return false;
    }

    /// What was opened for somebody in particular is his; anything else is for whoever is next.
    void settle_new(Waiter* owner, SlotBase& slot, time_point now, Orders& orders) noexcept {
        bool const may_stay = !this->closed_ && !is_one_too_many();
        bool const aside = owner && owner->place == Waiter::Place::preparing;
        if (may_stay && owner && (slot.chores.any() || aside) && this->may_pass_on(slot))
            return this->give(*owner, slot, now, orders);
        if (may_stay && !owner && slot.chores.any() && this->queue_.empty())
            return this->start_preparation(nullptr, slot, now, orders);
        slot.chores = {};
        Fate const fate = this->settle_slot(slot, From::connector, Told::yes, now, orders);
        if (slot.refill) fate == Fate::closing ? this->refill_failed(slot, now) : this->refilled(slot);
        // One too many by now, or none to be had of it: who has no other waits on.
        if (owner && (aside || fate == Fate::closing) && owner->wants_resource()) this->seek(*owner, now, orders);
    }

    /// Whether it may be lent now that it has been prepared.
    bool is_lendable(SlotBase const& slot) const noexcept {
        return !this->closed_ && slot.generation == this->generation_ && !is_one_too_many();
    }

    bool is_one_too_many() const noexcept {
        if constexpr (P::is_keyed)
            if (this->has_surplus()) return true;
        return this->ledger_.surplus() > 0;
    }

    /// What its peer has paused stays for who has opened it, and is about to wait for it: he would only open another.
    void set_aside(SlotBase& slot, time_point now, Orders& orders) noexcept {
        if constexpr (P::shares) {
            this->clock_.stamp(slot);
            if (slot.generation == this->generation_ && this->store_.push_behind_gate(slot)) return;
        }
        this->settle_slot(slot, From::connector, Told::yes, now, orders);
    }

    void note_done(SlotBase& slot, Chore chore, time_point now) noexcept {
        slot.chores.done();
        if (chore == Chore::check) this->clock_.checked(slot, now);
        if constexpr (P::has_settings) {
            auto& set = this->setting_of(slot);
            if (chore == Chore::reset) {
                set.setting.reset();
                this->store_.assign(slot, 0);
                ++this->ledger_.counts.settings_reset;
            } else if (chore == Chore::apply) {
                set.setting.swap(set.target);
                set.target.reset();
                this->store_.assign(slot, set.target_bucket);
                ++this->ledger_.counts.settings_applied;
            }
        }
    }

    Answer accept_here(Waiter const& waiter, SlotBase& slot, time_point now, Orders& orders) noexcept {
        if (this->closed_) {
            this->begin_close(slot, Cause::drained, orders);
            return Answer::closed;
        }
        if (now >= slot.deadline) {
            this->note_overrun(slot, now);
            this->begin_close(slot, Cause::unhealthy, orders);
            this->attempt_failed_for_all({Errc::timed_out, {}}, orders);
            return P::retries || may_share() ? Answer::ask_again : Answer::timed_out;
        }
        if (now >= waiter.deadline) {
            ++this->ledger_.counts.timed_out;
            this->settle_slot(slot, From::connector, Told::yes, now, orders);
            return Answer::timed_out;
        }
        bool is_too_many = this->ledger_.surplus() > 0;
        if constexpr (P::is_keyed) is_too_many = is_too_many || this->is_claimed(slot, true, true);
        if (is_too_many) {
            this->begin_close(slot, Cause::excess, orders);
            return Answer::ask_again;
        }
        if (!this->may_pass_on(slot)) {
            set_aside(slot, now, orders);
            return Answer::ask_again;
        }
        if (!slot.chores.any()) this->lend_here(slot);
        return Answer::granted;
    }
};

}  // namespace weir::detail
