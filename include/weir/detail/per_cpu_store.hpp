#pragma once
// A store for each processor.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <weir/detail/config.hpp>
#include <weir/detail/cpu.hpp>
#include <weir/detail/slot.hpp>
#include <weir/detail/store_group.hpp>

namespace weir::detail {

/// One store for each processor, so that two of them do not fight over one word. What comes back is parked where the
/// thread runs; who finds nothing there looks everywhere else before he is told that there is nothing, so no idle slot
/// is ever out of reach.
///
/// Which processor that is is a hint: a thread that has been moved since uses another's store, which is slower and not
/// wrong.
template <class Store>
class PerCpuStore : public StoreGroup<CpuArray<Store>> {
    using Group = StoreGroup<CpuArray<Store>>;
    using Group::stores_;

public:
    static constexpr bool is_stack = Store::is_stack;

    PerCpuStore() : Group{cpu_parts()} {}

    SlotBase* push(SlotBase& slot) noexcept { return stores_.here().push(slot); }

    bool try_push(SlotBase& slot) noexcept { return stores_.here().try_push(slot); }

    SlotBase* pop() noexcept {
        SlotBase* slot = nullptr;
        if (stores_.here().try_pop(slot)) [[likely]]
            return slot;
        return pop_slowly();
    }

    std::chrono::steady_clock::rep top_stamp() const noexcept {
        auto latest = never;
        for (auto const& store : stores_) latest = std::max(latest, store.top_stamp());
        return latest;
    }

    // ---- One thread at a time, as with each store. -----------------------------------------------------------------

    void push_behind_gate(SlotBase& slot) noexcept { stores_.here().push_behind_gate(slot); }
    void put_first(SlotBase& slot) noexcept { stores_.here().put_first(slot); }
    void put_back(SlotBase& slot) noexcept { stores_[slot.part].put_back(slot); }

    template <class Matches>
    SlotBase* take_first(Matches matches) noexcept {
        auto const cpu = stores_.cpu();
        for (unsigned i = 0; i < stores_.size(); ++i)
            if (SlotBase* const slot = stores_[cpu + i].take_first(matches)) return slot;
        return nullptr;
    }

    /// Of all processors: each store is empty for as long as it takes to walk them all.
    template <class Matches>
    Chain take_coldest(std::size_t most, Matches matches) {
        if (most == 0 || !this->any(matches)) return {};
        Chain all;
        for (unsigned i = 0; i < stores_.size(); ++i) {
            Chain const part = stores_[i].take_coldest(max_slots, [](SlotBase const&) { return true; }).reversed();
            for (SlotBase* s = part.first; s; s = s->next.load(std::memory_order_relaxed))
                s->part = static_cast<std::uint8_t>(i);
            all = merge_by_age(all, part);
        }
        Chain const taken = take_last(all, most, matches);

        std::array<Chain, most_cpus> parts;
        for (Chain rest = all.reversed(); SlotBase* const slot = rest.pop();) parts[slot->part].push(*slot);
        for (unsigned i = 0; i < stores_.size(); ++i) stores_[i].restore(parts[i]);
        return taken;
    }

    template <class Matches>
    Chain take_round(std::size_t most, Matches matches) {
        std::size_t const half = std::max<std::size_t>(1, this->size() / 2);
        return take_coldest(std::min(most, half), matches);
    }

private:
    // A function of its own spares who need not call it a stack frame.
    [[gnu::noinline]] SlotBase* pop_slowly() noexcept {
        if (SlotBase* const slot = stores_.here().pop()) return slot;
        remember_cpu();
        auto const cpu = stores_.cpu();
        for (unsigned i = 0; i < stores_.size(); ++i)
            if (SlotBase* const slot = stores_[cpu + i].pop()) return slot;
        return nullptr;
    }
};

}  // namespace weir::detail
