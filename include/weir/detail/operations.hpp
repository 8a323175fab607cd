#pragma once
// What a pool does: calls the connector, its hooks and observers, as the arbiter orders.

#include <boost/system/errc.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <weir/detail/deadline.hpp>
#include <weir/detail/inside.hpp>
#include <weir/detail/keyed_runner.hpp>
#include <weir/detail/supply.hpp>

namespace weir::detail {

/// Opens, recycles and closes slots.
///
/// No function here holds the mutex. Each asks the arbiter and carries out what it is told in a loop, so that a close
/// that frees a place that starts a connect that fails never recurses. Whoever calls in holds the core; a slot holds
/// it only as long as it is open.
template <class Conn, class P>
class Operations : public RunnerOf<Conn, P>, private ResourceEvents {
    using Base = RunnerOf<Conn, P>;

public:
    using typename Base::Executor;
    using typename Base::Options;
    using typename Base::Resource;
    using typename Base::time_point;
    using Shape = typename Supply<Conn>::Shape;

    Operations(Home<Conn>& home, std::shared_ptr<Means<P>> means, std::unique_ptr<Supply<Conn>> supply)
        : Base{home, std::move(means)}, supply_{std::move(supply)} {}

protected:
    using Base::arbiter_;
    using Base::means_;

    ~Operations() = default;

    /// Until nothing is left of them.
    void carry_out(Orders& orders, Where where) noexcept final {
        for (;;) {
            orders.ended.reset();
            orders.forgotten = nullptr;
            if (Waiter* const waiter = orders.deliver.pop()) {
                waiter->deliver();
            } else if (std::exchange(orders.ends, false)) {
                arbiter_.unhold(Holder::thread, orders);
            } else if (SlotBase* const slot = orders.connect.pop()) {
                connect(static_cast<Resource&>(*slot), orders);
            } else if (SlotBase* const unprepared = orders.prepare.pop()) {
                prepare(static_cast<Resource&>(*unprepared), orders);
            } else if (auto task = std::move(orders.cancel)) {
                orders.cancel = std::move(task->next);
                HandOver const hand_over{std::move(task->hand_over)};
                this->stop(*task);
                task.reset();  // perhaps the last that knew of it, and of its strand
            } else if (orders.alarm != time_point::max()) {
                // Before what may take long: who finds it noted sets none.
                this->set_alarm(std::exchange(orders.alarm, time_point::max()));
            } else if (P::is_keyed && orders.concerns_others()) {
                if constexpr (P::is_keyed) this->run_errands(orders);
            } else if (SlotBase* const closing = orders.close.pop()) {
                close(static_cast<Resource&>(*closing), where, orders);
            } else if (std::exchange(orders.sweep, false)) {
                this->sweep_on_worker();
            } else {
                return;
            }
        }
    }

    // ---- Opening ---------------------------------------------------------------------------------------------------

    /// Opens a slot on this thread, for a thread in want of it.
    Answer connect_here(Waiter& waiter, Resource& slot) noexcept {
        Failure failure = call_connect(slot, earlier(slot.deadline, waiter.deadline));
        Orders orders;
        Answer answer{};
        if (failure) {
            // Who had less time than a connect may take has failed alone.
            bool const hasty = waiter.deadline < slot.deadline && std::chrono::steady_clock::now() >= waiter.deadline;
            Failure const of_all = hasty ? Failure{} : failure;
            if constexpr (P::is_keyed)
                answer = arbiter_.connect_here_failed(waiter, slot, of_all, note(failure), orders);
            else
                answer = arbiter_.connect_here_failed(slot, of_all, note(failure), orders);
        } else {
            note_connected(slot);
            answer = arbiter_.connected_here(waiter, slot, orders);
        }
        if (answer == Answer::failed) waiter.failure = std::move(failure);
        if (answer != Answer::granted) waiter.granted = nullptr;
        carry_out(orders, Where::here);
        return answer;
    }

    // ---- Preparing -------------------------------------------------------------------------------------------------

    /// Does the chores of a slot on this thread, for a thread that is to have it.
    Answer prepare_here(Waiter& waiter, Resource& slot) noexcept {
        Failure failure;
        while (slot.chores.any() && !failure) {
            if (arbiter_.closed())
                failure.code = Errc::closed;
            else
                failure = do_chore(slot);
            if (!failure) arbiter_.chore_done_here(slot, slot.chores.next());
        }
        Orders orders;
        Answer const answer = arbiter_.prepared_here(waiter, slot, failure, orders);
        if (answer == Answer::failed) waiter.failure = std::move(failure);
        if (answer != Answer::granted) waiter.granted = nullptr;
        carry_out(orders, Where::here);
        return answer;
    }

    /// Whether no hook that prepares a resource is awaitable.
    bool prepares_plainly() const noexcept {
        for (Shape const shape : {supply_->checks, supply_->resets, supply_->applies})
            if (shape == Shape::awaitable) return false;
        return true;
    }

    // ---- Returning -------------------------------------------------------------------------------------------------

    void recycle(Resource& slot) noexcept {
        if (arbiter_.closed()) return come_back(slot, Where::here);
        if (supply_->recycles == Shape::awaitable) return recycle_as_task(slot);
        bool clean = false;
        try {
            Inside const inside{this->identity()};
            clean = supply_->recycle(*slot.conn());
        } catch (...) {
            // Not clean, then.
        }
        clean ? give_back(slot) : give_up(slot, Cause::unhealthy);
    }

    void give_back(Resource& slot) noexcept {
        // A function of its own for the rest spares this one a stack frame.
        if (P::Trace::is_traced || !arbiter_.park_at_once(slot)) [[unlikely]]
            give_back_slowly(slot);
    }

    [[gnu::noinline]] void give_back_slowly(Resource& slot) noexcept {
        if (arbiter_.stands()) return come_back(slot, Where::here);
        if constexpr (P::Trace::is_traced) {
            if (arbiter_.would_refuse()) return come_back(slot, Where::here);
            call(means_->options.trace.before_idle_push);
        }
        if (SlotBase* const left = arbiter_.park(slot)) come_back(*left, Where::here, Told::yes);
    }

    void come_back(SlotBase& slot, Where where, Told told = P::Trace::is_traced ? Told::no : Told::yes) noexcept {
        std::shared_ptr<void> const self = P::Trace::is_traced ? this->shared_from_this() : nullptr;
        if (Waiter* const next = arbiter_.hand_on(slot)) {
            if constexpr (P::Trace::is_traced) call(means_->options.trace.after_claim);
            return next->deliver();
        }
        Orders orders;
        Fate fate = arbiter_.come_back(slot, told, orders);
        if constexpr (P::Trace::is_traced) {
            if (fate == Fate::would_park) {
                call(means_->options.trace.before_idle_push);
                fate = arbiter_.come_back(slot, Told::yes, orders);
            }
            if (fate == Fate::served) call(means_->options.trace.after_claim);
        }
        if (!orders.empty()) carry_out(orders, where);
    }

    void give_up(Resource& slot, Cause cause) noexcept {
        auto const self = this->shared_from_this();
        Orders orders;
        arbiter_.give_up(slot, cause, orders);
        carry_out(orders, Where::here);
    }

    template <class Call>
    static void call(Call const& traced) {
        if (traced) traced();
    }

    std::unique_ptr<Supply<Conn>> const supply_;

private:
    // ---- Opening ---------------------------------------------------------------------------------------------------

    void connect(Resource& slot, Orders& orders) noexcept {
        if (supply_->connects == Shape::awaitable)
            return this->start_task(
                slot, Operation::connecting, [this, &slot] { return connect_task(slot); },
                [this, &slot](Failure const& failure, Orders& then) { connect_ended(slot, failure, then); }, orders);
        if (this->template submit<Operations, &Operations::connect_on_worker>(slot)) return;
        auto const no_thread =
            boost::system::errc::make_error_code(boost::system::errc::resource_unavailable_try_again);
        connect_ended(slot, {no_thread, {}}, orders);
    }

    boost::asio::awaitable<void> connect_task(Resource& slot) {
        ConnectContext const context = context_for(slot, slot.deadline);
        co_await supply_->async_connect(slot, context);
        slot.filled = true;
    }

    ConnectContext context_for(Resource& slot, time_point deadline) {
        std::shared_ptr<ResourceEvents> const self{this->shared_from_this(), this};
        ResourceHandle const handle{self, &slot, slot.id};
        HandOver const hand_over{means_->executor.context()};
        auto executor = means_->executor_gone ? boost::asio::any_io_executor{} : means_->executor.get();
        return {this->lifetime(), deadline, std::move(executor), Evictor{handle},
                P::shares ? Streams{handle} : Streams{}};
    }

    HandOver evict(SlotBase& slot, std::uint64_t id) noexcept final {
        return told([&](Orders& orders) { arbiter_.evict(slot, id, orders); });
    }
    HandOver limit(SlotBase& slot, std::uint64_t id, std::size_t most) noexcept final {
        return told([&](Orders& orders) { arbiter_.limit(slot, id, most, orders); });
    }
    HandOver drain(SlotBase& slot, std::uint64_t id) noexcept final {
        return told([&](Orders& orders) { arbiter_.drain(slot, id, orders); });
    }

    // On a thread that nobody may know of.
    template <class Step>
    HandOver told(Step step) noexcept {
        if (!arbiter_.hold(Holder::thread)) return this->until_forgotten();
        Orders orders;
        step(orders);
        carry_out(orders, Where::on_worker);
        HandOver last = this->until_forgotten();
        this->unhold(Holder::thread);
        return last;
    }

    void connect_on_worker(Resource& slot, Orders& orders) noexcept {
        bool const closed = arbiter_.closed();
        connect_ended(slot, closed ? Failure{Errc::closed, {}} : call_connect(slot, slot.deadline), orders);
    }

    void connect_ended(Resource& slot, Failure const& failure, Orders& orders) noexcept {
        // The context may have died between the end of the connector and the news of it.
        bool const filled = std::exchange(slot.filled, false);
        if (failure && !filled) {
            arbiter_.connect_failed(slot, failure, note(failure), orders);
        } else {
            note_connected(slot);
            arbiter_.connected(slot, orders);
        }
    }

    Failure call_connect(Resource& slot, time_point deadline) noexcept {
        Inside const inside{this->identity()};
        try {
            ConnectContext context;
            if (supply_->takes_context) context = context_for(slot, deadline);
            supply_->connect(slot, context);
        } catch (...) {
            return Failure::current();
        }
        return {};
    }

    void note_connected(Resource const& slot) noexcept {
        this->observe([&](auto& observer) { observer.connected(std::chrono::steady_clock::now() - slot.started); });
    }

    ConnectFailure note(Failure const& failure) noexcept {
        this->observe([&](auto& observer) { observer.connect_failed(failure.code); });
        try {
            return {failure.code, failure.text(), std::chrono::steady_clock::now()};
        } catch (...) {
            return {failure.code, {}, std::chrono::steady_clock::now()};  // no memory for the text
        }
    }

    // ---- Preparing -------------------------------------------------------------------------------------------------

    void prepare(Resource& slot, Orders& orders) noexcept {
        if (shape_of(slot.chores.next()) == Shape::awaitable)
            return this->start_task(
                slot, Operation::preparing, [this, &slot] { return chore_task(slot); },
                [this, &slot](Failure const& failure, Orders& then) { arbiter_.chore_ended(slot, failure, then); },
                orders);
        if (!this->template submit<Operations, &Operations::do_chore_on_worker>(slot))
            arbiter_.chore_ended(slot, {Errc::connect_failed, {}}, orders);
    }

    Shape shape_of(Chore chore) const noexcept {
        return chore == Chore::check ? supply_->checks : chore == Chore::reset ? supply_->resets : supply_->applies;
    }

    boost::asio::awaitable<void> chore_task(Resource& slot) {
        switch (slot.chores.next()) {
            case Chore::check: return check_task(slot);
            case Chore::reset: return supply_->async_reset(*slot.conn());
            default: return supply_->async_apply(slot);
        }
    }

    boost::asio::awaitable<void> check_task(Resource& slot) {
        bool const fit = co_await supply_->async_check(*slot.conn());
        if (!fit) throw boost::system::system_error{Errc::connect_failed};
    }

    void do_chore_on_worker(Resource& slot, Orders& orders) noexcept {
        bool const closed = arbiter_.closed();
        arbiter_.chore_ended(slot, closed ? Failure{Errc::closed, {}} : do_chore(slot), orders);
    }

    Failure do_chore(Resource& slot) noexcept {
        Inside const inside{this->identity()};
        try {
            switch (slot.chores.next()) {
                case Chore::check: return supply_->check(*slot.conn()) ? Failure{} : Failure{Errc::connect_failed, {}};
                case Chore::reset:
                    // What cannot be reset must not be lent with what somebody else has set.
                    if (supply_->resets == Shape::none) return {Errc::connect_failed, {}};
                    supply_->reset(*slot.conn());
                    break;
                default: supply_->apply(slot);
            }
        } catch (...) {
            return Failure::current();
        }
        return {};
    }

    // ---- Closing ---------------------------------------------------------------------------------------------------

    void close(Resource& slot, Where where, Orders& orders) noexcept {
        if (supply_->closes == Shape::awaitable)
            return this->start_task(
                slot, Operation::closing, [this, &slot] { return close_task(slot); },
                [this, &slot](Failure const&, Orders& then) { close_ended(slot, then); }, orders);
        bool const elsewhere = supply_->closes == Shape::plain && where == Where::on_worker;
        if (!elsewhere || !this->template submit<Operations, &Operations::close_here>(slot)) close_here(slot, orders);
    }

    boost::asio::awaitable<void> close_task(Resource& slot) { co_await supply_->async_close(*slot.conn()); }

    void close_here(Resource& slot, Orders& orders) noexcept {
        if (supply_->closes == Shape::plain) {
            try {
                Inside const inside{this->identity()};
                supply_->close(*slot.conn());
            } catch (...) {
                // Gone is gone.
            }
        }
        close_ended(slot, orders);
    }

    void close_ended(Resource& slot, Orders& orders) noexcept {
        {
            Inside const inside{this->identity()};
            slot.destroy();
        }
        this->observe([&](auto& observer) { observer.closed(slot.cause); });
        arbiter_.vacated(slot, orders);
    }

    // ---- Recycling -------------------------------------------------------------------------------------------------

    void recycle_as_task(Resource& slot) noexcept {
        auto const self = this->shared_from_this();
        Orders orders;
        this->start_task(
            slot, Operation::recycling, [this, &slot] { return recycle_task(slot); },
            [this, &slot](Failure const& failure, Orders& then) { recycle_ended(slot, failure, then); }, orders);
        carry_out(orders, Where::here);
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
            come_back(slot, Where::on_worker);  // not here, which is a thread of the user's
    }
};

}  // namespace weir::detail
