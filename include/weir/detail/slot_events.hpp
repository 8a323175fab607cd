#pragma once
// What has become of a slot: a return, the end of a connect, of a recycle, of a close.

#include <weir/detail/state.hpp>

namespace weir::detail {

/// What is told to the pool about a slot by whoever had it, and what follows: who is served, what is opened next.
template <class Conn, class P>
class SlotEvents : protected State<Conn, P> {
    using Base = State<Conn, P>;

protected:
    using typename Base::Lock;

public:
    using Base::lend;
    using typename Base::Options;

    SlotEvents(Home<Conn>& home, Options const& options) : Base{home, options} {}

    // ---- Returning -------------------------------------------------------------------------------------------------

    /// What becomes of a resource whose lease, and whose `recycle`, has ended.
    Fate come_back(SlotBase& slot, Told told, Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        return this->settle_slot(slot, told, now, orders);
    }

    /// Has a resource closed that its holder, or a hook, wants gone.
    void give_up(SlotBase& slot, Cause cause, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        this->begin_close(slot, cause, orders);
    }

    /// A resource has been closed and destroyed: its slot is free.
    void vacated(SlotBase& slot, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        this->end_operation(slot, orders);
        this->ledger_.closed(slot.cause);
        if (std::exchange(slot.sealed, false) && --this->sealed_ == 0) this->drained_.notify_all();
        this->free(slot, orders);
    }

    /// A resource has been taken out for good.
    void detached(SlotBase& slot, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        this->ledger_.detached();
        this->free(slot, orders);
    }

    // ---- Operations in the background ------------------------------------------------------------------------------

    /// Notes the task that runs an operation of a slot; false when the pool has closed and it is not to be run. Recycling
    /// and closing have a time limit from now, a connect has had it since its slot was reserved.
    bool begin_task(SlotBase& slot, Operation operation, std::shared_ptr<Task> task, Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        if (operation != Operation::connecting) this->begin_operation(slot, operation, now);
        if (this->closed_ && operation != Operation::closing) return false;
        slot.task = std::move(task);
        return true;
    }

    /// A connect in the background has filled its slot.
    void connected(SlotBase& slot, Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        this->ledger_.connected(now - slot.started);
        if (this->end_operation(slot, orders)) {
            this->end_attempt(slot);
            this->settle_slot(slot, Told::yes, now, orders);
        } else {
            this->begin_close(slot, Cause::unhealthy, orders);
        }
        this->open_for_waiters(now, orders);
    }

    /// A connect in the background has failed: its owner is told, and its slot goes to the next. Once the pool closes
    /// he is told that: his connect may have failed only because it was asked to stop.
    void connect_failed(SlotBase& slot, Failure const& failure, ConnectFailure&& note, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        if (this->end_operation(slot, orders)) {
            Waiter* const owner = slot.owner;
            this->end_attempt(slot);
            this->note_failure(std::move(note));
            if (owner) this->dismiss(*owner, this->closed_ ? Failure{Errc::closed, {}} : failure, orders);
        }
        this->ledger_.vacate_connecting();
        this->free(slot, orders);
    }

    /// A recycle in the background has ended; false when it took too long.
    bool recycled(SlotBase& slot, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        return this->end_operation(slot, orders);
    }

    /// A connect on the acquirer's own thread has filled its slot: his, unless it came too late. The error is then why.
    boost::system::error_code connected_here(Waiter const& waiter, SlotBase& slot, Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        this->ledger_.connected(now - slot.started);
        boost::system::error_code late{};
        if (this->closed_) {
            this->begin_close(slot, Cause::drained, orders);
            late = Errc::closed;
        } else if (now >= slot.deadline) {
            this->note_overrun(now);
            this->begin_close(slot, Cause::unhealthy, orders);
            late = Errc::timed_out;
        } else if (now >= waiter.deadline) {
            ++this->ledger_.counts.timed_out;
            this->settle_slot(slot, Told::yes, now, orders);
            late = Errc::timed_out;
        } else {
            lend(slot);
        }
        this->open_for_waiters(now, orders);
        return late;
    }

    void connect_here_failed(SlotBase& slot, ConnectFailure&& note, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        this->note_failure(std::move(note));
        this->ledger_.vacate_connecting();
        this->free(slot, orders);
    }

protected:
    ~SlotEvents() = default;
};

}  // namespace weir::detail
