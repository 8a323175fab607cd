#pragma once
// How a pool ends, and what holds that back.

#include <weir/detail/rounds.hpp>

namespace weir::detail {

/// Who holds back the end of a close.
enum class Holder { token, thread };

/// The end: nothing is given out any more, and it is over when nothing is open and nobody of ours is about.
template <class Conn, class P>
class Ending : public Rounds<Conn, P> {
    using Base = Rounds<Conn, P>;

protected:
    using typename Base::Lock;

public:
    using typename Base::Options;
    using typename Base::time_point;

    Ending(Home<Conn>& home, Options const& options) : Base{home, options} {}

    /// Begins the end: from now on nothing is given out and whoever asks is refused. False when it has begun before.
    bool begin_end(Orders& orders) noexcept {
        Lock const lock{*this, orders};
        if (this->closed_) return false;
        this->closed_ = true;
        this->closed_at_ = std::chrono::steady_clock::now();
        this->last_idle_ = this->store_.seal();
        ++this->at_work_;  // until the caller has carried out `close`
        this->news_.notify_all();
        return true;
    }

    /// Goes on with it: whoever waits is told, what is idle is to be closed, what is in flight to be cancelled.
    void close(Orders& orders) noexcept {
        Lock const lock{*this, orders};
        while (SlotBase* const slot = this->last_idle_.pop()) {
            this->begin_close(*slot, Cause::drained, orders);
            if (slot->drains) continue;
            ++this->sealed_;
            slot->sealed = true;
        }
        this->queue_.for_each([&](Waiter& waiter) {
            if (waiter.place != Waiter::Place::draining) this->dismiss(waiter, {Errc::closed, {}}, orders);
        });
        for (auto* list : {&this->in_flight_, &this->overrun_})
            for (SlotBase const& slot : *list)
                if (slot.operation != Operation::closing) orders.push_cancel(slot.task);
    }

    /// Waits as a handler for the end of a close.
    void await_end(Waiter& waiter, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        this->queue_.join(waiter, Waiter::Place::draining);
    }

    /// Waits as a thread; true when all has ended. What was idle is given a moment to close even if there is no time:
    /// a close without one is how people ask for just that.
    bool await_end(time_point until) {
        std::unique_lock lock{this->mutex_};
        if (this->listen(lock, until, [this] { return this->is_over(); })) return true;
        auto const moment = this->closed_at_ + std::chrono::milliseconds{250};
        // With nothing open, and nobody's token, the end itself is a matter of microseconds.
        this->listen(lock, moment, [this] {
            return this->is_over() || (this->sealed_ == 0 && (this->ledger_.open() > 0 || this->lifetimes_ > 0));
        });
        return this->is_over();
    }

    bool has_ended() const noexcept {
        std::lock_guard const lock{this->mutex_};
        return this->is_over();
    }

    /// Whether this thread runs inside a task of ours.
    bool runs_a_task_here() const {
        std::lock_guard const lock{this->mutex_};
        for (auto const* list : {&this->in_flight_, &this->overrun_})
            for (SlotBase const& slot : *list)
                if (slot.task && slot.task->is_running_here()) return true;
        return false;
    }

    /// Holds back the end of a close; false when there is no end to hold back any more.
    bool hold(Holder holder) noexcept {
        std::lock_guard const lock{this->mutex_};
        if (this->ended_) return false;
        ++holds(holder);
        return true;
    }

    void unhold(Holder holder, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        --holds(holder);
    }

    /// A context is shutting down: those whose handlers run there go unheard.
    void context_gone(boost::asio::execution_context const& context, WaiterChain& unheard, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        this->queue_.for_each([&](Waiter& waiter) {
            if (waiter.context == &context) {
                this->take_out(waiter, std::chrono::steady_clock::now());
                // One that was summoned is destroyed with the summons.
                if (!waiter.summoned) unheard.push(waiter);
            } else {
                waiter.leave_pool_executor(&context);
            }
        });
    }

protected:
    ~Ending() = default;

private:
    std::size_t& holds(Holder holder) noexcept { return holder == Holder::token ? this->lifetimes_ : this->at_work_; }
};

}  // namespace weir::detail
