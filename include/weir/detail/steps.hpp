#pragma once
// One step under the mutex, and what is put right at its end.

#include <weir/detail/keyed_steps.hpp>
#include <weir/detail/serving.hpp>

namespace weir::detail {

/// The mutex, and the invariants of `State`.
template <class Conn, class P>
class Steps : protected ServingOf<Conn, P> {
    using Base = ServingOf<Conn, P>;

protected:
    using Base::clock_;
    using Base::closed_;
    using Base::ledger_;
    using Base::patience_;
    using Base::queue_;
    using Base::store_;
    using typename Base::Options;
    using typename Base::time_point;

    /// What keeps the core alive for who takes a step. One who had only the slot or the waiter, which finds another owner,
    /// has nothing left as soon as the mutex is free, but for what the orders keep.
    enum class Held { core, node };

    /// Holds the mutex for one step, and leaves the invariants behind.
    class Lock {
    public:
        Lock(Steps& steps, Orders& orders, Held held = Held::core) : steps_{steps}, orders_{orders}, held_{held} {
            steps_.mutex_.lock();
        }
        ~Lock() {
            steps_.finish(orders_);
            if (held_ == Held::node && !orders_.only_deliver()) orders_.keep = steps_.self_.lock();
            steps_.mutex_.unlock();
        }
        Lock(Lock const&) = delete;
        Lock& operator=(Lock const&) = delete;

    private:
        Steps& steps_;
        Orders& orders_;
        Held const held_;
    };

    Steps(Home<Conn>& home, Options const& options) : Base{home, options} {
        Orders none;
        settle_gate(none);
    }
    ~Steps() = default;

    /// Waits as a thread for what another one does, at most until then; whether it has come to pass.
    template <class Condition>
    bool listen(std::unique_lock<Mutex>& lock, time_point until, Condition condition) {
        ++this->listeners_;
        // Not every condition variable survives the end of time.
        if (until == time_point::max())
            this->news_.wait(lock, condition);
        else
            this->news_.wait_until(lock, until, condition);
        --this->listeners_;
        return condition();
    }

    /// Whether there is anything that ages, be it only a lease that may become overdue.
    bool has_to_age() const noexcept {
        if constexpr (P::shares)
            if (!store_.empty()) return true;  // what is in use comes back without the mutex
        return (this->may_be_idle() && store_.size() > 0) || (clock_.watches_leases() && ledger_.live() > 0);
    }

    /// Nothing is left, and no thread of the pool touches an executor any more.
    bool is_over() const noexcept { return this->ended_ && this->at_work_ == 0; }

private:
    void finish(Orders& orders) noexcept {
        if constexpr (P::shares)
            share_out(orders);
        else if (patience_ > patience_.zero())
            attend(orders);
        if (this->wants_refill()) this->refill(nullptr, std::chrono::steady_clock::now(), orders);
        if constexpr (P::is_keyed) this->settle_tenancy(orders);
        settle_gate(orders);
        settle_line();
        tell_of_room(orders);
        settle_end(orders);
        if constexpr (P::is_keyed) this->end_tenancy(is_over(), orders);
        // Who waits for the end of a close is not woken by every resource that goes.
        if (this->listeners_ > 0 && (!closed_ || is_over())) this->news_.notify_all();
        time_point first = earlier(queue_.next_deadline(), clock_.next_round());
        if (!this->in_flight_.empty()) first = earlier(first, this->in_flight_.front().deadline);
        if (P::sheds && queue_.waiting() > 0) first = earlier(first, this->overload_.next());
        if constexpr (P::shares)
            if (store_.crowds() && waits_to_spread()) first = earlier(first, this->retry_.next());
        if (waits_to_retry()) first = earlier(first, this->retry_.next());
        if (first < this->alarm_at_) this->alarm_at_ = orders.alarm = first;
    }

    bool waits_to_retry() const noexcept {
        if (!this->retry_.failing() || ledger_.connecting() > 0 || !ledger_.has_room()) return false;
        bool refills = this->wants_refill();
        bool somebody_waits = P::retries && !queue_.empty() && !closed_ && store_.size() == 0;
        if constexpr (P::is_keyed) {
            somebody_waits = somebody_waits && !this->tenancy_.stands;  // for the total
            // Nor does time bring a place: it would be asked for again and again.
            refills = refills && !(is_due() && this->tenancy_.quota->is_full());
        }
        return refills || somebody_waits;
    }

    bool is_due() const noexcept { return this->retry_.next() <= std::chrono::steady_clock::now(); }

    /// What is there is crowded because another could not be opened, which is to be tried again.
    bool waits_to_spread() const noexcept {
        return this->retry_.failing() && ledger_.connecting() == 0 && ledger_.has_room() && !closed_;
    }

    /// With patience something may be parked although somebody is in line: he is called to take it, or given it.
    void attend(Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        while (!queue_.empty() && store_.size() > 0) {
            if (this->is_patient(now)) return this->summon(queue_.front(), orders);
            if (SlotBase* const slot = this->pop_fresh(Search::any, now, orders)) this->serve_next(*slot, now, orders);
        }
    }

    /// Whoever is in line has a share of what there is, the first first, and one is opened for those who are left.
    void share_out(Orders& orders) noexcept {
        auto const now = queue_.empty() && !this->retry_.failing() ? time_point{} : std::chrono::steady_clock::now();
        while (!queue_.empty()) {
            SlotBase* const slot = this->pop_fresh(Search::any, now, orders);
            if (!slot) break;
            this->serve_next(*slot, now, orders);
        }
        if (!queue_.empty()) this->open_for_waiters(now, orders);
        store_.crowd(!this->has_room(now));
    }

    /// Opens or shuts the gate: invariant 1.
    void settle_gate(Orders& orders) noexcept {
        for (;;) {
            bool const must_age = !clock_.runs() && !closed_ && clock_.ages(ledger_.live() > ledger_.low());
            if (must_age && has_to_age()) clock_.start(std::chrono::steady_clock::now());
            if constexpr (P::is_keyed) this->settle_listing(orders);
            bool const all_stay = this->idle_.keeps_all() && this->outdated_ == 0 && ledger_.surplus() == 0;
            bool open = queue_.empty() && !closed_ && all_stay && (!must_age || clock_.runs());
            if constexpr (P::is_keyed) open = open && this->is_listed();
            if (open == !store_.shut()) return;
            // At once, although nothing is parked: left shut for the next return to open it, two threads that share
            // one resource got a fifth of the throughput.
            if (open) return store_.open();
            if constexpr (P::shares) return store_.shut_now();  // what is lent then is lent under the mutex
            if (store_.shut_if_empty()) return;
            // Something is parked: it is aged from now on, or goes because it is one too many.
            this->trim(orders);
        }
    }

    /// Invariant 5. These policies look at who waits, or at the time, whenever one comes or goes.
    void settle_line() noexcept {
        if constexpr (!P::shares && !P::sheds && !P::is_keyed) {
            bool const stands = queue_.waiting() > 0 && patience_ == patience_.zero();
            // Written when it changes only: the fast paths read what lies beside it.
            if (stands != this->stands_.load(std::memory_order_relaxed))
                this->stands_.store(stands, std::memory_order_relaxed);
        }
    }

    /// Those who wait, as handlers, for no more to be open than may be.
    void tell_of_room(Orders& orders) noexcept {
        while (Waiter* const waiter = ledger_.open() <= ledger_.high() ? queue_.shrinking() : nullptr) {
            this->take_out(*waiter, {});
            this->summon(*waiter, orders);
        }
    }

    /// A close ends when nothing is open and nobody of ours is still about. Those who wait for it as handlers are told
    /// first, and the teller counts as one of ours until he is done with their executors.
    void settle_end(Orders& orders) noexcept {
        if (!closed_ || ledger_.open() > 0 || this->lifetimes_ > 0 || this->at_work_ > 0) return;
        this->ended_ = true;
        if (!queue_.draining()) return;
        while (Waiter* const waiter = queue_.draining()) {
            this->take_out(*waiter, {});
            this->summon(*waiter, orders);
        }
        ++this->at_work_;
        orders.ends = true;
    }
};

}  // namespace weir::detail
