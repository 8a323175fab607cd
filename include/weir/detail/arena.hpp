#pragma once

#include <deque>
#include <weir/detail/slot.hpp>

namespace weir::detail {

/// Where slots live: it grows in chunks, never moves a slot and never gives memory back before it dies.
/// Guarded by the core's mutex.
template <class Place>
class Arena {
public:
    /// A slot nobody uses. Allocates when there is none, and throws `std::bad_alloc` when it cannot.
    template <class Home>
    Place& take(Home& home) {
        if (SlotBase* free = free_.pop()) return static_cast<Place&>(*free);
        return slots_.emplace_back(home);
    }

    void put(SlotBase& slot) noexcept { free_.push(slot); }

    template <class Visit>
    void for_each(Visit visit) {
        for (Place& slot : slots_) visit(slot);
    }
    template <class Visit>
    void for_each(Visit visit) const {
        for (Place const& slot : slots_) visit(slot);
    }

private:
    std::deque<Place> slots_;
    Chain free_;
};

}  // namespace weir::detail
