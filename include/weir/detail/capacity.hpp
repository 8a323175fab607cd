#pragma once
// How many may be open, and how new they must be.

#include <weir/detail/slot_events.hpp>

namespace weir::detail {

/// What changes the bound or the generation, and what opens beforehand.
template <class Conn, class P>
class Capacity : public SlotEvents<Conn, P> {
    using Base = SlotEvents<Conn, P>;

protected:
    using typename Base::Lock;

public:
    using typename Base::Options;
    using typename Base::time_point;

    Capacity(Home<Conn>& home, Options const& options) : Base{home, options} {}

    /// Opens what is to be open though nobody has asked yet.
    void begin(Orders& orders) noexcept { Lock const lock{*this, orders}; }

    /// From now on what is open is of an older generation: it goes as soon as nobody holds it.
    void refresh(Orders& orders) noexcept {
        Lock const lock{*this, orders};
        if (this->closed_) return;
        ++this->generation_;
        this->outdated_ = this->ledger_.live();
        // Sealed, so that nothing of the older generation is parked behind our back; see `settle_gate`.
        for (Chain idle = this->store_.seal(); SlotBase* const slot = idle.pop();)
            this->begin_close(*slot, Cause::stale, orders);
    }

    /// Changes the bound; false when the pool is closed. Then `waiter`, if there is one, waits until no more are open.
    bool resize(std::size_t high, Waiter* waiter, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        if (this->closed_) return false;
        this->ledger_.set_high(this->bounded(high));
        this->trim(orders);
        if (waiter) this->queue_.join(*waiter, Waiter::Place::shrinking);
        this->open_for_waiters(std::chrono::steady_clock::now(), orders);
        return true;
    }

    /// Waits as a thread until no more are open than may be; true when that is so.
    bool await_room(time_point until) {
        std::unique_lock lock{this->mutex_};
        auto const fits = [this] { return this->ledger_.open() <= this->ledger_.high(); };
        this->listen(lock, until, [&] { return fits() || this->closed_; });
        return fits();
    }

    /// What one `warm_up` has done and seen so far.
    struct WarmUp {
        std::size_t goal;               // so many are to be idle
        std::size_t left = goal;        // so many may yet be opened for that
        std::uint64_t failures_before;  // of attempts
    };

    WarmUp begin_warm_up(std::size_t goal) const noexcept {
        std::lock_guard const lock{this->mutex_};
        return {.goal = goal, .failures_before = this->ledger_.counts.connect_failed};
    }

    /// Opens what is missing, as far as there is room; false when there is nothing left to do or to wait for.
    bool warm_up(WarmUp& warm_up, Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        while (may_warm(warm_up, now)) {
            SlotBase* const place = this->take_place();
            warm_up.left = place ? warm_up.left - 1 : 0;  // without memory what is there must do
            if (place) this->start_connect(nullptr, *place, now, orders);
        }
        return is_warming(warm_up);
    }

    /// Waits until there is more to do for it, or nothing. Tells how many are idle.
    std::size_t await_warmth(WarmUp const& warm_up, time_point until) {
        std::unique_lock lock{this->mutex_};
        this->listen(lock, until,
                     [&] { return !is_warming(warm_up) || may_warm(warm_up, std::chrono::steady_clock::now()); });
        return this->store_.size();
    }

protected:
    ~Capacity() = default;

private:
    bool is_cold(WarmUp const& warm_up) const noexcept {
        return !this->closed_ && this->ledger_.counts.connect_failed == warm_up.failures_before &&
               this->store_.size() < warm_up.goal;
    }
    bool may_warm(WarmUp const& warm_up, time_point now) noexcept {
        return is_cold(warm_up) && warm_up.left > 0 && this->store_.size() + this->unclaimed() < warm_up.goal &&
               this->queue_.waiting() == 0 && this->has_room(now);
    }
    bool is_warming(WarmUp const& warm_up) const noexcept { return is_cold(warm_up) && this->unclaimed() > 0; }
};

}  // namespace weir::detail
