#pragma once
// Several stores that are one.

#include <cstddef>
#include <weir/detail/config.hpp>
#include <weir/detail/slot.hpp>

namespace weir::detail {

/// By itself, as processors fight over it.
template <class Store>
struct alignas(interference_size) Apart : Store {
    using Store::Store;
};

/// What `Stores`, a range of stores, has in common whichever of them a slot is put into: one gate, which is open when
/// theirs are.
///
/// The gates are shut one after the other, under the core's mutex. What is pushed meanwhile lies where the gate was
/// open still, and is found by whoever shuts that one; those shut before are opened again when that fails.
template <class Stores>
class StoreGroup {
public:
    std::size_t size() const noexcept {
        std::size_t all = 0;
        for (auto const& store : stores_) all += store.size();
        return all;
    }

    bool shut() const noexcept { return stores_.begin()->shut(); }

    bool shut_if_empty() noexcept {
        bool const was_open = !shut();
        for (auto& store : stores_) {
            if (store.shut_if_empty()) continue;
            if (was_open) open();
            return false;
        }
        return true;
    }

    void open() noexcept {
        for (auto& store : stores_) store.open();
    }

    Chain seal() noexcept {
        return gather([](auto& store) { return store.seal(); });
    }
    Chain pop_all() noexcept {
        return gather([](auto& store) { return store.pop_all(); });
    }

    template <class Matches>
    bool any(Matches const& matches) const noexcept {
        for (auto const& store : stores_)
            if (store.any(matches)) return true;
        return false;
    }

protected:
    template <class... Count>
    explicit StoreGroup(Count... count) : stores_(count...) {}

    Stores stores_;

private:
    // In the order of the stores, and of each in its own.
    template <class Take>
    Chain gather(Take take) noexcept {
        Chain all;
        for (auto& store : stores_)
            for (Chain part = take(store); SlotBase* const slot = part.pop();) all.push(*slot);
        return all.reversed();
    }
};

/// The later a slot came back, the further in front: of two chains in that order, one.
inline Chain merge_by_age(Chain one, Chain other) noexcept {
    Chain merged;
    while (!one.empty() || !other.empty()) {
        Chain& later = parked_at(one.first) >= parked_at(other.first) && !one.empty() ? one : other;
        merged.push(*later.pop());
    }
    return merged.reversed();
}

}  // namespace weir::detail
