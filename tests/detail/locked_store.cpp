// The stores under a mutex: what is theirs alone. What they share with the tagged stack: store.cpp.

#include "support/slots.hpp"

#include <gtest/gtest.h>
#include <thread>
#include <type_traits>
#include <vector>
#include <weir/detail/locked_store.hpp>

namespace weir::detail {
namespace {

// rule 4
TEST(LockedStore, Rule4FifoRotates) {
    Slots<3> slots;
    LockedStore<Order::fifo> store;
    for (std::uint64_t id = 1; id <= 3; ++id) EXPECT_EQ(store.push(slots[id]), nullptr);
    Ids lent;
    for (int i = 0; i != 7; ++i) {
        SlotBase* const slot = store.pop();
        ASSERT_TRUE(slot);
        lent.push_back(slot->id);
        EXPECT_EQ(store.push(*slot), nullptr);
    }
    EXPECT_EQ(lent, (Ids{1, 2, 3, 1, 2, 3, 1}));
}

TEST(LockedStore, FifoKnowsItsLastOneAfterEveryWayToLoseIt) {
    Slots<4> slots;
    LockedStore<Order::fifo> store;
    auto const refill = [&] {
        for (std::uint64_t id = 1; id <= 3; ++id) EXPECT_EQ(store.push(slots[id]), nullptr);
    };
    auto const last = [](SlotBase const& slot) { return slot.id == 3; };
    refill();
    EXPECT_EQ(ids(store.take_coldest(1, last)), Ids{3});
    EXPECT_EQ(store.push(slots[4]), nullptr);
    EXPECT_EQ(drain(store), (Ids{1, 2, 4}));
    refill();
    EXPECT_EQ(ids(store.pop_all()), (Ids{1, 2, 3}));
    EXPECT_EQ(store.push(slots[4]), nullptr);
    EXPECT_EQ(drain(store), Ids{4});
    refill();
    EXPECT_EQ(ids(store.take_coldest(9, [](SlotBase const&) { return true; })), (Ids{1, 2, 3}));
    EXPECT_EQ(store.push(slots[4]), nullptr);
    EXPECT_EQ(store.push(slots[1]), nullptr);
    EXPECT_EQ(drain(store), (Ids{4, 1}));
}

template <class Store>
struct LockedStoreThreads : ::testing::Test {};
using Both = ::testing::Types<LockedStore<Order::lifo>, LockedStore<Order::fifo>>;
TYPED_TEST_SUITE(LockedStoreThreads, Both);

TYPED_TEST(LockedStoreThreads, LoseNothingAndShareNothing) {
    constexpr std::size_t count = 4;
    Slots<count> slots;
    TypeParam store;
    for (std::uint64_t id = 1; id <= count; ++id) EXPECT_EQ(store.push(slots[id]), nullptr);
    std::vector<std::thread> threads;
    for (int i = 0; i != 4; ++i) {
        threads.emplace_back([&] {
            for (int k = 0; k != 2'000; ++k) {
                SlotBase* const slot = store.pop();
                if (!slot) continue;
                ++slot->uncaught_when_lent;  // plain: only its owner may
                EXPECT_EQ(store.push(*slot), nullptr);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(store.size(), count);
    EXPECT_EQ(drain(store).size(), count);
}

}  // namespace
}  // namespace weir::detail
