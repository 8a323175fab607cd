#pragma once
// The pool behind the handle.

#include <memory>
#include <utility>
#include <vector>
#include <weir/detail/asking.hpp>
#include <weir/detail/recycler.hpp>
#include <weir/lease.hpp>

namespace weir::detail {

/// Lives until the handle, the last open slot and the last waiter have gone.
template <class Conn, class P>
class Core final : public Asking<Conn, P> {
    using Base = Asking<Conn, P>;
    using typename Base::Resource;
    using typename Base::Shape;

public:
    using typename Base::Executor;
    using typename Base::Options;
    using typename Base::time_point;
    using value_type = Conn;

    using Base::check;
    using Base::identity;
    using Base::lifetime;

    /// Throws `std::invalid_argument` naming the option that is wrong.
    template <class Connector>
    static std::shared_ptr<Core> make(Executor executor, Connector connector, Options options) {
        P::validate(options);
        auto supply =
            std::make_unique<ConnectorSupply<Conn, Connector, typename P::Settings::Setting>>(std::move(connector));
        if (supply->checks == Shape::none) P::validate_unchecked(options);
        auto core = std::make_shared<Core>(std::make_shared<Means<P>>(std::move(executor), std::move(options)),
                                           std::move(supply));
        core->begin();
        return core;
    }

    Core(std::shared_ptr<Means<P>> means, std::unique_ptr<Supply<Conn>> supply)
        : Base{supply->recycles == Shape::none ? static_cast<Home<Conn>&>(*this) : recycler_, std::move(means),
               std::move(supply)} {}

    // ---- Acquiring -------------------------------------------------------------------------------------------------

    /// An idle one, or nullptr. One that is over its time is closed `stale`.
    Slot<Conn>* take(Wish wish, Where stale) noexcept {
        SlotBase* const slot = pop(wish);
        return slot ? accept(slot, wish, stale) : nullptr;
    }

    /// The same for who may join the line at once.
    Slot<Conn>* take_unless_in_vain(Wish wish, Where stale) noexcept {
        return this->arbiter_.stands() ? nullptr : take(wish, stale);
    }

    /// The same in two steps. What was popped keeps the core, also for who does not.
    SlotBase* pop(Wish wish) noexcept { return this->arbiter_.pop(wish); }
    Slot<Conn>* accept(SlotBase* slot, Wish wish, Where stale) noexcept {
        if (this->arbiter_.is_fresh(*slot) && this->arbiter_.suits(*slot, wish)) [[likely]]
            this->arbiter_.lend(*slot);
        else if (!(slot = take_another(*slot, wish, stale)))
            return nullptr;
        return &begin_lease(*slot, {});
    }

    /// Waits as a thread. What failed stands in `failure`.
    Lease<Conn> acquire(Wish wish, time_point deadline, Failure& failure) {
        SyncWaiter waiter{deadline};
        waiter.wish = wish;
        waiter.since = P::is_observed ? std::chrono::steady_clock::now() : time_point{};
        Vigil* const vigil = this->vigil();
        waiter.prepares_here = P::has_chores && this->prepares_plainly();
        bool const plain = this->supply_->connects == Shape::plain && (!P::has_chores || waiter.prepares_here);
        Answer answer{};
        do {
            answer = this->ask(waiter, plain ? Manner::connects_here : Manner::waits, Where::here, vigil);
            if (answer == Answer::connect_here) {
                answer = this->connect_here(waiter, static_cast<Resource&>(*waiter.granted));
            } else if (answer == Answer::in_line) {
                this->await(waiter, vigil);
                answer = waiter.granted ? Answer::granted : Answer::failed;
            }
            if (answer == Answer::granted) answer = this->prepared(waiter);
        } while (answer == Answer::ask_again);
        if (answer != Answer::granted && answer != Answer::failed) waiter.failure.code = error_of(answer);
        return outcome(waiter, failure);
    }

    /// Never waits. When there is room it has one opened for the next who tries.
    Lease<Conn> try_acquire(Wish wish, Failure& failure) {
        SyncWaiter nobody{time_point::max()};
        nobody.wish = wish;
        nobody.prepares_here = this->prepares_plainly();
        Answer answer{};
        do {
            answer = this->ask(nobody, Manner::tries, Where::on_worker);
            if (answer == Answer::granted) answer = this->prepared(nobody);
        } while (answer == Answer::ask_again);
        if (answer == Answer::granted) return hand_over(*nobody.granted, {});
        failure = answer == Answer::failed ? std::move(nobody.failure) : Failure{error_of(answer), {}};
        return {};
    }

    /// The lease of a waiter that has its outcome, or what failed.
    Lease<Conn> outcome(Waiter& waiter, Failure& failure) noexcept {
        if (waiter.granted) return hand_over(*waiter.granted, waited(waiter));
        failure = std::move(waiter.failure);
        this->observe([&](auto& observer) {
            if (failure.code == Errc::timed_out) observer.timed_out();
            if (failure.code == Errc::too_many_waiters || failure.code == Errc::shed) observer.rejected();
        });
        return {};
    }

    std::vector<Lease<Conn>> acquire_idle() {
        Orders orders;
        Chain all = this->arbiter_.take_all(orders);
        this->carry_out(orders, Where::here);
        std::vector<Lease<Conn>> leases;
        try {
            leases.reserve(all.size);
        } catch (...) {
            while (SlotBase* const slot = all.pop()) hand_over(*slot, {}).release();
            throw;
        }
        while (SlotBase* const slot = all.pop()) leases.push_back(hand_over(*slot, {}));
        return leases;
    }

    // ---- How many, and how new -------------------------------------------------------------------------------------

    void refresh() noexcept {
        Orders orders;
        this->arbiter_.refresh(orders);
        this->carry_out(orders, Where::here);
    }

    /// Changes the bound; false when the pool is closed.
    bool resize(std::size_t high) noexcept {
        Orders orders;
        bool const done = this->arbiter_.resize(high, nullptr, orders);
        this->carry_out(orders, Where::here);
        return done;
    }

    /// The same, and waits as a handler; false when it has its outcome at once.
    bool resize(std::size_t high, Waiter& waiter) noexcept {
        Orders orders;
        bool const waits = this->arbiter_.resize(high, &waiter, orders);
        if (!waits) waiter.failure.code = Errc::closed;
        this->carry_out(orders, Where::on_worker);
        return waits;
    }

    /// Waits as a thread until no more are open than may be; true when that is so.
    bool await_room(time_point until) { return this->arbiter_.await_room(is_inside() ? time_point::min() : until); }

    /// Opens until that many are idle. Tells how many are.
    std::size_t warm_up(std::size_t goal) {
        auto const until = is_inside() ? time_point::min() : time_point::max();
        auto warm_up = this->arbiter_.begin_warm_up(goal);
        for (;;) {
            Orders orders;
            bool const under_way = this->arbiter_.warm_up(warm_up, orders);
            this->carry_out(orders, Where::on_worker);
            std::size_t const idle = this->arbiter_.await_warmth(warm_up, until);
            if (!under_way || until == time_point::min()) return idle;
        }
    }

    // ---- Returning: from any thread, and also after the handle has gone. -------------------------------------------

    void drop(Resource& slot) noexcept override { discards(slot) ? discard(slot) : release(slot); }

    void release(Resource& slot) noexcept override {
        end_lease(slot);
        this->give_back(slot);
    }

    void discard(Resource& slot) noexcept override {
        end_lease(slot);
        this->give_up(slot, Cause::discarded);
    }

    bool may_detach() const noexcept override { return !P::shares; }
    void detached(Resource& slot) noexcept override {
        end_lease(slot);
        auto const self = this->shared_from_this();
        {
            Inside const inside{identity()};
            slot.destroy();
        }
        Orders orders;
        this->arbiter_.detached(slot, orders);
        this->carry_out(orders, Where::here);
    }

    // ---- The end ---------------------------------------------------------------------------------------------------

    /// Begins it, unless it has begun before. What is idle is closed `where`.
    void close(Where where) noexcept {
        Orders orders;
        bool const first = this->arbiter_.begin_end(orders);
        this->carry_out(orders, where);
        if (!first) return;
        {
            Inside const inside{identity()};
            this->means_->lifetimes.stop();
        }
        this->arbiter_.close(orders);
        this->carry_out(orders, where);
        this->unhold(Holder::thread);
    }

    /// Waits for it as a thread; true when all has ended. Not at all inside what the pool itself calls.
    bool await_end(time_point until) {
        return is_inside() ? this->arbiter_.has_ended() : this->arbiter_.await_end(until);
    }

    /// Waits for it as a handler.
    void await_end(Waiter& waiter) noexcept {
        Orders orders;
        this->arbiter_.await_end(waiter, orders);
        this->carry_out(orders, Where::on_worker);
    }

    // ---- Looking ---------------------------------------------------------------------------------------------------

    bool has_patience() const noexcept { return this->arbiter_.has_patience(); }
    auto const& options() const noexcept { return this->means_->options; }
    bool closed() const noexcept { return this->arbiter_.closed(); }
    Stats stats() const { return this->arbiter_.stats(); }
    auto last_failure() const { return this->arbiter_.last_failure(); }
    auto report() const { return this->arbiter_.report(); }
    PoolExecutor<Executor> const& executor() const noexcept { return this->means_->executor; }

private:
    /// Whether the pool itself has called what runs here.
    bool is_inside() const { return Inside::of(identity()) || this->arbiter_.runs_a_task_here(); }

    /// For when the first may be over its time, or has another setting of the same bucket: that one all the same, one
    /// that lies below it, or nullptr.
    [[gnu::noinline]] SlotBase* take_another(SlotBase& first, Wish wish, Where where) noexcept {
        auto const self = this->shared_from_this();
        if constexpr (P::has_settings && StoreOf<typename P::Store>::type::is_stack)
            if (this->arbiter_.is_fresh(first)) return take_below(first, wish, where);
        Orders orders;
        bool const lent = this->arbiter_.accept_stale(first, wish, orders);
        this->carry_out(orders, where);
        return lent ? &first : nullptr;
    }

    /// Without the mutex as long as those passed over are few. Meanwhile they are idle and cannot be seen; who looks for
    /// them in vain and waits is served when they are put back, as by any return.
    SlotBase* take_below(SlotBase& first, Wish wish, Where where) noexcept {
        constexpr std::size_t few = 4;
        Chain passed;
        SlotBase* slot = &first;
        while (slot && this->arbiter_.is_fresh(*slot) && !this->arbiter_.suits(*slot, wish) && passed.size < few) {
            passed.push(*slot);
            slot = this->arbiter_.pop(wish);
        }
        if (slot && this->arbiter_.is_fresh(*slot) && this->arbiter_.suits(*slot, wish))
            this->arbiter_.lend(*slot);
        else if (slot)
            passed.push(*std::exchange(slot, nullptr));
        while (SlotBase* const other = passed.pop()) {
            SlotBase* const refused = this->arbiter_.park_unused(*other);
            if (refused) this->come_back(*refused, where);
        }
        return slot;
    }

    Lease<Conn> hand_over(SlotBase& slot, std::chrono::steady_clock::duration waited) noexcept {
        return LeaseMaker::make(begin_lease(slot, waited));
    }

    Slot<Conn>& begin_lease(SlotBase& base, std::chrono::steady_clock::duration waited) noexcept {
        auto& slot = static_cast<Resource&>(base);
        if constexpr (P::Drop::counts_exceptions) slot.uncaught_when_lent = std::uncaught_exceptions();
        this->observe([&](auto& observer) { observer.acquired(waited); });
        if constexpr (P::shares) return slot;  // in several hands: nobody's to watch
        if constexpr (P::is_observed) slot.started = std::chrono::steady_clock::now();
        if constexpr (P::has_upkeep) this->arbiter_.begin_lease(slot);
        return slot;
    }

    static std::chrono::steady_clock::duration waited(Waiter const& waiter) noexcept {
        return P::is_observed ? std::chrono::steady_clock::now() - waiter.since : std::chrono::steady_clock::duration{};
    }

    static bool discards(Resource const& slot) noexcept { return P::Drop::discards(slot.uncaught_when_lent); }

    void end_lease(Resource& slot) noexcept {
        if constexpr (P::shares) return this->observe([](auto& observer) { observer.released({}); });
        bool const overdue = P::has_upkeep && this->arbiter_.end_lease(slot);
        this->observe([&](auto& observer) {
            auto const held = std::chrono::steady_clock::now() - slot.started;
            observer.released(held);
            if (overdue) observer.returned_overdue(slot.id, held);
        });
    }

    friend class Recycler<Conn, Core>;
    Recycler<Conn, Core> recycler_{*this};
};

}  // namespace weir::detail
