// Who gets a share of which connection, and who is refused one.

#include "support/slots.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <thread>
#include <vector>
#include <weir/detail/share_store.hpp>

namespace weir::detail {
namespace {

/// A store that lends `n` slots, each at most so often at once.
struct Lending {
    explicit Lending(std::size_t n, std::size_t most = Shares::most_shares) : slots(n) {
        std::uint64_t id = 0;
        for (SlotBase& slot : slots) {
            slot.id = ++id;
            ShareStore::begin(slot, most);
            EXPECT_TRUE(store.push_behind_gate(slot));
        }
        store.crowd(true);
    }

    std::uint64_t out(std::size_t i) const { return Shares::of(slots[i]).out(); }

    std::deque<SlotBase> slots;
    ShareStore store;
};

auto const any = [](SlotBase const&) { return true; };

TEST(ShareStore, LendsTheOneWithTheFewestSharesOut) {
    Lending lending{3};
    for (int round = 1; round != 4; ++round) {
        for (int i = 0; i != 3; ++i) ASSERT_TRUE(lending.store.pop());
        for (std::size_t i = 0; i != 3; ++i) EXPECT_EQ(lending.out(i), std::uint64_t(round));
    }
    EXPECT_FALSE(lending.store.push(lending.slots[1]));
    EXPECT_EQ(lending.store.pop(), &lending.slots[1]);
}

TEST(ShareStore, OfMoreThanEightTheBetterOfTwoKeepsTheLoadEven) {
    constexpr std::size_t n = 64;
    constexpr std::uint64_t each = 100;
    Lending lending{n};
    for (std::uint64_t i = 0; i != n * each; ++i) ASSERT_TRUE(lending.store.pop());
    // By chance alone the fullest would be some 25 above the mean.
    for (std::size_t i = 0; i != n; ++i) EXPECT_NEAR(static_cast<double>(lending.out(i)), double(each), 12.0);
}

TEST(ShareStore, LendsNoMoreThanMayBeOutAndFindsTheLastOne) {
    for (std::size_t const n : {1u, 8u, 9u, 40u}) {
        Lending lending{n, 3};
        for (std::size_t i = 0; i != 3 * n; ++i) ASSERT_TRUE(lending.store.pop()) << i << " of " << n;
        EXPECT_FALSE(lending.store.pop());
        EXPECT_FALSE(lending.store.has_room());
        EXPECT_FALSE(lending.store.push(lending.slots[n / 2]));
        EXPECT_EQ(lending.store.pop(), &lending.slots[n / 2]);
    }
}

TEST(ShareStore, LendsOnlyIdleOnesWhileAnotherMightBeOpened) {
    Lending lending{2};
    lending.store.crowd(false);
    ASSERT_TRUE(lending.store.pop());
    EXPECT_EQ(lending.store.size(), 1u);
    ASSERT_TRUE(lending.store.pop());
    EXPECT_FALSE(lending.store.pop());
    EXPECT_TRUE(lending.store.has_room());
    EXPECT_TRUE(lending.store.pop_behind_gate(false));
}

TEST(ShareStore, TheGateShutsOnlyWhenNobodyCouldHaveOne) {
    Lending lending{2, 1};
    SlotBase* const one = lending.store.pop();
    EXPECT_FALSE(lending.store.shut_if_empty());
    EXPECT_FALSE(lending.store.shut());
    SlotBase* const other = lending.store.pop();
    ASSERT_TRUE(one && other);
    EXPECT_TRUE(lending.store.shut_if_empty());
    EXPECT_TRUE(lending.store.shut());
    EXPECT_EQ(lending.store.push(*one), one) << "whoever returns past a shut gate passes those who wait";
    EXPECT_TRUE(lending.store.push_behind_gate(*one));
    EXPECT_FALSE(lending.store.pop());
    lending.store.open();
    EXPECT_EQ(lending.store.pop(), one);
    EXPECT_FALSE(lending.store.push(*other));
}

TEST(ShareStore, OneThatHasStoppedLendingTakesBackOnlyUnderTheMutex) {
    Lending lending{1};
    SlotBase* const slot = lending.store.pop();
    ASSERT_TRUE(slot && lending.store.pop());
    EXPECT_FALSE(lending.store.leave(*slot)) << "the other share is out";
    EXPECT_TRUE(lending.store.empty());
    EXPECT_FALSE(lending.store.pop());
    EXPECT_EQ(lending.store.push(*slot), slot);
    EXPECT_TRUE(lending.store.leave(*slot));
}

TEST(ShareStore, OneIsTakenAloneOnlyByItsOnlyHolder) {
    Lending lending{1};
    SlotBase* const slot = lending.store.pop();
    ASSERT_TRUE(slot && lending.store.pop());
    EXPECT_FALSE(lending.store.take_alone(*slot));
    EXPECT_FALSE(lending.store.push(*slot));
    EXPECT_TRUE(lending.store.take_alone(*slot));
    EXPECT_FALSE(lending.store.pop());
    EXPECT_TRUE(lending.store.publish(*slot));
    EXPECT_EQ(lending.store.pop(), slot);
    EXPECT_EQ(lending.out(0), 2u);
}

TEST(ShareStore, ALimitHoldsFromTheNextShareOn) {
    Lending lending{1};
    SlotBase* const slot = lending.store.pop();
    ASSERT_TRUE(slot && lending.store.pop());
    ShareStore::limit(*slot, 2);
    EXPECT_FALSE(lending.store.pop());
    ShareStore::limit(*slot, 0);
    EXPECT_FALSE(lending.store.push(*slot));
    EXPECT_FALSE(lending.store.push(*slot));
    EXPECT_FALSE(lending.store.pop());
    EXPECT_FALSE(lending.store.pop_behind_gate(true));
    ShareStore::limit(*slot, 1);
    EXPECT_TRUE(lending.store.pop());
}

TEST(ShareStore, CountsLeasesBeyondWhatTheWordHolds) {
    constexpr std::uint64_t times = 200'000;
    Lending lending{1};
    for (std::uint64_t i = 0; i != times; ++i) {
        SlotBase* const slot = lending.store.pop();
        ASSERT_TRUE(slot) << i;
        bool const parked = !lending.store.push(*slot) || lending.store.push_behind_gate(*slot);
        ASSERT_TRUE(parked);
    }
    EXPECT_EQ(ShareStore::leases(lending.slots[0]), times);
    EXPECT_EQ(lending.out(0), 0u);
    EXPECT_EQ(Shares::of(lending.slots[0]).most(), Shares::most_shares);
}

TEST(ShareStore, OverTheWordItGoesByTheMutexAndNothingIsLost) {
    Lending lending{1};
    std::uint64_t popped = 0;
    while (lending.store.pop()) ++popped;
    EXPECT_EQ(popped, 32'768u) << "so many are counted beside the shares";
    EXPECT_TRUE(lending.store.pop_behind_gate(false));
    EXPECT_EQ(lending.out(0), popped + 1);
    EXPECT_TRUE(lending.store.push_behind_gate(lending.slots[0]));
    EXPECT_EQ(ShareStore::leases(lending.slots[0]), popped);
    EXPECT_TRUE(lending.store.pop());
}

TEST(ShareStore, TakesTheColdestOfThoseThatNobodyUses) {
    Lending lending{4};
    for (std::size_t i = 0; i != 4; ++i) lending.slots[i].parked_at = static_cast<std::int64_t>(10 - i);
    for (int i = 0; i != 4; ++i) ASSERT_TRUE(lending.store.pop());
    for (std::size_t i : {0u, 1u, 3u}) EXPECT_FALSE(lending.store.push(lending.slots[i]));
    EXPECT_EQ(ids(lending.store.take_coldest(2, any)), (Ids{4, 2}));
    EXPECT_EQ(lending.store.size(), 1u);
    EXPECT_EQ(ids(lending.store.take_round(9, any)), (Ids{1})) << "at most half, but one at least";
    EXPECT_EQ(lending.out(2), 1u);
    EXPECT_EQ(ids(lending.store.take_coldest(9, any)), Ids{});
}

TEST(ShareStore, SealingStopsAllAndAddsAShareToEach) {
    Lending lending{3};
    SlotBase* const used = lending.store.pop();
    ASSERT_TRUE(used);
    Chain all = lending.store.seal();
    EXPECT_EQ(all.size, 3u);
    EXPECT_TRUE(lending.store.empty() && lending.store.shut());
    std::size_t last = 0;
    while (SlotBase* const slot = all.pop()) last += lending.store.leave(*slot) ? 1 : 0;
    EXPECT_EQ(last, 2u);
    EXPECT_TRUE(lending.store.leave(*used));
}

TEST(ShareStore, ListsAsManyAsThereAreAndForgetsThoseThatGo) {
    constexpr std::size_t n = 1'000;
    Lending lending{n, 1};
    std::map<SlotBase*, int> seen;
    for (std::size_t i = 0; i != n; ++i) ++seen[lending.store.pop()];
    EXPECT_EQ(seen.size(), n);
    EXPECT_EQ(seen.count(nullptr), 0u);
    for (std::size_t i = 0; i < n; i += 2) EXPECT_TRUE(lending.store.leave(lending.slots[i]));
    for (std::size_t i = 1; i < n; i += 2) EXPECT_FALSE(lending.store.push(lending.slots[i]));
    EXPECT_EQ(lending.store.size(), n / 2);
    for (std::size_t i = 0; i != n / 2; ++i) EXPECT_EQ(lending.store.pop()->id % 2, 0u);
    EXPECT_FALSE(lending.store.pop());
}

TEST(ShareStore, TakesTheOneWithTheFewestOut) {
    Lending lending{3};
    for (int i = 0; i != 5; ++i) ASSERT_TRUE(lending.store.pop());
    auto const least = lending.out(0) == 1 ? 0u : lending.out(1) == 1 ? 1u : 2u;
    EXPECT_EQ(lending.store.take_least(), &lending.slots[least]);
    EXPECT_EQ(lending.out(least), 2u) << "with a share for whoever takes it";
    EXPECT_EQ(lending.store.take_first([](SlotBase const& slot) { return slot.id == 99; }), nullptr);
}

TEST(ShareStore, AllThreadsTogetherNeverHaveMoreThanMayBeOut) {
    constexpr int most = 3;
    constexpr std::size_t n = 2;
    Lending lending{n, most};
    struct Users {
        std::atomic<int> now{0};
        std::atomic<int> peak{0};
    };
    std::vector<Users> users(n);
    std::atomic<int> failures{0};
    std::vector<std::thread> threads;
    for (int t = 0; t != 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i != 20'000; ++i) {
                SlotBase* const first = lending.store.pop();
                SlotBase* const second = lending.store.pop();
                for (SlotBase* const slot : {first, second}) {
                    if (!slot) continue;
                    auto& of = users[slot->id - 1];
                    if (++of.now > most) ++failures;
                }
                for (SlotBase* const slot : {first, second}) {
                    if (!slot) continue;
                    --users[slot->id - 1].now;
                    // Over the word: as under the mutex, which one thread here stands for.
                    if (lending.store.push(*slot)) slot->shares.fetch_sub(Shares::one);
                }
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(failures, 0);
    EXPECT_EQ(lending.out(0) + lending.out(1), 0u);
}

}  // namespace
}  // namespace weir::detail
