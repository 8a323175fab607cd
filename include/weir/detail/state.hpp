#pragma once
// The pool's state, and the steps that keep its invariants.

#include <atomic>
#include <boost/intrusive/list.hpp>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>
#include <weir/connector.hpp>
#include <weir/detail/arena.hpp>
#include <weir/detail/deadline.hpp>
#include <weir/detail/idle_clock.hpp>
#include <weir/detail/ledger.hpp>
#include <weir/detail/orders.hpp>
#include <weir/detail/policy_set.hpp>
#include <weir/detail/store.hpp>
#include <weir/detail/wait_queue.hpp>

namespace weir::detail {

/// Who holds back the end of a close.
enum class Holder { token, thread };

/// Whether those who want to know what is about to happen have been told.
enum class Told { no, yes };

/// What becomes of a resource that has come back or was opened.
enum class Fate { parked, served, closing, would_park };

/// Everything a pool knows, under one mutex. `Arbiter` locks it and decides; the steps here expect the lock.
///
/// What is idle lies in the store, which acquirers and returners use without the mutex as long as its gate is open.
/// The invariants, each true whenever the mutex is free:
///
/// 1. The gate is open only if nobody is in line, the pool is not closed, every return may be kept, and what is parked
///    is being aged. So whoever returns past the gate owes nobody anything, and whoever is refused comes here.
/// 2. Somebody in line means that nothing is idle (with patience: that the front one has been summoned to take it).
///    An acquirer joins an empty line in the step that shuts the gate, and that step fails while something is parked.
/// 3. Somebody waiting means that there is no room. Room comes from the end of a connect or of a close, and each of
///    those ends in `open_for_waiters`.
/// 4. Connects in flight for the line are never fewer than those in line that one was started for.
///
/// 2, 3 and 4 together are rule 11: no waiter sleeps while a resource is idle or room exists. tests/model/pool.pml has
/// them checked in every interleaving.
template <class Conn, class P>
class State {
public:
    using time_point = std::chrono::steady_clock::time_point;

protected:
    using Options = typename P::Options;

    /// Holds the mutex for one step, and leaves the invariants behind.
    class Lock {
    public:
        Lock(State& state, Orders& orders) : state_{state}, orders_{orders} { state_.mutex_.lock(); }
        ~Lock() {
            state_.finish(orders_);
            state_.mutex_.unlock();
        }
        Lock(Lock const&) = delete;
        Lock& operator=(Lock const&) = delete;

    private:
        State& state_;
        Orders& orders_;
    };

    State(Home<Conn>& home, Options const& options)
        : home_{home},
          idle_{options.idle},
          patience_{options.wait.patience},
          timeout_{options.connect.timeout},
          ledger_{bounded(options.size.limits()), options.connect.max_concurrent},
          clock_{options.idle.expires_after(), ledger_.high() > ledger_.low()} {
        settle_gate();
    }
    ~State() = default;

    // ---- Slots -----------------------------------------------------------------------------------------------------

    void reserve(SlotBase& slot, time_point now) noexcept {
        ledger_.reserve();
        slot.keep = self_.lock();
        slot.id = ++last_id_;
        slot.started = now;
        slot.deadline = after(now, timeout_);
    }

    /// Opens a slot in the background, for `owner` if there is one.
    void start_connect(Waiter* owner, SlotBase& slot, time_point now, Orders& orders) noexcept {
        reserve(slot, now);
        slot.owner = owner;
        if (owner) owner->attempt = &slot;
        begin_operation(slot, Operation::connecting, now);
        ++serving_;
        orders.connect.push(slot);
    }

    /// Starts a connect for each in line who should have one, as far as there is room.
    void open_for_waiters(time_point now, Orders& orders) noexcept {
        while (!closed_ && ledger_.has_room()) {
            std::size_t const parked = store_.size();  // with patience: for whoever is in front
            bool const owed = serving_ + parked < queue_.connecting();
            if (!owed && (queue_.waiting() == 0 || parked > 0)) return;
            SlotBase* const place = take_place();
            if (!place) return;
            Waiter& waiter = owed ? *queue_.first_without_attempt() : queue_.front_waiting();
            if (!owed) queue_.promote();
            start_connect(&waiter, *place, now, orders);
        }
    }

    void begin_close(SlotBase& slot, Cause cause, Orders& orders) noexcept {
        ledger_.begin_close();
        slot.cause = closed_ ? Cause::drained : cause;
        orders.close.push(slot);
    }

    /// The slot is open no more. Its core lives on at least as long as the caller holds it.
    void free(SlotBase& slot, Orders& orders) noexcept {
        slot.keep.reset();
        arena_.put(slot);
        open_for_waiters(std::chrono::steady_clock::now(), orders);
    }

    void begin_operation(SlotBase& slot, Operation operation, time_point now) noexcept {
        slot.operation = operation;
        slot.deadline = after(now, timeout_);
        in_flight_.push_back(slot);
    }

    /// True when it ended in time.
    bool end_operation(SlotBase& slot, Orders& orders) noexcept {
        slot.operation = Operation::none;
        slot.in_flight.unlink();
        orders.ended = std::move(slot.task);
        return !std::exchange(slot.overrun, false);
    }

    /// An attempt is no longer one that the line counts on.
    void end_attempt(SlotBase& slot) noexcept {
        --serving_;
        if (slot.owner) std::exchange(slot.owner, nullptr)->attempt = nullptr;
    }

    /// Operations whose time is up are cancelled, and nobody waits for their connects any more.
    void overrun_operations(time_point now, Orders& orders) noexcept {
        while (!in_flight_.empty() && in_flight_.front().deadline <= now) {
            SlotBase& slot = in_flight_.front();
            overrun_.splice(overrun_.end(), in_flight_, in_flight_.begin());
            slot.overrun = true;
            orders.push_cancel(slot.task);
            if (slot.operation != Operation::connecting) continue;
            Waiter* const owner = slot.owner;
            end_attempt(slot);
            note_overrun(now);
            if (owner) dismiss(*owner, {Errc::timed_out, {}}, orders);
        }
        open_for_waiters(now, orders);
    }

    void note_overrun(time_point now) noexcept {
        ConnectFailure failure{Errc::timed_out, {}, now};
        try {
            failure.text = "the connector took longer than its timeout";
        } catch (...) {
            // No memory for the text: the code says it too.
        }
        note_failure(std::move(failure));
    }

    void note_failure(ConnectFailure failure) noexcept {
        ++ledger_.counts.connect_failed;
        last_failure_ = std::move(failure);
    }

    // ---- The line --------------------------------------------------------------------------------------------------

    /// An idle one, those over their time aside.
    SlotBase* pop_fresh(Orders& orders) noexcept {
        while (SlotBase* slot = store_.pop()) {
            if (!is_expired(*slot)) return slot;
            begin_close(*slot, Cause::idle, orders);
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

    /// Takes a waiter out of line; its connect goes on for whoever comes next.
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
        if (waiter.place != Waiter::Place::draining)
            ++(why == Errc::timed_out ? ledger_.counts.timed_out : ledger_.counts.cancelled);
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

    /// Gives a resource to the one who is next.
    void serve_front(SlotBase& slot, time_point now, Orders& orders) noexcept {
        Waiter& waiter = queue_.front();
        take_out(waiter, now);
        grant(waiter, slot);
        summon(waiter, orders);
    }

    /// Settles what becomes of a resource that nobody holds: the order of rule 22.
    Fate settle_slot(SlotBase& slot, Told told, time_point now, Orders& orders) noexcept {
        if (closed_) {
            begin_close(slot, Cause::drained, orders);
            return Fate::closing;
        }
        expire(now, orders);
        bool const anyone = !queue_.empty();
        if (anyone && !is_patient(queue_.front(), now)) {
            serve_front(slot, now, orders);
            return Fate::served;
        }
        if (!anyone) {
            Keep const keep = idle_.keep({ledger_.live(), store_.size(), ledger_.low(), ledger_.high()});
            if (keep != Keep::yes) {
                begin_close(slot, keep == Keep::no_idle ? Cause::idle : Cause::excess, orders);
                return Fate::closing;
            }
            if (P::Trace::is_traced && told == Told::no) return Fate::would_park;
        }
        clock_.stamp(slot);
        store_.push_behind_gate(slot);
        return Fate::parked;
    }

    bool is_patient(Waiter const& front, time_point now) const noexcept {
        return patience_ > patience_.zero() && now - front.since < patience_;
    }

    // ---- After every step ------------------------------------------------------------------------------------------

    void finish(Orders& orders) noexcept {
        if (patience_ > patience_.zero()) attend(orders);
        settle_gate();
        settle_end(orders);
        time_point first = earlier(queue_.next_deadline(), clock_.next_round());
        if (!in_flight_.empty()) first = earlier(first, in_flight_.front().deadline);
        if (first < alarm_at_) alarm_at_ = orders.alarm = first;
    }

    /// With patience something may be parked although somebody is in line: he is called to take it, or given it.
    void attend(Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        while (!queue_.empty() && store_.size() > 0) {
            if (is_patient(queue_.front(), now)) return summon(queue_.front(), orders);
            if (SlotBase* const slot = pop_fresh(orders)) serve_front(*slot, now, orders);
        }
    }

    /// Opens or shuts the gate: invariant 1.
    void settle_gate() noexcept {
        for (;;) {
            bool const must_age = clock_.ages() && ledger_.live() > ledger_.low() && !closed_;
            if (must_age && !clock_.runs() && store_.size() > 0) clock_.start(std::chrono::steady_clock::now());
            bool const open = queue_.empty() && !closed_ && idle_.keeps_all() && (!must_age || clock_.runs());
            if (open == !store_.shut()) return;
            // At once, although nothing is parked: left shut for the next return to open it, two threads that share
            // one resource got a fifth of the throughput.
            if (open) return store_.open();
            // Fails only where the clock stands still and something has just been parked: then the clock is started.
            if (store_.shut_if_empty()) return;
        }
    }

    /// A close ends when nothing is open and nobody of ours is still about. Those who wait for it as handlers are told
    /// first, and the teller counts as one of ours until he is done with their executors.
    void settle_end(Orders& orders) noexcept {
        if (!closed_ || ledger_.open() > 0 || lifetimes_ > 0 || at_work_ > 0) return;
        ended_ = true;
        if (queue_.draining()) {
            while (Waiter* const waiter = queue_.draining()) {
                queue_.remove(*waiter);
                summon(*waiter, orders);
            }
            ++at_work_;
            orders.ends = true;
        } else {
            drained_.notify_all();
        }
    }

    /// Nothing is left, and no thread of the pool touches an executor any more.
    bool is_over() const noexcept { return ended_ && at_work_ == 0; }

    static Limits bounded(Limits limits) noexcept {
        if (limits.high > max_slots) limits.high = max_slots;
        return limits;
    }

    SlotBase* take_place() noexcept {
        try {
            return &arena_.take(home_);
        } catch (...) {
            return nullptr;  // no memory for a slot: who waits goes on waiting for one that is there
        }
    }

    using InFlight =
        Late<P, boost::intrusive::list<
                    SlotBase, boost::intrusive::member_hook<SlotBase, SlotBase::InFlightHook, &SlotBase::in_flight>,
                    boost::intrusive::constant_time_size<false>>>;

    // Read by the fast paths, hence first; the store's head is on a line of its own.
    typename StoreOf<typename P::Store>::type store_;
    Home<Conn>& home_;
    typename P::Idle const idle_;
    std::chrono::steady_clock::duration const patience_;
    std::chrono::steady_clock::duration const timeout_;

    mutable std::mutex mutex_;  // protects all below; no user code runs under it but the pure functions of policies
    Ledger ledger_;
    Late<P, WaitQueue<>> queue_;
    Arena<Conn> arena_;
    IdleClock<typename P::Clock> clock_;
    InFlight in_flight_;         // operations in the order of their deadlines: all have the same time
    InFlight overrun_;           // those that are past it
    std::size_t serving_ = 0;    // connects in flight for the line, or for whoever comes
    std::size_t lifetimes_ = 0;  // what else a close waits for: users' tokens,
    std::size_t at_work_ = 0;    // and threads that are not done with the pool
    std::uint64_t last_id_ = 0;
    time_point alarm_at_ = time_point::max();
    std::optional<ConnectFailure> last_failure_{};
    std::weak_ptr<void> self_;
    std::condition_variable drained_;
    std::atomic<bool> closed_{false};  // also read without the mutex
    bool ended_ = false;               // nothing is open, and nothing holds that back any more
    time_point closed_at_{};
    Chain last_idle_;         // what was idle when the close began, until those who waited are told
    std::size_t sealed_ = 0;  // those that were idle when the close began, and are not closed yet
};

}  // namespace weir::detail
