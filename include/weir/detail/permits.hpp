#pragma once
// The places of a core that is one of many.

#include <cstdint>
#include <type_traits>
#include <utility>
#include <weir/detail/state.hpp>

namespace weir::detail {

/// What is open has a place under the total, taken in the same step as that under the key's own limits, and given back
/// in the step that frees the slot.
///
/// Whether there is one can be known only by taking it. So `has_permit` takes it in hand, whoever reserves a slot uses
/// it, and what is still in hand at the end of a step is given back.
template <class Conn, class P>
class Permits : protected State<Conn, P> {
    using Base = State<Conn, P>;

protected:
    using Base::Base;
    using Base::tenancy_;

    ~Permits() = default;

    bool has_permit() noexcept {
        auto& t = tenancy_;
        if (!t.quota || t.has_permit) return true;
        t.has_permit = t.quota->take(t.self);
        if (t.has_permit) t.stands = false;
        return t.has_permit;
    }

    std::uint64_t next_id() noexcept { return tenancy_.quota ? tenancy_.quota->next_id() : 0; }

    void use_permit() noexcept { tenancy_.has_permit = false; }

    /// With the slot that had it.
    void return_permit(SlotBase& slot, Orders& orders) noexcept {
        bool const reclaimed = std::exchange(slot.reclaimed, false);
        if (tenancy_.quota) tenancy_.quota->put(reclaimed, orders.called);
    }

    /// The close that was to free its place takes too long: another is to be had instead.
    void forgo(SlotBase& slot, Orders& orders) noexcept {
        if (!std::exchange(slot.reclaimed, false)) return;
        tenancy_.quota->forgo();
        orders.makes_room = true;
    }

    /// Whether one that nobody holds, but that may be wanted here, or even be new and opened for somebody, goes because
    /// its place is needed by another key, or is one too many.
    bool is_claimed(SlotBase& slot, bool is_wanted, bool is_new) noexcept {
        auto* const quota = tenancy_.quota;
        auto const otherwise = !is_wanted ? Otherwise::parked : is_new ? Otherwise::opened : Otherwise::served;
        slot.reclaimed = quota && quota->claim(otherwise);
        return slot.reclaimed;
    }

    bool has_surplus() const noexcept { return tenancy_.quota && tenancy_.quota->has_surplus(); }
};

template <class Conn, class P>
using StateOf = std::conditional_t<P::is_keyed, Permits<Conn, P>, State<Conn, P>>;

}  // namespace weir::detail
