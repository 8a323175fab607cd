// What all idle stores mean alike. Rules 4 and 30 for the order, rule 11 for the gate.

#include "support/cpus.hpp"
#include "support/slots.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <type_traits>
#include <weir/detail/store.hpp>

namespace weir::detail {
namespace {

template <class Policy>
struct Store : ::testing::Test {
    static constexpr bool is_queue = std::is_same_v<Policy, LockedQueue> || std::is_same_v<Policy, PerCpu<LockedQueue>>;

    test::OnCpu const stay{0};  // what is parted by processor has an order on one only

    typename StoreOf<Policy>::type store;
    Slots<8> slots;

    void park(Ids const& which) {
        for (auto const id : which) EXPECT_EQ(store.push(slots[id]), nullptr);
    }
    /// What was parked in this order comes out so.
    static Ids lent(Ids parked) {
        if (!is_queue) std::reverse(parked.begin(), parked.end());
        return parked;
    }
};
using Policies = ::testing::Types<TaggedStack, LockedStack, LockedQueue, PerCpu<TaggedStack>, PerCpu<LockedStack>,
                                  PerCpu<LockedQueue>>;
TYPED_TEST_SUITE(Store, Policies);

TYPED_TEST(Store, IsEmptyAndOpenAtFirst) {
    EXPECT_EQ(this->store.size(), 0u);
    EXPECT_EQ(this->store.pop(), nullptr);
    EXPECT_FALSE(this->store.shut());
}

// rule 4
TYPED_TEST(Store, Rule4LendsInItsOrder) {
    this->park({1, 2, 3});
    EXPECT_EQ(drain(this->store), this->lent({1, 2, 3}));
    this->park({4, 5});
    auto* const first = this->store.pop();
    ASSERT_TRUE(first);
    EXPECT_EQ(first->id, this->is_queue ? 4u : 5u);
    this->park({6});
    EXPECT_EQ(drain(this->store), this->is_queue ? (Ids{5, 6}) : (Ids{6, 4}));
}

TYPED_TEST(Store, CountsWhatIsParked) {
    for (std::uint64_t id = 1; id <= 8; ++id) {
        EXPECT_EQ(this->store.push(this->slots[id]), nullptr);
        EXPECT_EQ(this->store.size(), id);
    }
    for (std::size_t left = 8; left-- != 0;) {
        EXPECT_TRUE(this->store.pop());
        EXPECT_EQ(this->store.size(), left);
    }
    EXPECT_FALSE(this->store.pop());
    EXPECT_EQ(this->store.size(), 0u);
}

// rule 4, rule 11
TYPED_TEST(Store, Rule11OneTryParksInOrderOrDoesNothing) {
    Ids parked;
    for (std::uint64_t id = 1; id <= 4; ++id) {
        bool const done = this->store.try_push(this->slots[id]);
        EXPECT_EQ(this->store.size(), parked.size() + (done ? 1 : 0));
        if (done || !this->store.push(this->slots[id])) parked.push_back(id);
    }
    EXPECT_EQ(drain(this->store), this->lent({1, 2, 3, 4}));

    EXPECT_TRUE(this->store.shut_if_empty());
    EXPECT_FALSE(this->store.try_push(this->slots[5]));
    EXPECT_EQ(this->store.push(this->slots[5]), &this->slots[5]) << "a try that failed did something";
    EXPECT_EQ(this->store.size(), 0u);
    this->store.open();
    if (!this->store.try_push(this->slots[5])) {
        EXPECT_EQ(this->store.push(this->slots[5]), nullptr);
    }
    EXPECT_EQ(drain(this->store), (Ids{5}));
    EXPECT_TRUE(this->store.try_push(this->slots[6])) << "what has been shut once is never quick again";
}

// rule 11
TYPED_TEST(Store, Rule11TheGateShutsOnlyWhileNothingIsParked) {
    this->park({1});
    EXPECT_FALSE(this->store.shut_if_empty());
    EXPECT_FALSE(this->store.shut());
    EXPECT_EQ(this->store.push(this->slots[2]), nullptr) << "a failed attempt changed something";
    EXPECT_EQ(drain(this->store), this->lent({1, 2}));
    EXPECT_TRUE(this->store.shut_if_empty());
    EXPECT_TRUE(this->store.shut());
    EXPECT_TRUE(this->store.shut_if_empty()) << "shut already is shut";
}

// rule 11
TYPED_TEST(Store, Rule11AShutGateRefusesAndLeavesTheSlotToItsOwner) {
    EXPECT_TRUE(this->store.shut_if_empty());
    EXPECT_EQ(this->store.push(this->slots[1]), &this->slots[1]);
    EXPECT_EQ(this->store.size(), 0u);
    EXPECT_EQ(this->store.pop(), nullptr);
    this->store.open();
    EXPECT_FALSE(this->store.shut());
    EXPECT_EQ(this->store.push(this->slots[1]), nullptr);
    EXPECT_EQ(this->store.size(), 1u);
}

TYPED_TEST(Store, OpeningAnOpenGateChangesNothing) {
    this->park({1, 2});
    this->store.open();
    EXPECT_EQ(this->store.size(), 2u);
    EXPECT_EQ(drain(this->store), this->lent({1, 2}));
}

TYPED_TEST(Store, WhatIsParkedBehindTheGateCanBeTaken) {
    EXPECT_TRUE(this->store.shut_if_empty());
    this->store.push_behind_gate(this->slots[1]);
    this->store.push_behind_gate(this->slots[2]);
    EXPECT_TRUE(this->store.shut());
    EXPECT_EQ(this->store.size(), 2u);
    EXPECT_FALSE(this->store.shut_if_empty()) << "shut, but not empty";
    EXPECT_EQ(drain(this->store), this->lent({1, 2}));
    EXPECT_TRUE(this->store.shut());
}

TYPED_TEST(Store, ParkingBehindAnOpenGateIsParking) {
    this->park({1});
    this->store.push_behind_gate(this->slots[2]);
    this->park({3});
    EXPECT_FALSE(this->store.shut());
    EXPECT_EQ(drain(this->store), this->lent({1, 2, 3}));
}

// rule 38
TYPED_TEST(Store, Rule38SealTakesAllAndShutsTheGateInOneStep) {
    this->park({1, 2, 3});
    EXPECT_EQ(ids(this->store.seal()), this->lent({1, 2, 3}));
    EXPECT_TRUE(this->store.shut());
    EXPECT_EQ(this->store.size(), 0u);
    EXPECT_EQ(this->store.push(this->slots[4]), &this->slots[4]);
    EXPECT_EQ(ids(this->store.seal()), Ids{});
}

TYPED_TEST(Store, PopAllTakesAllTheNextToBeLentFirst) {
    this->park({1, 2, 3});
    EXPECT_EQ(ids(this->store.pop_all()), this->lent({1, 2, 3}));
    EXPECT_FALSE(this->store.shut());
    EXPECT_EQ(this->store.size(), 0u);
    EXPECT_EQ(ids(this->store.pop_all()), Ids{});
    this->park({4, 5});
    EXPECT_EQ(drain(this->store), this->lent({4, 5}));
}

TYPED_TEST(Store, PopAllLeavesAShutGateShut) {
    EXPECT_TRUE(this->store.shut_if_empty());
    this->store.push_behind_gate(this->slots[1]);
    EXPECT_EQ(ids(this->store.pop_all()), Ids{1});
    EXPECT_TRUE(this->store.shut());
}

// rule 30
TYPED_TEST(Store, Rule30TakesTheColdestFirst) {
    this->park({1, 2, 3, 4, 5, 6});
    auto const all = [](SlotBase const&) { return true; };
    Chain const cold = this->store.take_coldest(3, all);
    EXPECT_EQ(ids(cold), (Ids{1, 2, 3}));
    EXPECT_EQ(this->store.size(), 3u);
    EXPECT_EQ(drain(this->store), this->lent({4, 5, 6}));
}

// rule 30
TYPED_TEST(Store, Rule30LeavesTheOrderOfTheOthersAlone) {
    this->park({1, 2, 3, 4, 5, 6, 7, 8});
    auto const odd = [](SlotBase const& slot) { return slot.id % 2 == 1; };
    EXPECT_EQ(ids(this->store.take_coldest(3, odd)), (Ids{1, 3, 5}));
    EXPECT_EQ(drain(this->store), this->lent({2, 4, 6, 7, 8}));
}

// rule 30
TYPED_TEST(Store, Rule30TakesNoMoreThanMatches) {
    this->park({1, 2, 3});
    auto const second = [](SlotBase const& slot) { return slot.id == 2; };
    EXPECT_EQ(ids(this->store.take_coldest(3, second)), Ids{2});
    EXPECT_EQ(ids(this->store.take_coldest(3, second)), Ids{});
    EXPECT_EQ(ids(this->store.take_coldest(0, [](SlotBase const&) { return true; })), Ids{});
    EXPECT_EQ(this->store.size(), 2u);
    this->park({4});
    EXPECT_EQ(drain(this->store), this->lent({1, 3, 4}));
}

// rule 30
TYPED_TEST(Store, Rule30MayTakeTheLastOne) {
    this->park({1});
    EXPECT_EQ(ids(this->store.take_coldest(9, [](SlotBase const&) { return true; })), Ids{1});
    EXPECT_EQ(this->store.size(), 0u);
    this->park({2, 3});
    EXPECT_EQ(drain(this->store), this->lent({2, 3}));
}

}  // namespace
}  // namespace weir::detail
