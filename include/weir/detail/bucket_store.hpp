#pragma once
// One store for each bucket of settings, and one for what has none.

#include <array>
#include <chrono>
#include <cstddef>
#include <weir/detail/config.hpp>
#include <weir/detail/slot.hpp>
#include <weir/detail/store_group.hpp>

namespace weir::detail {

/// A store for each bucket. Slots lie in the one that `bucket` names; 0 is for those without a setting.
template <class Store, std::size_t N>
class BucketStore : public StoreGroup<std::array<Store, N>> {
    using StoreGroup<std::array<Store, N>>::stores_;

public:
    using StoreGroup<std::array<Store, N>>::size;

    /// Where the slot is to lie from now on. Not while it lies anywhere.
    void assign(SlotBase& slot, std::size_t bucket) noexcept {
        slot.bucket = static_cast<std::uint8_t>(bucket);
        slot.shelf = &stores_[bucket];
    }

    SlotBase* push(SlotBase& slot) noexcept { return static_cast<Store*>(slot.shelf)->push(slot); }
    bool try_push(SlotBase& slot) noexcept { return static_cast<Store*>(slot.shelf)->try_push(slot); }
    SlotBase* pop(std::size_t bucket) noexcept { return stores_[bucket].pop(); }
    std::size_t size(std::size_t bucket) const noexcept { return stores_[bucket].size(); }

    /// Of those without a setting, else of the others, the latest that came back.
    SlotBase* pop() noexcept {
        if (SlotBase* const plain = pop(0)) return plain;
        for (;;) {
            std::size_t const bucket = latest();
            if (bucket == 0) return nullptr;
            if (SlotBase* const slot = pop(bucket)) return slot;
        }
    }

    template <class Matches>
    SlotBase* take_first(std::size_t bucket, Matches matches) noexcept {
        return stores_[bucket].take_first(matches);
    }

    void push_behind_gate(SlotBase& slot) noexcept { stores_[slot.bucket].push_behind_gate(slot); }
    void put_first(SlotBase& slot) noexcept { stores_[slot.bucket].put_first(slot); }
    void put_back(SlotBase& slot) noexcept { stores_[slot.bucket].put_back(slot); }

    template <class Matches>
    Chain take_coldest(std::size_t most, Matches matches) {
        // Bucket by bucket: the coldest of each, one at a time from wherever it is coldest.
        Chain taken;
        while (taken.size < most) {
            Chain one = coldest(matches);
            SlotBase* const slot = one.pop();
            if (!slot) break;
            taken.push(*slot);
        }
        return taken.reversed();
    }

    /// At most half of each.
    template <class Matches>
    Chain take_round(std::size_t most, Matches matches) {
        Chain all;
        for (auto& store : stores_)
            for (Chain part = store.take_round(most - all.size, matches); SlotBase* const slot = part.pop();)
                all.push(*slot);
        return all.reversed();
    }

private:
    using rep = std::chrono::steady_clock::rep;

    // The bucket, but for 0, whose top came back last. 0: all are empty.
    std::size_t latest() const noexcept {
        std::size_t found = 0;
        rep latest = never;
        for (std::size_t bucket = 1; bucket < N; ++bucket) {
            rep const stamp = stores_[bucket].top_stamp();
            if (stamp > latest) {
                found = bucket;
                latest = stamp;
            }
        }
        return found;
    }

    template <class Matches>
    Chain coldest(Matches const& matches) {
        SlotBase* candidate = nullptr;
        for (auto& store : stores_) {
            Chain one = store.take_coldest(1, matches);
            SlotBase* const slot = one.pop();
            if (!slot) continue;
            SlotBase* warmer = slot;
            if (!candidate || slot->parked_at.load(std::memory_order_relaxed) <
                                  candidate->parked_at.load(std::memory_order_relaxed)) {
                warmer = candidate;
                candidate = slot;
            }
            if (warmer) put_back(*warmer);
        }
        Chain result;
        if (candidate) result.push(*candidate);
        return result;
    }
};

}  // namespace weir::detail
