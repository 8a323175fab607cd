#pragma once
// Slots and chains, for the tests of what holds them.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>
#include <weir/detail/slot.hpp>

namespace weir::detail {

using Ids = std::vector<std::uint64_t>;

/// Slots whose ids are 1, 2, 3, …
template <std::size_t n>
struct Slots {
    std::array<SlotBase, n> all;

    Slots() {
        std::uint64_t id = 0;
        for (SlotBase& slot : all) slot.id = ++id;
    }
    SlotBase& operator[](std::uint64_t id) { return all.at(id - 1); }
};

/// The ids of a chain, first to last.
inline Ids ids(Chain chain) {
    Ids result;
    std::size_t const size = chain.size;
    while (SlotBase* const slot = chain.pop()) result.push_back(slot->id);
    if (result.size() != size) result.push_back(~std::uint64_t{0});  // it does not know its length
    return result;
}

/// Pops all, one by one.
template <class Store>
Ids drain(Store& store) {
    Ids result;
    while (SlotBase* const slot = store.pop()) result.push_back(slot->id);
    return result;
}

}  // namespace weir::detail
