// The lock-free store: its head, its tag, and pops that lose a race. What it shares with the others: store.cpp.

#include "support/slots.hpp"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>
#include <vector>
#include <weir/detail/store_group.hpp>
#include <weir/detail/tagged_stack.hpp>

namespace weir::detail {
namespace {

constexpr std::uint64_t tags = std::uint64_t{1} << 39;

static_assert(alignof(Apart<TaggedStackStore>) == interference_size, "the head must be by itself");
static_assert(sizeof(Apart<TaggedStackStore>) == interference_size);

TEST(TaggedStack, TheTagWrapsRoundAndHarmsNeitherCountNorGate) {
    Slots<4> slots;
    TaggedStackStore store{tags - 3};
    for (int round = 0; round != 4; ++round) {
        for (std::uint64_t id = 1; id <= 4; ++id) EXPECT_EQ(store.push(slots[id]), nullptr);
        EXPECT_EQ(store.size(), 4u);
        EXPECT_FALSE(store.shut());
        EXPECT_EQ(drain(store), (Ids{4, 3, 2, 1}));
        EXPECT_EQ(store.size(), 0u);
        EXPECT_TRUE(store.shut_if_empty());
        EXPECT_EQ(store.push(slots[1]), &slots[1]);
        store.open();
    }
}

TEST(TaggedStack, TakingAllAtTheWrapAroundHarmsNeitherCountNorGate) {
    Slots<2> slots;
    for (std::uint64_t before = 1; before <= 3; ++before) {
        TaggedStackStore store{tags - before};
        for (int round = 0; round != 4; ++round) {
            EXPECT_EQ(store.push(slots[1]), nullptr);
            EXPECT_EQ(store.push(slots[2]), nullptr);
            EXPECT_EQ(ids(store.pop_all()), (Ids{2, 1}));
            EXPECT_FALSE(store.shut());
            EXPECT_EQ(ids(store.seal()), Ids{});
            EXPECT_TRUE(store.shut());
            EXPECT_EQ(store.size(), 0u);
            store.push_behind_gate(slots[1]);
            EXPECT_EQ(store.size(), 1u);
            EXPECT_EQ(drain(store), Ids{1});
            store.open();
        }
    }
}

TEST(TaggedStack, ThreadsGoRoundTheWrapAroundAndLoseNothing) {
    constexpr std::uint64_t count = 8;
    Slots<count> slots;
    TaggedStackStore store{tags - 5'000};
    for (std::uint64_t id = 1; id <= count; ++id) EXPECT_EQ(store.push(slots[id]), nullptr);
    std::vector<std::thread> threads;
    for (int i = 0; i != 4; ++i) {
        threads.emplace_back([&] {
            for (int k = 0; k != 10'000; ++k) {
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

/// A stack's head as the store writes it, so that a test can stand still between the two steps of a pop.
struct Head {
    static constexpr std::uint64_t one = 2;
    static constexpr std::uint64_t tag = std::uint64_t{1} << 25;

    // The store holds nothing else: see the assertions above.
    static Word128& of(TaggedStackStore& store) { return reinterpret_cast<Word128&>(store); }

    /// The first half of `TaggedStackStore::pop`.
    explicit Head(TaggedStackStore& store) : seen{of(store).load()}, top{reinterpret_cast<SlotBase*>(seen.low)} {
        below = top->next.load(std::memory_order_relaxed);
    }
    /// The second half.
    bool finish(TaggedStackStore& store) {
        return of(store).compare_exchange(seen, {reinterpret_cast<std::uint64_t>(below), seen.high - one + tag});
    }

    Word128::Value seen;
    SlotBase* top;
    SlotBase* below;
};

TEST(TaggedStack, APopThatNobodyDisturbsSucceeds) {
    Slots<2> slots;
    TaggedStackStore store;
    EXPECT_EQ(store.push(slots[1]), nullptr);
    EXPECT_EQ(store.push(slots[2]), nullptr);
    Head pop{store};
    EXPECT_EQ(pop.top, &slots[2]);
    EXPECT_TRUE(pop.finish(store));
    EXPECT_EQ(drain(store), Ids{1});
}

// ABA: the top is what it was, and so is the count, but what lay below it has gone.
TEST(TaggedStack, APopFailsWhenItsTopWasTakenAndCameBack) {
    Slots<3> slots;
    TaggedStackStore store;
    EXPECT_EQ(store.push(slots[1]), nullptr);
    EXPECT_EQ(store.push(slots[2]), nullptr);
    EXPECT_EQ(store.push(slots[3]), nullptr);
    Head slow{store};
    ASSERT_EQ(slow.top, &slots[3]);
    ASSERT_EQ(slow.below, &slots[2]);

    EXPECT_EQ(drain(store), (Ids{3, 2, 1}));
    EXPECT_EQ(store.push(slots[2]), nullptr);
    EXPECT_EQ(store.push(slots[1]), nullptr);
    EXPECT_EQ(store.push(slots[3]), nullptr);
    EXPECT_EQ(store.size(), 3u);

    EXPECT_FALSE(slow.finish(store)) << "2 would be on top, and 1 lost";
    EXPECT_EQ(drain(store), (Ids{3, 1, 2}));
}

TEST(TaggedStack, APopFailsWhenAllWereTakenAndCameBack) {
    Slots<2> slots;
    TaggedStackStore store;
    EXPECT_EQ(store.push(slots[1]), nullptr);
    EXPECT_EQ(store.push(slots[2]), nullptr);
    Head slow{store};
    Chain all = store.pop_all();
    EXPECT_EQ(ids(all), (Ids{2, 1}));
    EXPECT_EQ(store.push(slots[1]), nullptr);
    EXPECT_EQ(store.push(slots[2]), nullptr);
    EXPECT_FALSE(slow.finish(store));
    EXPECT_EQ(drain(store), (Ids{2, 1}));
}

TEST(TaggedStack, APopFailsWhenASweepPassed) {
    Slots<3> slots;
    TaggedStackStore store;
    for (std::uint64_t id = 1; id <= 3; ++id) EXPECT_EQ(store.push(slots[id]), nullptr);
    Head slow{store};
    Chain const cold = store.take_coldest(1, [](SlotBase const& slot) { return slot.id == 2; });
    EXPECT_EQ(ids(cold), Ids{2});
    EXPECT_EQ(store.push(slots[2]), nullptr);
    EXPECT_EQ(drain(store), (Ids{2, 3, 1}));
    for (std::uint64_t id = 1; id <= 3; ++id) EXPECT_EQ(store.push(slots[id]), nullptr);
    EXPECT_FALSE(slow.finish(store));
}

TEST(TaggedStack, APopFailsWhenItsTopWasTakenAndAnotherCame) {
    Slots<2> slots;
    TaggedStackStore store;
    EXPECT_EQ(store.push(slots[1]), nullptr);
    Head slow{store};
    EXPECT_EQ(store.pop(), &slots[1]);
    EXPECT_EQ(store.push(slots[2]), nullptr);
    EXPECT_FALSE(slow.finish(store));
    EXPECT_EQ(drain(store), Ids{2});
}

// rule 11
TEST(TaggedStack, Rule11EitherThePushOrTheGateComesFirst) {
    Slots<1> slots;
    for (int round = 0; round != 300; ++round) {
        TaggedStackStore store;
        std::atomic<int> ready{0};
        auto const at_once = [&] {
            ready.fetch_add(1);
            while (ready.load() != 2) std::this_thread::yield();
        };
        bool pushed = false;
        std::thread returner{[&] {
            at_once();
            pushed = store.push(slots[1]) == nullptr;
        }};
        at_once();
        bool const shut = store.shut_if_empty();
        returner.join();
        ASSERT_NE(pushed, shut) << "a waiter sleeps beside an idle slot, or both were turned away";
    }
}

// rule 30: a sweep and traffic at once. What the sweep leaves is all there afterwards.
TEST(TaggedStack, Rule30ASweepLosesNothingThatComesAndGoesMeanwhile) {
    constexpr std::uint64_t count = 8;
    Slots<count> slots;
    TaggedStackStore store;
    for (std::uint64_t id = 1; id <= count; ++id) EXPECT_EQ(store.push(slots[id]), nullptr);
    std::atomic<bool> stop{false};
    std::thread traffic{[&] {
        while (!stop) {
            SlotBase* const slot = store.pop();
            if (slot) {
                EXPECT_EQ(store.push(*slot), nullptr);
            }
        }
    }};
    for (int round = 0; round != 5'000; ++round) {
        Chain cold = store.take_coldest(2, [](SlotBase const& slot) { return slot.id <= 3; });
        EXPECT_LE(cold.size, 2u);
        while (SlotBase* const slot = cold.pop()) EXPECT_EQ(store.push(*slot), nullptr);
    }
    stop = true;
    traffic.join();
    EXPECT_EQ(store.size(), count);
    EXPECT_EQ(drain(store).size(), count);
}

}  // namespace
}  // namespace weir::detail
