#pragma once
// The lock-free idle store.

#include <chrono>
#include <cstddef>
#include <weir/detail/slot.hpp>
#include <weir/detail/treiber_stack.hpp>

namespace weir::detail {

/// A `TreiberStack` of idle slots, and what maintenance does with them.
///
/// The gate is how a waiter and a returner find each other. While it is shut, `push` refuses, and it can be shut only
/// at a moment when the stack is empty. So there are two orders, and no third: the push came before the gate was shut,
/// and the acquirer who tried to shut it was told to look again; or it came after, and the returner was refused and
/// goes to the waiters.
///
/// What `TreiberStack` says is for one thread at a time, and all that is added here, the core calls under its mutex.
class TaggedStackStore : public TreiberStack<SlotBase> {
public:
    /// Whether what is pushed is popped next.
    static constexpr bool is_stack = true;

    using TreiberStack::TreiberStack;

    /// When the one on top was parked, or `never`. A hint, as somebody may take it meanwhile.
    std::chrono::steady_clock::rep top_stamp() const noexcept { return parked_at(glance().first); }

    /// Takes the latest that `matches`, and leaves the others where they are.
    template <class Matches>
    SlotBase* take_first(Matches matches) noexcept {
        Chain all = pop_all();
        SlotBase* const found = remove_first(all, matches);
        restore(all);
        return found;
    }

    /// Parks `slot` as the one to be lent next.
    void put_first(SlotBase& slot) noexcept { push_behind_gate(slot); }

    /// Parks `slot`, one of the coldest, where it lay before: below those that came back later.
    void put_back(SlotBase& slot) noexcept {
        Chain all = pop_all();
        insert_by_age(all, slot);
        restore(all);
    }

    /// Takes up to `most` of the slots that `matches`, the coldest first, and leaves the others where they are.
    ///
    /// When there is one, the stack is empty for as long as it takes to walk it. No acquirer is misled: one that finds
    /// nothing asks for the core's mutex before it opens or waits, and looks again when it has it.
    template <class Matches>
    Chain take_coldest(std::size_t most, Matches matches) {
        if (most == 0 || !any(matches)) return {};
        Chain kept = pop_all();
        Chain const taken = take_last(kept, most, matches);
        restore(kept);
        return taken;
    }

    /// The same, of those for one round of maintenance: at most half of what is here.
    template <class Matches>
    Chain take_round(std::size_t most, Matches matches) {
        std::size_t const half = size() / 2 > 0 ? size() / 2 : 1;
        return take_coldest(most < half ? most : half, matches);
    }

    /// Whether one `matches`. A hint: the slots seen on the way may be taken and come back meanwhile, so the walk is
    /// bounded. Only their atomics are read.
    template <class Matches>
    bool any(Matches const& matches) const noexcept {
        auto const seen = glance();
        SlotBase const* slot = seen.first;
        for (std::size_t left = seen.size; slot && left > 0; --left) {
            if (matches(*slot)) return true;
            slot = slot->next.load(std::memory_order_relaxed);
        }
        return false;
    }
};

}  // namespace weir::detail
