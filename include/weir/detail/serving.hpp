#pragma once
// Who in line is given what.

#include <weir/detail/opening.hpp>

namespace weir::detail {

/// Whether those who want to know what is about to happen have been told.
enum class Told { no, yes };

/// Which idle ones are looked for: those that suit, or, rather than none, any.
enum class Search { suitable, any };

/// Where a resource that nobody holds comes from.
enum class From { lease, connector };

/// What becomes of it.
enum class Fate { parked, served, closing, would_park };

/// The steps that concern the line.
template <class Conn, class P>
class Serving : protected Opening<Conn, P> {
    using Base = Opening<Conn, P>;

protected:
    using Base::Base;
    using Base::clock_;
    using Base::closed_;
    using Base::in_flight_;
    using Base::ledger_;
    using Base::patience_;
    using Base::queue_;
    using Base::store_;
    using typename Base::Options;
    using typename Base::time_point;

    ~Serving() = default;

    /// Somebody in line means that nothing is idle, but with patience: invariant 2.
    bool may_be_idle() const noexcept { return queue_.empty() || patience_ > patience_.zero(); }

    /// An idle one, those over their time aside. What is to be done to it before it is lent stands in its chores.
    SlotBase* pop_fresh(Search search, time_point now, Orders& orders) noexcept {
        while (SlotBase* slot = pop(search))
            if (accept(*slot, now, orders)) return slot;
        return nullptr;
    }

    /// Looks at one that was idle; false when it is over its time, and is closed.
    bool accept(SlotBase& slot, time_point now, Orders& orders) noexcept {
        Verdict verdict = judge(slot, clock_.read(now));
        // What others use is not idle.
        if constexpr (P::shares)
            if (verdict != Verdict::fine && verdict != Verdict::aged && !store_.take_alone(slot))
                verdict = Verdict::fine;
        if (verdict == Verdict::expired || verdict == Verdict::aged) {
            this->begin_close(slot, verdict == Verdict::aged ? Cause::age : Cause::idle, orders);
            return false;
        }
        // Those who use it, too, look at its chores, without the mutex: there are none.
        if (P::shares && verdict != Verdict::unchecked) return true;
        if constexpr (P::has_chores) slot.chores = {.check = verdict == Verdict::unchecked};
        return true;
    }

    /// The same for one waiter: the idle one that suits him best, in the order of rules 1 and 2.
    SlotBase* pop_for(Waiter const& waiter, Search search, time_point now, Orders& orders) noexcept {
        if constexpr (P::has_settings) {
            for (;;) {
                SlotBase* slot = waiter.wish.setting ? take_match(waiter.wish) : nullptr;
                if (!slot) slot = search == Search::any ? store_.pop() : store_.pop(0);
                if (!slot) return nullptr;
                if (!accept(*slot, now, orders)) continue;
                this->aim(*slot, waiter.wish);
                return slot;
            }
        } else {
            return pop_fresh(search, now, orders);
        }
    }

    Verdict judge(SlotBase const& slot, std::chrono::steady_clock::rep at) const noexcept {
        return clock_.judge(slot, ledger_.live() > ledger_.low(), at);
    }

    /// Counts a lease, but of a share that was counted as it was taken. For the slot's owner, with the lock or without.
    static void lend(SlotBase& slot) noexcept {
        if constexpr (P::shares && !P::has_upkeep) return;
        auto const now = leases(slot) + (P::shares ? 0 : 1);
        if constexpr (!P::shares) slot.leases.store(now, std::memory_order_relaxed);
        // With its last use its time is up.
        if constexpr (P::has_upkeep)
            if (now >= slot.retires_at) slot.dies_at.store(0, std::memory_order_relaxed);
    }

    /// How often it has been lent, or one that lay there before.
    static std::uint64_t leases(SlotBase const& slot) noexcept {
        if constexpr (P::shares)
            return ShareStore::leases(slot);
        else
            return slot.leases.load(std::memory_order_relaxed);
    }

    /// One that is not prepared is lent when the waiter has done that.
    void grant(Waiter& waiter, SlotBase& slot) noexcept {
        if (!slot.chores.any()) lend_here(slot);
        waiter.granted = &slot;
    }

    /// Counts a lease, where the mutex is held: a shared one may be lent to others from now on.
    void lend_here(SlotBase& slot) noexcept {
        if constexpr (P::shares) {
            if (slot.drains) {
                // It was popped before.
            } else if (slot.generation == this->generation_) {
                store_.publish(slot);
            } else {
                this->drain_when_lent(slot);
            }
            slot.leases.store(slot.leases.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        }
        lend(slot);
    }

    /// Has the chores of a slot done in the background, for `owner` if there is one: he stands outside the line then.
    void start_preparation(Waiter* owner, SlotBase& slot, time_point now, Orders& orders) noexcept {
        this->assign(slot, owner);
        this->begin_operation(slot, Operation::preparing, now);
        orders.prepare.push(slot);
    }

    /// Takes a waiter out of line; his connect goes on for whoever comes next.
    void take_out(Waiter& waiter, time_point now) noexcept {
        queue_.remove(waiter);
        // Without patience he does so himself when he is told, which is next.
        if (patience_ > patience_.zero()) waiter.leave_pool_executor(nullptr);
        if (waiter.attempt) std::exchange(waiter.attempt, nullptr)->owner = nullptr;
        note_waited(waiter, now);
    }

    void note_waited(Waiter const& waiter, time_point now) noexcept {
        // Who served him may have read the clock before he joined, and come to the mutex after him.
        if (waiter.waited && now > waiter.since) ledger_.counts.wait_time += now - waiter.since;
    }

    void summon(Waiter& waiter, Orders& orders) noexcept {
        if (waiter.kind == Waiter::Kind::handler && !waiter.granted) waiter.keep = this->self_.lock();
        orders.summon(waiter);
    }

    /// Ends somebody's wait with a failure, and has him told.
    void dismiss(Waiter& waiter, Failure const& failure, Orders& orders) noexcept {
        take_out(waiter, std::chrono::steady_clock::now());
        waiter.failure = failure;
        summon(waiter, orders);
    }

    /// Takes a waiter out of line before his turn. He is not told yet.
    void end_early(Waiter& waiter, boost::system::error_code why, time_point now) noexcept {
        if (waiter.wants_resource()) ++(why == Errc::timed_out ? ledger_.counts.timed_out : ledger_.counts.cancelled);
        take_out(waiter, now);
        waiter.failure.code = why;
    }

    /// Whoever's time is up is told so, and stands in nobody's way. A thread sees to that itself, but for the one in
    /// front, who may not have woken yet.
    void expire(time_point now, Orders& orders) noexcept {
        for (;;) {
            Waiter* waiter = queue_.first_expired(now);
            if (!waiter && !queue_.empty() && queue_.front().deadline <= now) waiter = &queue_.front();
            if (!waiter) [[likely]]
                return;
            end_early(*waiter, Errc::timed_out, now);
            summon(*waiter, orders);
        }
    }

    /// Those at the head of a standing line who have waited too long go.
    void shed(time_point now, Orders& orders) noexcept {
        if constexpr (P::sheds) {
            while (queue_.waiting() > 0) {
                Waiter& head = queue_.front_waiting();
                if (!this->overload_.sheds(now - head.since, now)) return;
                ++ledger_.counts.shed;
                dismiss(head, {Errc::shed, {}}, orders);
            }
        }
    }

    /// The attempt that was made for this one has come to nothing. Who need not fail for it waits on, where he stood.
    void attempt_failed(Waiter& waiter, Failure const& failure, time_point now, Orders& orders) noexcept {
        if (closed_) return dismiss(waiter, {Errc::closed, {}}, orders);
        if constexpr (P::shares)
            if (SlotBase* const slot = pop_fresh(Search::any, now, orders)) return give(waiter, *slot, now, orders);
        if (!P::retries || !ledger_.may_wait(queue_.waiting())) return dismiss(waiter, failure, orders);
        seek(waiter, now, orders);
    }

    /// One attempt for many: with nothing to share, and nothing else on its way, it has failed for all of them.
    void attempt_failed_for_all(Failure const& failure, Orders& orders) noexcept {
        if constexpr (P::shares && !P::retries) {
            bool const none_is_there = ledger_.live() == ledger_.connecting() && this->connecting_in_time() == 0;
            if (!failure || !none_is_there || queue_.empty()) return;
            while (!queue_.empty()) dismiss(queue_.front(), closed_ ? Failure{Errc::closed, {}} : failure, orders);
            // Of those who share an exception none is to be the last, and destroy what another reads: the order that the
            // standard library sees to in there is one that ThreadSanitizer does not see.
            orders.forgotten = std::exchange(this->sharing_.failed_for_all, failure.exception);
        }
    }

    /// He stands among those who may not open now.
    void note_wait(Waiter& waiter, time_point now) noexcept {
        waiter.since = now;
        waiter.waited = true;
        waiter.is_next = &queue_.front() == &waiter;
        ++ledger_.counts.waited;
    }

    /// His own connect is not in flight any more, and another may not be started now.
    void hold_back(Waiter& waiter, time_point now) noexcept {
        queue_.move(waiter, Waiter::Place::waiting);
        if (std::exchange(waiter.waited, true)) return;
        waiter.since = now;
        ++ledger_.counts.waited;
    }

    /// What this one stood outside the line for has come to nothing: he stands in line by his number, and the gate is
    /// shut as for anybody who joins it. Nor may he wait where no more may.
    void seek(Waiter& waiter, time_point now, Orders& orders) noexcept {
        if (closed_) return dismiss(waiter, {Errc::closed, {}}, orders);
        if (waiter.owed) {
            queue_.move(waiter, Waiter::Place::connecting);
        } else if (ledger_.may_wait(queue_.waiting())) {
            hold_back(waiter, now);
        } else {
            ++ledger_.counts.rejected;
            return dismiss(waiter, {Errc::too_many_waiters, {}}, orders);
        }
        while (!queue_.empty() && !store_.shut_if_empty())
            if (SlotBase* const slot = pop_fresh(Search::any, now, orders)) serve_next(*slot, now, orders);
        this->open_for_waiters(now, orders);
    }

    /// Operations whose time is up are cancelled, and nobody waits for their connects any more.
    void overrun_operations(time_point now, Orders& orders) noexcept {
        while (!in_flight_.empty() && in_flight_.front().deadline <= now) {
            SlotBase& slot = in_flight_.front();
            this->overrun_.splice(this->overrun_.end(), in_flight_, in_flight_.begin());
            slot.overrun = true;
            orders.push_cancel(slot.task);
            if constexpr (P::is_keyed) this->forgo(slot, orders);
            Waiter* const owner = slot.owner;
            if (slot.operation == Operation::connecting) {
                this->end_attempt(slot);
                this->note_overrun(slot, now);
                if (owner) attempt_failed(*owner, {Errc::timed_out, {}}, now, orders);
                attempt_failed_for_all({Errc::timed_out, {}}, orders);
            } else if (owner) {
                disown(slot);
                preparation_failed(*owner, slot.chores.next(), {Errc::timed_out, {}}, now, orders);
            }
        }
        this->open_for_waiters(now, orders);
    }

    static void disown(SlotBase& slot) noexcept {
        if (slot.owner) std::exchange(slot.owner, nullptr)->attempt = nullptr;
    }

    /// Only who wants a setting that cannot be applied has failed with it.
    void preparation_failed(Waiter& owner, Chore chore, Failure const& failure, time_point now,
                            Orders& orders) noexcept {
        if (chore == Chore::apply) return dismiss(owner, failure, orders);
        owner.owed = true;  // one in place of that which is closed
        seek(owner, now, orders);
    }

    /// Gives a resource to the one who is next, or has it prepared for him first.
    void serve_next(SlotBase& slot, time_point now, Orders& orders) noexcept {
        Waiter& waiter = next_for(slot);
        this->aim(slot, waiter.wish);
        give(waiter, slot, now, orders);
    }

    /// The first who wants just what this has, unless somebody before him has been passed over too often. Else the first.
    Waiter& next_for(SlotBase const& slot) noexcept {
        if constexpr (P::has_settings) {
            constexpr unsigned too_often = 8;
            if (queue_.front().passed_over < too_often)
                if (Waiter* const just =
                        queue_.pass_to([&](Waiter const& waiter) { return this->has_just(slot, waiter.wish); }))
                    return *just;
        }
        return queue_.front();
    }

    /// Gives a resource to this one, when what is to be done to it is done.
    void give(Waiter& waiter, SlotBase& slot, time_point now, Orders& orders) noexcept {
        if (slot.chores.any() && !waiter.prepares_here) {
            queue_.move(waiter, Waiter::Place::preparing);
            return start_preparation(&waiter, slot, now, orders);
        }
        take_out(waiter, now);
        grant(waiter, slot);
        summon(waiter, orders);
    }

    /// Settles what becomes of a resource that nobody holds: the order of rule 22. What was being opened when the pool
    /// was refreshed is lent once.
    Fate settle_slot(SlotBase& slot, From from, Told told, time_point now, Orders& orders) noexcept {
        bool const in_place = std::exchange(slot.in_place, false);
        if (closed_ || slot.drains) return close_slot(slot, Cause::drained, orders);
        expire(now, orders);
        shed(now, orders);
        bool const anyone = !queue_.empty();
        if (slot.generation != this->generation_ && (from == From::lease || !anyone || !may_pass_on(slot)))
            return close_slot(slot, Cause::stale, orders);
        if (ledger_.surplus() > 0) return close_slot(slot, Cause::excess, orders);
        if constexpr (P::is_keyed)
            if (this->is_claimed(slot, anyone, from == From::connector)) return close_slot(slot, Cause::excess, orders);
        if constexpr (P::has_upkeep)
            if ((from == From::lease || !anyone) && clock_.is_worn(slot, clock_.read(now)))
                return close_slot(slot, Cause::age, orders);
        if (anyone && may_pass_on(slot) && (!is_patient(now) || slot.generation != this->generation_)) {
            serve_next(slot, now, orders);
            return Fate::served;
        }
        if (!anyone && is_only_holder(slot)) {
            Keep const keep = this->idle_.keep({ledger_.live(), store_.size(), ledger_.low(), ledger_.high()});
            if (keep != Keep::yes) return close_slot(slot, keep == Keep::no_idle ? Cause::idle : Cause::excess, orders);
            if (P::Trace::is_traced && told == Told::no) return Fate::would_park;
        }
        if (!in_place) clock_.stamp(slot);  // else it has not been used
        if constexpr (P::shares) {
            if (!store_.push_behind_gate(slot)) return close_slot(slot, Cause::excess, orders);
        } else {
            in_place ? store_.put_back(slot) : store_.push_behind_gate(slot);
        }
        return Fate::parked;
    }

    /// Whether the share of him who gives it back, or opened it, is one to be had: its connector may want fewer by now.
    static bool may_pass_on(SlotBase const& slot) noexcept {
        if constexpr (P::shares) return Shares::of(slot).out() <= Shares::of(slot).most();
        return true;
    }

    static bool is_only_holder(SlotBase const& slot) noexcept {
        if constexpr (P::shares)
            return Shares::of(slot).out() == 1;
        else
            return true;
    }

    /// Has idle ones checked that are due, the coldest first: so few at a time that nobody misses them.
    void start_checks(time_point now, Orders& orders) noexcept {
        if (!clock_.checks() || closed_) return;
        auto const at = clock_.read(now);
        while (this->checking_ <= store_.size() / 4) {
            Chain due = store_.take_coldest(1, [&](SlotBase const& slot) { return clock_.is_due(slot, at); });
            SlotBase* const slot = due.pop();
            if (!slot) return;
            ++this->checking_;
            slot->in_place = true;
            slot->chores.check = true;
            start_preparation(nullptr, *slot, now, orders);
        }
    }

    bool is_patient(time_point now) noexcept {
        return patience_ > patience_.zero() && now - queue_.front().since < patience_;
    }

private:
    SlotBase* pop(Search search) noexcept {
        if constexpr (P::shares)
            return store_.pop_behind_gate(search == Search::suitable);
        else
            return store_.pop();
    }

    // Takes out of its bucket the latest that has just that setting, and leaves the order of the others alone.
    SlotBase* take_match(Wish wish) noexcept {
        return store_.take_first(wish.bucket, [&](SlotBase const& slot) { return this->has_just(slot, wish); });
    }

    Fate close_slot(SlotBase& slot, Cause cause, Orders& orders) noexcept {
        this->begin_close(slot, cause, orders);
        return Fate::closing;
    }
};

}  // namespace weir::detail
