#pragma once
// Where a pool's work runs: on its own threads, or as a task on its executor.

#include <atomic>
#include <memory>
#include <utility>
#include <weir/detail/awaitable_task.hpp>
#include <weir/detail/hand_over.hpp>
#include <weir/detail/inside.hpp>
#include <weir/detail/keyed_arbiter.hpp>
#include <weir/detail/means.hpp>

namespace weir::detail {

/// Runs what `Operations` wants run, keeps the core alive and holds back the end of a close meanwhile.
template <class Conn, class P>
class Runner : public Home<Conn>,
               public ContextUser,
               public AlarmUser,
               public std::enable_shared_from_this<Runner<Conn, P>> {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using Executor = typename P::Executor;
    using Options = typename P::Options;
    using Resource = Slot<Conn>;

    Lifetime lifetime() {
        return means_->lifetimes.token([this]() -> std::shared_ptr<void const> {
            if (!arbiter_.hold(Holder::token)) return nullptr;
            // Moved out: the deleter outlives its call as long as the source remembers the hold.
            return {this, [self = this->shared_from_this()](void const*) mutable {
                        auto const core = std::move(self);
                        core->unhold(Holder::token);
                    }};
        });
    }

    /// Has the pool told when that context shuts down.
    void watch(boost::asio::execution_context& context) {
        if (!means_->contexts.knows(context)) begin_to_watch(context);
    }

    /// Whether there is an executor of the user's to run on: its context has not shut down.
    bool may_use_executor() const noexcept { return !means_->executor.is_own() && !means_->executor_gone; }

    /// The last that its owner has to say: threads of the pool's own may keep the core for longer than he keeps the
    /// executor's context.
    void abandon() noexcept { means_->handle_gone = true; }

    /// What `Inside` knows the pool by.
    Inside::Name identity() const noexcept { return means_->name; }

    /// A round of maintenance.
    void sweep(Where where) noexcept {
        Orders orders;
        arbiter_.sweep(orders);
        carry_out(orders, where);
        if constexpr (P::has_upkeep) report_overdue();
    }

    /// Starts in the background what is due and not a sweep.
    void check() noexcept {
        Orders orders;
        arbiter_.check(orders);
        carry_out(orders, Where::on_worker);
    }

protected:
    /// `home` is where leases give back.
    Runner(Home<Conn>& home, std::shared_ptr<Means<P>> means)
        : means_{std::move(means)}, arbiter_{home, means_->options} {}
    ~Runner() { means_->alarms->forget(alarm_); }

    void begin() {
        introduce();
        watch_executor();
        Orders orders;
        arbiter_.begin(orders);
        carry_out(orders, Where::on_worker);
    }

    /// To those who do not keep it alive.
    void introduce() {
        arbiter_.set_self(this->weak_from_this());
        alarm_.user = this->weak_from_this();
    }

    /// From the beginning: it may shut down before anything has run there, and handlers elsewhere go on waiting.
    void watch_executor() {
        if (auto* const context = means_->executor.context(); context && !means_->executor.is_own()) watch(*context);
    }

    virtual void begin_to_watch(boost::asio::execution_context& context) {
        means_->contexts.add(context, this->shared_from_this());
    }

    virtual void carry_out(Orders& orders, Where where) noexcept = 0;

    // ---- On the executor -------------------------------------------------------------------------------------------

    /// Runs an awaitable operation of a slot, and then `ended(Failure const&, Orders&)`: exactly once, also when the
    /// executor's context destroys it unfinished. One that cannot be started has ended at once.
    template <class Operate, class Ended>
    void start_task(Resource& slot, Operation kind, Operate operate, Ended ended, Orders& orders) noexcept {
        bool handed_over = false;
        try {
            HandOver const hand_over{means_->executor.context()};
            if (means_->executor_gone || Inside::of(means_->dropping))
                throw boost::system::system_error{boost::asio::error::operation_aborted};
            auto const self = this->shared_from_this();
            // Every resource is closed: a thread that is held up in here for as long as a close may take spares it nothing.
            auto const begins = kind == Operation::closing ? Begins::always : Begins::unless_cancelled;
            auto const task = std::make_shared<RunningTask>(means_->executor.get(), begins);
            task->context = means_->executor.context();
            typename RunningTask::Operation operation = [self, operate] { return operate(); };
            if (!arbiter_.begin_task(slot, kind, task, orders)) throw boost::system::system_error{Errc::closed};
            auto listener = std::make_unique<Listener<Ended>>(self, ended);
            handed_over = true;
            task->start(std::move(operation), std::move(listener));
        } catch (...) {
            if (!handed_over) ended(Failure::current(), orders);  // else the listener has done so at its end
        }
    }

    /// Asks it to stop, but where its context has gone, and it with that.
    void stop(Task& task) noexcept {
        if (!means_->executor_gone) task.cancel();
    }

    // ---- On the pool's own threads ---------------------------------------------------------------------------------

    /// Has a worker do that to a slot; false when there is none. It holds back the end of a close until it touches
    /// nothing more.
    template <class Self, void (Self::*Do)(Resource&, Orders&)>
    bool submit(Resource& slot) noexcept {
        auto const run = [](void* argument) noexcept {
            auto& given = static_cast<Resource&>(*static_cast<SlotBase*>(argument));
            HandOver last;
            auto const self = std::static_pointer_cast<Runner>(given.keep);
            self->arbiter_.hold(Holder::thread);
            Orders orders;
            (static_cast<Self&>(*self).*Do)(given, orders);
            self->carry_out(orders, Where::here);
            last = self->until_forgotten();
            self->unhold(Holder::thread);
        };
        slot.job = {run, static_cast<SlotBase*>(&slot)};
        return means_->workers->submit(slot.job);
    }

    /// One round at a time: a round that takes longer than its period is not overtaken by the next.
    void sweep_on_worker() noexcept {
        if (sweeping_.exchange(true)) return;
        sweeper_ = this->shared_from_this();
        sweep_job_ = {&sweep_job, this};
        if (!means_->workers->submit(sweep_job_)) sweep_done();
    }

    /// Tells the observer, if there is one; a close from there does not wait for itself.
    template <class Tell>
    void observe(Tell tell) noexcept {
        if constexpr (P::is_observed) {
            Inside const inside{identity()};
            tell(means_->options.observer);
        }
    }

    /// For a thread of ours whose work is done: a close may end now, and the pool and its context after it, and the thread
    /// may be the last that keeps the executor.
    HandOver until_forgotten() const noexcept { return HandOver{means_->executor.context()}; }

    void unhold(Holder holder) noexcept {
        Orders orders;
        arbiter_.unhold(holder, orders);
        carry_out(orders, Where::on_worker);
    }

    void context_gone(boost::asio::execution_context& context) noexcept override {
        means_->contexts.forget(context);
        if (&context == means_->executor.context()) means_->executor_gone = true;
        let_go(context);
    }

    void forget_executor(boost::asio::execution_context& context) noexcept override {
        if (means_->handle_gone && &context == means_->executor.context()) means_->executor.drop();
    }

    /// Of all that runs there.
    void let_go(boost::asio::execution_context const& context) noexcept {
        WaiterChain unheard;
        Orders orders;
        arbiter_.context_gone(context, unheard, orders);
        carry_out(orders,
                  Where::on_worker);  // before users' handlers are destroyed, and with one perhaps the next context
        while (Waiter* const waiter = unheard.pop()) {
            Inside const inside{identity()};
            waiter->abandon();
        }
    }

    void set_alarm(time_point at) noexcept { means_->alarms->set(alarm_, at); }

    std::shared_ptr<Means<P>> const means_;
    ArbiterOf<Conn, P> arbiter_;

private:
    using RunningTask = AwaitableTask<Executor>;

    template <class Ended>
    class Listener final : public RunningTask::Listener {
    public:
        Listener(std::shared_ptr<Runner> self, Ended then) noexcept : self_{std::move(self)}, then_{std::move(then)} {}
        // Untold: what the operation waited for has been destroyed, or its context is shutting down, which shows only
        // later. So nothing is started from in here: a task that is posted to a half destroyed context never ends.
        ~Listener() override {
            if (!self_) return;
            Inside const dropping{self_->means_->dropping};
            end({boost::asio::error::operation_aborted, {}});
        }

        void ended(std::exception_ptr exception) noexcept override {
            end(exception ? Failure::of(std::move(exception)) : Failure{});
        }

    private:
        void end(Failure const& failure) noexcept {
            auto const self = std::exchange(self_, nullptr);
            bool const held = self->arbiter_.hold(Holder::thread);  // there may be others' executors to post to
            Orders orders;
            then_(failure, orders);
            self->carry_out(orders, Where::on_worker);
            if (held) self->unhold(Holder::thread);
        }

        std::shared_ptr<Runner> self_;
        Ended then_;
    };

    HandOver ring() noexcept override {
        Orders orders;
        bool const held = arbiter_.ring(std::chrono::steady_clock::now(), orders);
        carry_out(orders, Where::on_worker);
        HandOver last = until_forgotten();
        if (held) unhold(Holder::thread);
        return last;
    }

    void report_overdue() noexcept {
        observe([&](auto& observer) {
            while (auto const overdue = arbiter_.next_overdue()) observer.overdue(overdue->id, overdue->held);
        });
    }

    static void sweep_job(void* argument) noexcept {
        auto& self = *static_cast<Runner*>(argument);
        HandOver last;
        auto const keep = self.sweeper_;
        bool const held = self.arbiter_.hold(Holder::thread);
        if (held) self.sweep(Where::here);
        self.sweep_done();
        last = self.until_forgotten();
        if (held) self.unhold(Holder::thread);
    }

    void sweep_done() noexcept {
        sweeper_.reset();
        sweeping_ = false;
    }

    Alarms<>::Entry alarm_{};
    Job sweep_job_{};
    std::shared_ptr<Runner> sweeper_;  // while a round is queued or runs
    std::atomic<bool> sweeping_{false};
};

}  // namespace weir::detail
