#pragma once
// Who in line is given what.

#include <weir/detail/opening.hpp>

namespace weir::detail {

/// Whether those who want to know what is about to happen have been told.
enum class Told { no, yes };

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

    /// An idle one, those over their time aside.
    SlotBase* pop_fresh(Orders& orders) noexcept {
        while (SlotBase* slot = store_.pop()) {
            if (!is_expired(*slot)) return slot;
            this->begin_close(*slot, Cause::idle, orders);
        }
        return nullptr;
    }

    bool is_expired(SlotBase const& slot) const noexcept {
        return ledger_.live() > ledger_.low() && clock_.is_expired(slot);
    }

    /// Counts a lease. For the slot's owner, with the lock or without.
    static void lend(SlotBase& slot) noexcept {
        slot.leases.store(slot.leases.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }

    static void grant(Waiter& waiter, SlotBase& slot) noexcept {
        lend(slot);
        waiter.granted = &slot;
    }

    /// Takes a waiter out of line; his connect goes on for whoever comes next.
    void take_out(Waiter& waiter, time_point now) noexcept {
        queue_.remove(waiter);
        // Without patience he does so himself when he is told, which is next.
        if (patience_ > patience_.zero()) waiter.leave_pool_executor(nullptr);
        if (waiter.attempt) std::exchange(waiter.attempt, nullptr)->owner = nullptr;
        if (waiter.waited) ledger_.counts.wait_time += now - waiter.since;
    }

    static void summon(Waiter& waiter, Orders& orders) noexcept {
        if (!std::exchange(waiter.summoned, true)) orders.deliver.push(waiter);
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
        auto const end = [&](Waiter& waiter) {
            end_early(waiter, Errc::timed_out, now);
            summon(waiter, orders);
        };
        while (Waiter* const waiter = queue_.first_expired(now)) end(*waiter);
        while (!queue_.empty() && queue_.front().deadline <= now) end(queue_.front());
    }

    /// The attempt that was made for this one has come to nothing. Who need not fail for it waits on, where he stood.
    void attempt_failed(Waiter& waiter, Failure const& failure, time_point now, Orders& orders) noexcept {
        if (closed_) return dismiss(waiter, {Errc::closed, {}}, orders);
        if (!P::retries || !ledger_.may_wait(queue_.waiting())) return dismiss(waiter, failure, orders);
        hold_back(waiter, now);
    }

    /// His own connect is not in flight any more, and another may not be started now.
    void hold_back(Waiter& waiter, time_point now) noexcept {
        queue_.demote(waiter);
        if (std::exchange(waiter.waited, true)) return;
        waiter.since = now;
        ++ledger_.counts.waited;
    }

    /// Operations whose time is up are cancelled, and nobody waits for their connects any more.
    void overrun_operations(time_point now, Orders& orders) noexcept {
        while (!in_flight_.empty() && in_flight_.front().deadline <= now) {
            SlotBase& slot = in_flight_.front();
            this->overrun_.splice(this->overrun_.end(), in_flight_, in_flight_.begin());
            slot.overrun = true;
            orders.push_cancel(slot.task);
            if (slot.operation != Operation::connecting) continue;
            Waiter* const owner = slot.owner;
            this->end_attempt(slot);
            this->note_overrun(slot, now);
            if (owner) attempt_failed(*owner, {Errc::timed_out, {}}, now, orders);
        }
        this->open_for_waiters(now, orders);
    }

    /// Gives a resource to the one who is next.
    void serve_front(SlotBase& slot, time_point now, Orders& orders) noexcept {
        Waiter& waiter = queue_.front();
        take_out(waiter, now);
        grant(waiter, slot);
        summon(waiter, orders);
    }

    /// Settles what becomes of a resource that nobody holds: the order of rule 22. What was being opened when the pool
    /// was refreshed is lent once.
    Fate settle_slot(SlotBase& slot, From from, Told told, time_point now, Orders& orders) noexcept {
        if (closed_) return close_slot(slot, Cause::drained, orders);
        expire(now, orders);
        bool const anyone = !queue_.empty();
        if (slot.generation != this->generation_ && (from == From::lease || !anyone))
            return close_slot(slot, Cause::stale, orders);
        if (ledger_.surplus() > 0) return close_slot(slot, Cause::excess, orders);
        if (anyone && !is_patient(queue_.front(), now)) {
            serve_front(slot, now, orders);
            return Fate::served;
        }
        if (!anyone) {
            Keep const keep = this->idle_.keep({ledger_.live(), store_.size(), ledger_.low(), ledger_.high()});
            if (keep != Keep::yes) return close_slot(slot, keep == Keep::no_idle ? Cause::idle : Cause::excess, orders);
            if (P::Trace::is_traced && told == Told::no) return Fate::would_park;
        }
        clock_.stamp(slot);
        store_.push_behind_gate(slot);
        return Fate::parked;
    }

    bool is_patient(Waiter const& front, time_point now) const noexcept {
        return patience_ > patience_.zero() && now - front.since < patience_;
    }

    /// Of what is idle those that are one too many go, the coldest first.
    void trim(Orders& orders) noexcept {
        while (ledger_.surplus() > 0 && store_.size() > 0) {
            close_all(store_.take_coldest(ledger_.surplus(), [](SlotBase const&) { return true; }), Cause::excess,
                      orders);
        }
    }

    /// In the order of the chain, as a last in, first out `orders.close` has it.
    void close_all(Chain const& chain, Cause cause, Orders& orders) noexcept {
        for (Chain rest = chain.reversed(); SlotBase* const slot = rest.pop();) this->begin_close(*slot, cause, orders);
    }

private:
    Fate close_slot(SlotBase& slot, Cause cause, Orders& orders) noexcept {
        this->begin_close(slot, cause, orders);
        return Fate::closing;
    }
};

}  // namespace weir::detail
