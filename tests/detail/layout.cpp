// Where things lie in memory: what different processors write is apart, what one acquire touches is together.

#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <string>
#include <type_traits>
#include <weir/pool.hpp>

namespace weir::detail {
namespace {

// What every acquire and return touches of a slot is one cache line, upkeep's times included but for the lease's.
static_assert(std::is_standard_layout_v<SlotBase>, "offsetof says nothing otherwise");
static_assert(offsetof(SlotBase, dies_at) + sizeof(SlotBase::dies_at) <= cache_line);
static_assert(offsetof(SlotBase, lent_since) < interference_size);
static_assert(offsetof(SlotBase, operation) >= cache_line, "what background work touches is not on that line");
static_assert(alignof(SlotBase) == interference_size);

template <class Conn>
constexpr bool slots_are_apart = alignof(Slot<Conn>) == interference_size &&
                                 sizeof(Slot<Conn>) % interference_size == 0;
static_assert(slots_are_apart<char> && slots_are_apart<std::string>);
static_assert(alignof(SettingSlot<char, std::string>) == interference_size);

// A part of a store, of which there is one for each processor, shares no line with its neighbours.
static_assert(sizeof(FrontedStore<TaggedStackStore>) == interference_size, "README and PerCpu say so");
static_assert(alignof(FrontedStore<TaggedStackStore>) == interference_size);
static_assert(alignof(FrontedStore<LockedStore<Order::lifo>>) == interference_size);
static_assert(sizeof(StoreOf<TaggedStack>::type) == interference_size);
static_assert(alignof(StoreOf<LockedQueue>::type) == interference_size);

TEST(Layout, PartsOfAStoreAreWhereTheyAreSaidToBe) {
    CpuArray<FrontedStore<TaggedStackStore>> const parts{4};
    for (auto const& part : parts) EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&part) % interference_size, 0u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(parts.begin() + 1) - reinterpret_cast<std::uintptr_t>(parts.begin()),
              interference_size);
}

/// Lays open where its parts lie.
struct Laid : State<char, PolicySet<TaggedStack>> {
    using Base = State<char, PolicySet<TaggedStack>>;
    explicit Laid(Home<char>& home) : Base{home, {}} {}

    template <class T>
    std::size_t place_of(T const& member) const {
        return static_cast<std::size_t>(reinterpret_cast<char const*>(&member) - reinterpret_cast<char const*>(this));
    }
    std::size_t clock() const { return place_of(clock_); }
    std::size_t closed() const { return place_of(closed_); }
    std::size_t store() const { return place_of(store_); }
    std::size_t mutex() const { return place_of(mutex_); }
};

struct Nowhere final : Home<char> {
    void drop(Slot<char>&) noexcept override {}
    void release(Slot<char>&) noexcept override {}
    void discard(Slot<char>&) noexcept override {}
    void detached(Slot<char>&) noexcept override {}
};

TEST(Layout, WhatIsReadWithoutTheMutexIsApartFromWhatIsWrittenUnderIt) {
    Nowhere home;
    Laid const laid{home};
    EXPECT_EQ(laid.store() % interference_size, 0u);
    EXPECT_GE(laid.clock(), laid.store() + interference_size) << "the head of the stack has neighbours";
    EXPECT_EQ(laid.mutex() % interference_size, 0u);
    EXPECT_GT(laid.mutex(), laid.clock());
    EXPECT_GT(laid.mutex(), laid.closed());
}

}  // namespace
}  // namespace weir::detail
