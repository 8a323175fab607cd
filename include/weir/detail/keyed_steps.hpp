#pragma once
// What is put right after every step of a core that is one of many.

#include <atomic>
#include <chrono>
#include <limits>
#include <type_traits>
#include <utility>
#include <weir/detail/serving.hpp>

namespace weir::detail {

/// The invariants of the many, each true whenever a core's mutex is free:
///
/// 1. Who lacks nothing but a place under the total stands in line for it, and nobody else does.
/// 2. What is idle can be found: a core is in the cold list while its gate is open or something is parked in it, but
///    for when its own line needs that, or a search has it in hand.
/// 3. While places are short, no core is put into that list that has nothing idle.
///
/// So nobody is overlooked. A core that joins the line looks through the list afterwards; by 2 and 3 whatever is not
/// found there comes back through a gate that is shut, takes the mutex and looks at the line. A core that is put into
/// the list looks at the line afterwards. One of the two sees the other.
template <class Conn, class P>
class KeyedSteps : protected Serving<Conn, P> {
    using Base = Serving<Conn, P>;

protected:
    using Base::Base;
    using Base::closed_;
    using Base::ledger_;
    using Base::queue_;
    using Base::retry_;
    using Base::store_;
    using Base::tenancy_;
    using typename Base::time_point;
    using rep = std::chrono::steady_clock::rep;

    ~KeyedSteps() = default;

    void settle_tenancy(Orders& orders) noexcept {
        if (!tenancy_.quota) return;
        settle_permits(orders);
        // An attempt has to be told of, and who comes back for another must find what he left.
        bool const empty = ledger_.open() == 0 && queue_.empty() && tenancy_.expected == 0;
        if (closed_ || !empty) return;
        tenancy_.vanished = closed_ = true;
        store_.seal();
        orders.vanishes = true;
    }

    /// Invariants 2 and 3. The search takes it out again.
    void settle_listing(Orders& orders) noexcept {
        auto& t = tenancy_;
        if (!t.quota) return;
        if (closed_) {
            if (std::exchange(t.is_listed, false)) t.cold->erase(t.self);
            return;
        }
        if (t.is_listed || !queue_.empty()) return;
        rep const stamp = coldest();
        if (stamp == nothing_idle && (t.searched || t.quota->is_short())) return;
        t.is_listed = true;
        t.cold->insert(t.self, stamp != nothing_idle ? stamp : this->clock_.read(std::chrono::steady_clock::now()));
        if (t.quota->is_short()) orders.makes_room = true;
    }

    bool is_listed() const noexcept { return !tenancy_.quota || tenancy_.is_listed; }

    /// The last of a step.
    void end_tenancy(bool is_over, Orders& orders) noexcept {
        auto& t = tenancy_;
        t.searched = false;
        if (is_over && t.quota && !std::exchange(t.said_it, true)) orders.is_over = true;
    }

    /// When the coldest that is idle was parked; of none, `nothing_idle`.
    rep coldest() const noexcept {
        rep found = nothing_idle;
        store_.any([&](SlotBase const& slot) {
            rep const stamp = slot.parked_at.load(std::memory_order_relaxed);
            if (stamp < found) found = stamp;
            return false;
        });
        return found;
    }
    static constexpr rep nothing_idle = std::numeric_limits<rep>::max();

    /// Whether a place under the total is all that is missing to open one.
    bool may_open_but_for_total(time_point now) const noexcept {
        return !closed_ && ledger_.has_room() && (!P::retries || retry_.allows(ledger_.connecting(), now));
    }

    /// Whether somebody who comes would have to wait for nothing but that.
    bool lacks_only_total(time_point now) const noexcept {
        return queue_.waiting() == 0 && may_open_but_for_total(now);
    }

    /// Whether the pool is closing, and it has yet to be told.
    bool closes_with_others() const noexcept { return tenancy_.quota->is_closed(); }

    /// Whether a place under the total is on its way that nobody counts on: it stands in line for that, for one more.
    bool is_promised(time_point now) noexcept {
        auto& t = tenancy_;
        if (queue_.waiting() > 0 || this->is_owed() || !may_open_but_for_total(now)) return false;
        t.starving = ledger_.live() == 0;
        t.stands = t.quota->stand_for_promised(t.self, t.starving);
        return t.stands;
    }

    /// How long until the first of what is idle expires.
    std::chrono::steady_clock::duration until_expiry(time_point now) const noexcept {
        return this->clock_.until_expiry(coldest(), this->clock_.read(now));
    }

private:
    // Invariant 1.
    void settle_permits(Orders& orders) noexcept {
        auto& t = tenancy_;
        auto const now = P::retries && this->lacks_one() ? std::chrono::steady_clock::now() : time_point{};
        while (is_hungry(now) && !t.has_permit) {
            bool const starving = ledger_.live() == 0;
            if (t.stands && t.starving == starving) break;  // who grants it something calls
            t.starving = starving;
            t.stands = !t.quota->stand(t.self, starving);
            t.has_permit = !t.stands;
            if (t.stands) orders.makes_room = true;
            if (t.has_permit) this->open_for_waiters(std::chrono::steady_clock::now(), orders);
        }
        // In hand and hungry: there was no memory for a slot.
        if (t.has_permit || (t.stands && !is_hungry(now))) {
            t.quota->stand_down(t.self, t.has_permit, orders.called);
            t.has_permit = t.stands = false;
        }
    }

    bool is_hungry(time_point now) const noexcept { return this->lacks_one() && may_open_but_for_total(now); }
};

template <class Conn, class P>
using ServingOf = std::conditional_t<P::is_keyed, KeyedSteps<Conn, P>, Serving<Conn, P>>;

}  // namespace weir::detail
