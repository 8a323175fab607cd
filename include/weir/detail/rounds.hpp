#pragma once
// What time brings with it.

#include <optional>
#include <weir/detail/capacity.hpp>

namespace weir::detail {

/// What is due at its time: deadlines, expiry, checks, reports, attempts that were put off.
template <class Conn, class P>
class Rounds : public Capacity<Conn, P> {
    using Base = Capacity<Conn, P>;

protected:
    using typename Base::Lock;

public:
    using typename Base::Options;
    using typename Base::time_point;

    Rounds(Home<Conn>& home, Options const& options) : Base{home, options} {}

    /// What was due by `now` is done, and when to come again is in `orders.alarm`. Holds back the end of a close until
    /// `unhold`; false when that has come, and nothing is due.
    bool ring(time_point now, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        this->alarm_at_ = time_point::max();
        if (this->ended_) return false;
        ++this->at_work_;
        this->expire(now, orders);
        this->shed(now, orders);
        this->overrun_operations(now, orders);
        if (this->clock_.next_round() <= now) {
            this->clock_.advance(now);
            // Nothing to age any more? Then the clock stands: behind a gate that `settle_gate` shuts before anything is
            // parked, or because those left stay for ever.
            if (!this->clock_.ages(this->ledger_.live() > this->ledger_.low()) || !this->has_to_age()) {
                this->clock_.stop();
            } else if constexpr (P::rests) {
                // One of perhaps very many, of which each comes when it has something to do.
                auto const rest = this->until_expiry(now);
                orders.sweep = rest <= rest.zero();
                this->clock_.next_round_in(rest > this->clock_.period() ? rest : this->clock_.period(), now);
            } else {
                this->clock_.next_round_in(this->clock_.period(), now);
                orders.sweep = true;
                this->start_checks(now, orders);
            }
        }
        return true;
    }

    /// One round of maintenance: of those over their time the coldest, at most half of what is idle.
    void sweep(Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        if (this->clock_.runs()) this->clock_.advance(now);
        if constexpr (P::has_upkeep) retire(Verdict::aged, Cause::age, this->store_.size(), now, orders);
        if (this->ledger_.live() > this->ledger_.low())
            retire(Verdict::expired, Cause::idle, this->ledger_.live() - this->ledger_.low(), now, orders);
    }

    /// Has what is due in a round, but for the sweep, done at once.
    void check(Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        this->start_checks(now, orders);
    }

    /// A lease that is held for longer than it should be.
    struct Overdue {
        std::uint64_t id;
        std::chrono::steady_clock::duration held;
    };

    /// One that has not been reported yet.
    std::optional<Overdue> next_overdue() noexcept {
        auto const now = std::chrono::steady_clock::now();
        std::lock_guard const lock{this->mutex_};
        auto const at = this->clock_.read(now);
        std::optional<Overdue> found;
        this->arena_.for_each([&](SlotBase& slot) {
            if (found) return;
            auto const held = this->clock_.report_overdue(slot, at);
            if (held > held.zero()) found = {slot.id, held};
        });
        return found;
    }

protected:
    ~Rounds() = default;

private:
    // Of those that deserve it the coldest, at most so many and at most half of what is idle.
    void retire(Verdict verdict, Cause cause, std::size_t most, time_point now, Orders& orders) noexcept {
        auto const at = this->clock_.read(now);
        Chain const cold =
            this->store_.take_round(most, [&](SlotBase const& slot) { return this->judge(slot, at) == verdict; });
        // What a full round leaves does not wait for the next one's time.
        if (!cold.empty() && this->clock_.runs()) this->clock_.next_round_in(this->clock_.period() / 8, now);
        this->close_all(cold, cause, orders);
    }
};

}  // namespace weir::detail
