#pragma once
// What a pool does: calls the connector, its hooks and observers, as the arbiter orders.

#include <boost/system/errc.hpp>
#include <memory>
#include <utility>
#include <weir/detail/arbiter.hpp>
#include <weir/detail/inside.hpp>
#include <weir/detail/lifetime_source.hpp>
#include <weir/detail/pool_executor.hpp>
#include <weir/detail/supply.hpp>
#include <weir/detail/workers.hpp>

namespace weir::detail {

/// Where a plain `close` hook runs.
enum class Where { here, on_worker };

/// Opens, recycles and closes slots: on this thread, on a worker or as a task on the executor.
///
/// No function here holds the mutex. Each asks the arbiter and carries out what it is told in a loop, so that a close
/// that frees a place that starts a connect that fails never recurses. Whoever calls in holds the core; a slot holds
/// it only as long as it is open.
template <class Conn, class P>
class Operations : public Home<Conn>, public std::enable_shared_from_this<Operations<Conn, P>> {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using Options = typename P::Options;
    using Shape = typename Supply<Conn>::Shape;
    using Resource = Slot<Conn>;

    Operations(PoolExecutor::Executor executor, std::unique_ptr<Supply<Conn>> supply, Options options)
        : supply_{std::move(supply)},
          options_{std::move(options)},
          arbiter_{*this, options_},
          executor_{std::move(executor)} {}

protected:
    ~Operations() {
        alarm_->stop();
        workers_->stop();
    }

    void begin() {
        arbiter_.set_self(this->weak_from_this());
        alarm_ = std::make_shared<Alarm>([weak = this->weak_from_this()] {
            if (auto const self = weak.lock()) self->ring();
        });
    }

    void carry_out(Orders orders, Where where) noexcept {
        for (;;) {
            orders.ended.reset();
            if (Waiter* const waiter = orders.deliver.pop()) {
                waiter->deliver();
            } else if (std::exchange(orders.ends, false)) {
                arbiter_.unhold(Holder::thread, orders);
            } else if (SlotBase* const slot = orders.connect.pop()) {
                connect(static_cast<Resource&>(*slot), orders);
            } else if (SlotBase* const closing = orders.close.pop()) {
                close(static_cast<Resource&>(*closing), where, orders);
            } else if (auto const task = std::move(orders.cancel)) {
                orders.cancel = std::move(task->next);
                task->cancel();
            } else if (std::exchange(orders.sweep, false)) {
                sweep_on_worker();
            } else if (orders.alarm != time_point::max()) {
                alarm_->set(std::exchange(orders.alarm, time_point::max()));
            } else {
                return;
            }
        }
    }

    // ---- Opening ---------------------------------------------------------------------------------------------------

    /// Opens a slot on this thread, for a thread in want of it.
    void connect_here(Waiter& waiter, Resource& slot) noexcept {
        Failure failure = call_connect(slot, std::min(slot.deadline, waiter.deadline));
        Orders orders;
        if (failure) {
            arbiter_.connect_here_failed(slot, note(failure), orders);
            if (arbiter_.closed()) failure = {Errc::closed, {}};
        } else {
            note_connected(slot);
            failure.code = arbiter_.connected_here(waiter, slot, orders);
        }
        if (failure) waiter.granted = nullptr;
        waiter.failure = std::move(failure);
        carry_out(std::move(orders), Where::here);
    }

    // ---- Returning -------------------------------------------------------------------------------------------------

    void recycle(Resource& slot) noexcept {
        if (arbiter_.closed()) return come_back(slot);
        if (supply_->recycles == Shape::awaitable) return recycle_as_task(slot);
        bool clean = false;
        try {
            Inside const inside{this};
            clean = supply_->recycle(*slot.conn());
        } catch (...) {
            // Not clean, then.
        }
        clean ? give_back(slot) : give_up(slot, Cause::unhealthy);
    }

    void give_back(Resource& slot) noexcept {
        if constexpr (P::Trace::is_traced) {
            if (!arbiter_.would_refuse()) {
                call(options_.trace.before_idle_push);
                if (!arbiter_.park(slot)) come_back(slot, Told::yes);
                return;
            }
        }
        if (arbiter_.park(slot)) [[likely]]
            return;  // and the slot, or this, may be gone
        come_back(slot);
    }

    void come_back(Resource& slot, Told told = P::Trace::is_traced ? Told::no : Told::yes) noexcept {
        auto const self = this->shared_from_this();
        Orders orders;
        Fate fate = arbiter_.come_back(slot, told, orders);
        if constexpr (P::Trace::is_traced) {
            if (fate == Fate::would_park) {
                call(options_.trace.before_idle_push);
                fate = arbiter_.come_back(slot, Told::yes, orders);
            }
            if (fate == Fate::served) call(options_.trace.after_claim);
        }
        carry_out(std::move(orders), Where::here);
    }

    void give_up(Resource& slot, Cause cause) noexcept {
        auto const self = this->shared_from_this();
        Orders orders;
        arbiter_.give_up(slot, cause, orders);
        carry_out(std::move(orders), Where::here);
    }

    void sweep(Where where) noexcept {
        Orders orders;
        arbiter_.sweep(orders);
        carry_out(std::move(orders), where);
    }

    Lifetime lifetime() {
        return lifetimes_.token([this]() -> std::shared_ptr<void const> {
            if (!arbiter_.hold(Holder::token)) return nullptr;
            // Moved out: the deleter outlives its call as long as the source remembers the hold.
            return {this, [self = this->shared_from_this()](void const*) mutable {
                        auto const core = std::move(self);
                        core->unhold(Holder::token);
                    }};
        });
    }

    template <class Call>
    static void call(Call const& traced) {
        if (traced) traced();
    }

    std::unique_ptr<Supply<Conn>> const supply_;
    Options options_;
    Arbiter<Conn, P> arbiter_;
    PoolExecutor executor_;
    LifetimeSource lifetimes_;
    std::atomic<bool> executor_gone_{false};  // the context of the user's executor has shut down

private:
    // ---- Opening ---------------------------------------------------------------------------------------------------

    using Ended = void (Operations::*)(Resource&, Failure const&, Orders&);

    /// Sees a task to its end: exactly once, also when its context destroys it unfinished.
    class Listener final : public Task::Listener {
    public:
        Listener(std::shared_ptr<Operations> self, Resource& slot, Ended then) noexcept
            : self_{std::move(self)}, slot_{&slot}, then_{then} {}
        ~Listener() override {
            if (!self_) return;
            self_->executor_gone_ = true;  // nothing else destroys what was queued
            end({boost::asio::error::operation_aborted, {}});
        }

        void ended(std::exception_ptr exception) noexcept override {
            end(exception ? Failure::of(std::move(exception)) : Failure{});
        }

    private:
        void end(Failure const& failure) noexcept {
            auto const self = std::exchange(self_, nullptr);
            Orders orders;
            (self.get()->*then_)(*slot_, failure, orders);
            self->carry_out(std::move(orders), Where::on_worker);
        }

        std::shared_ptr<Operations> self_;
        Resource* slot_;
        Ended then_;
    };

    /// Runs an operation of a slot as a task. One that cannot be started has ended at once.
    void start_task(Resource& slot, Operation kind, boost::asio::awaitable<void> (Operations::*operate)(Resource&),
                    Ended then, Orders& orders) noexcept {
        bool handed_over = false;
        try {
            if (executor_gone_) throw boost::system::system_error{boost::asio::error::operation_aborted};
            auto const self = this->shared_from_this();
            auto const task = std::make_shared<Task>(executor_.get());
            Task::Operation operation = [self, &slot, operate] { return (self.get()->*operate)(slot); };
            if (!arbiter_.begin_task(slot, kind, task, orders)) throw boost::system::system_error{Errc::closed};
            auto listener = std::make_unique<Listener>(self, slot, then);
            handed_over = true;
            task->start(std::move(operation), std::move(listener));
        } catch (...) {
            if (handed_over)
                executor_gone_ = false;  // it has ended, but the executor only had no room for it
            else
                (this->*then)(slot, Failure::current(), orders);
        }
    }

    void connect(Resource& slot, Orders& orders) noexcept {
        if (supply_->connects == Shape::awaitable)
            return start_task(slot, Operation::connecting, &Operations::connect_task, &Operations::connect_ended,
                              orders);
        slot.job = {&connect_job, static_cast<SlotBase*>(&slot)};
        if (workers_->submit(slot.job)) return;
        auto const no_thread =
            boost::system::errc::make_error_code(boost::system::errc::resource_unavailable_try_again);
        connect_ended(slot, {no_thread, {}}, orders);
    }

    boost::asio::awaitable<void> connect_task(Resource& slot) {
        ConnectContext const context{lifetime(), slot.deadline, executor_.get()};
        co_await supply_->async_connect(slot, context);
    }

    static void connect_job(void* argument) noexcept {
        auto& slot = static_cast<Resource&>(*static_cast<SlotBase*>(argument));
        on_own_thread(slot, [&](Operations& self, Orders& orders) {
            bool const closed = self.arbiter_.closed();
            self.connect_ended(slot, closed ? Failure{Errc::closed, {}} : self.call_connect(slot, slot.deadline),
                               orders);
        });
    }

    void connect_ended(Resource& slot, Failure const& failure, Orders& orders) noexcept {
        if (failure) {
            arbiter_.connect_failed(slot, failure, note(failure), orders);
        } else {
            note_connected(slot);
            arbiter_.connected(slot, orders);
        }
    }

    Failure call_connect(Resource& slot, time_point deadline) noexcept {
        Inside const inside{this};
        try {
            ConnectContext context;
            if (supply_->takes_context) context = {lifetime(), deadline, executor_.get()};
            supply_->connect(slot, context);
        } catch (...) {
            return Failure::current();
        }
        return {};
    }

    void note_connected(Resource const& slot) noexcept {
        if constexpr (P::is_observed) options_.observer.connected(std::chrono::steady_clock::now() - slot.started);
    }

    ConnectFailure note(Failure const& failure) noexcept {
        if constexpr (P::is_observed) options_.observer.connect_failed(failure.code);
        try {
            return {failure.code, failure.text(), std::chrono::steady_clock::now()};
        } catch (...) {
            return {failure.code, {}, std::chrono::steady_clock::now()};  // no memory for the text
        }
    }

    // ---- Closing ---------------------------------------------------------------------------------------------------

    void close(Resource& slot, Where where, Orders& orders) noexcept {
        if (supply_->closes == Shape::plain && where == Where::on_worker) {
            slot.job = {&close_job, static_cast<SlotBase*>(&slot)};
            if (workers_->submit(slot.job)) return;
        }
        if (supply_->closes == Shape::awaitable)
            start_task(slot, Operation::closing, &Operations::close_task, &Operations::close_ended, orders);
        else
            close_here(slot, orders);
    }

    boost::asio::awaitable<void> close_task(Resource& slot) { co_await supply_->async_close(*slot.conn()); }

    static void close_job(void* argument) noexcept {
        auto& slot = static_cast<Resource&>(*static_cast<SlotBase*>(argument));
        on_own_thread(slot, [&](Operations& self, Orders& orders) { self.close_here(slot, orders); });
    }

    void close_here(Resource& slot, Orders& orders) noexcept {
        if (supply_->closes == Shape::plain) {
            try {
                Inside const inside{this};
                supply_->close(*slot.conn());
            } catch (...) {
                // Gone is gone.
            }
        }
        close_ended(slot, {}, orders);
    }

    void close_ended(Resource& slot, Failure const&, Orders& orders) noexcept {
        {
            Inside const inside{this};
            slot.destroy();
        }
        if constexpr (P::is_observed) options_.observer.closed(slot.cause);
        arbiter_.vacated(slot, orders);
    }

    // ---- Recycling -------------------------------------------------------------------------------------------------

    void recycle_as_task(Resource& slot) noexcept {
        auto const self = this->shared_from_this();
        Orders orders;
        start_task(slot, Operation::recycling, &Operations::recycle_task, &Operations::recycle_ended, orders);
        carry_out(std::move(orders), Where::here);
    }

    boost::asio::awaitable<void> recycle_task(Resource& slot) {
        bool const clean = co_await supply_->async_recycle(*slot.conn());
        if (!clean) throw boost::system::system_error{Errc::connect_failed};
    }

    void recycle_ended(Resource& slot, Failure const& failure, Orders& orders) noexcept {
        bool const in_time = arbiter_.recycled(slot, orders);
        if (failure || !in_time)
            arbiter_.give_up(slot, Cause::unhealthy, orders);
        else
            come_back(slot);
    }

    // ---- The pool's own threads ------------------------------------------------------------------------------------

    /// What runs on a worker holds back the end of a close until it touches nothing more.
    template <class Work>
    static void on_own_thread(Resource& slot, Work work) noexcept {
        auto const self = static_cast<Operations&>(*slot.home).shared_from_this();
        self->arbiter_.hold(Holder::thread);
        Orders orders;
        work(*self, orders);
        self->carry_out(std::move(orders), Where::here);
        self->unhold(Holder::thread);
    }

    void unhold(Holder holder) noexcept {
        Orders orders;
        arbiter_.unhold(holder, orders);
        carry_out(std::move(orders), Where::on_worker);
    }

    void ring() noexcept {
        Orders orders;
        arbiter_.ring(std::chrono::steady_clock::now(), orders);
        carry_out(std::move(orders), Where::on_worker);
        unhold(Holder::thread);
    }

    /// One round at a time: a round that takes longer than its period is not overtaken by the next.
    void sweep_on_worker() noexcept {
        if (sweeping_.exchange(true)) return;
        sweeper_ = this->shared_from_this();
        sweep_job_ = {&sweep_job, this};
        if (!workers_->submit(sweep_job_)) sweep_done();
    }

    static void sweep_job(void* argument) noexcept {
        auto& self = *static_cast<Operations*>(argument);
        auto const keep = self.sweeper_;
        bool const held = self.arbiter_.hold(Holder::thread);
        if (held) self.sweep(Where::here);
        self.sweep_done();
        if (held) self.unhold(Holder::thread);
    }

    void sweep_done() noexcept {
        sweeper_.reset();
        sweeping_ = false;
    }

    std::shared_ptr<Workers> const workers_ = std::make_shared<Workers>();
    std::shared_ptr<Alarm> alarm_;
    Job sweep_job_{};
    std::shared_ptr<Operations> sweeper_;  // while a round is queued or runs
    std::atomic<bool> sweeping_{false};
};

}  // namespace weir::detail
