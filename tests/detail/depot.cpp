// What no thread keeps for itself: order, generations, the limit, the end.

#include "support/cpus.hpp"

#include <array>
#include <atomic>
#include <gtest/gtest.h>
#include <optional>
#include <span>
#include <thread>
#include <vector>
#include <weir/detail/depot.hpp>

namespace weir::detail {
namespace {

using Items = std::vector<void*>;

std::array<char, 4096> things;

Items few(std::size_t first, std::size_t count) {
    Items result;
    for (std::size_t i = 0; i != count; ++i) result.push_back(&things.at(first + i));
    return result;
}

Items take(Depot& depot, std::size_t most) {
    Items result(most);
    result.resize(depot.take(result));
    return result;
}

Items items_of(Depot::Chain chain) {
    Items result;
    while (auto const* const cell = chain.pop()) result.push_back(cell->item);
    return result;
}

struct Depots : ::testing::Test {
    test::OnCpu const stays_here{0};
    Depot depot{std::nullopt};
};

TEST_F(Depots, LendTheLatestFirst) {
    EXPECT_EQ(take(depot, 4), Items{});
    EXPECT_EQ(depot.put(few(0, 3)), 3u);
    EXPECT_EQ(depot.size(), 3u);
    EXPECT_EQ(take(depot, 1), few(2, 1));
    EXPECT_EQ(take(depot, 1), few(1, 1));
    EXPECT_EQ(take(depot, 1), few(0, 1));
    EXPECT_EQ(depot.size(), 0u);
}

TEST_F(Depots, LendSeveralAtOnceAndLeaveHalf) {
    EXPECT_EQ(depot.put(few(0, 8)), 8u);
    EXPECT_EQ(take(depot, 3), (Items{&things[7], &things[6], &things[5]}));
    EXPECT_EQ(take(depot, 5), (Items{&things[4], &things[3], &things[2]}));
    EXPECT_EQ(take(depot, 5), (Items{&things[1]}));
    EXPECT_EQ(take(depot, 5), (Items{&things[0]}));
    EXPECT_EQ(take(depot, 5), Items{});
}

TEST_F(Depots, LoseNothingWhenManyComeAndGo) {
    for (int round = 0; round != 3; ++round) {
        for (std::size_t i = 0; i != 500; ++i) ASSERT_EQ(depot.put(few(8 * i, 8)), 8u);
        EXPECT_EQ(depot.size(), 4000u);
        std::vector<bool> seen(things.size());
        for (Items some = take(depot, 5); !some.empty(); some = take(depot, 5))
            for (void* const item : some) {
                auto const at = static_cast<std::size_t>(static_cast<char*>(item) - things.data());
                ASSERT_FALSE(seen[at]);
                seen[at] = true;
            }
        EXPECT_EQ(std::count(seen.begin(), seen.end(), true), 4000);
        EXPECT_EQ(depot.size(), 0u);
    }
}

TEST_F(Depots, FindWhatWasPutDownOnAnotherProcessor) {
    {
        test::OnCpu const elsewhere{1};
        ASSERT_EQ(depot.put(few(0, 1)), 1u);
    }
    ASSERT_EQ(depot.put(few(1, 1)), 1u);
    EXPECT_EQ(take(depot, 1), few(1, 1));
    EXPECT_EQ(take(depot, 1), few(0, 1));
}

TEST_F(Depots, TurnOverWhatNobodyTookTwice) {
    ASSERT_EQ(depot.put(few(0, 2)), 2u);
    EXPECT_EQ(items_of(depot.turn()), Items{}) << "it had not been there for a turn";
    ASSERT_EQ(depot.put(few(2, 1)), 1u);
    EXPECT_EQ(depot.size(), 3u);
    EXPECT_EQ(take(depot, 1), few(2, 1)) << "an old one before a new one";
    EXPECT_EQ(take(depot, 1), few(1, 1)) << "an old one is as good as any";
    ASSERT_EQ(depot.put(few(1, 1)), 1u);
    EXPECT_EQ(items_of(depot.turn()), few(0, 1));
    EXPECT_EQ(items_of(depot.turn()), few(1, 1)) << "what was used has become new";
    EXPECT_EQ(items_of(depot.turn()), Items{});
}

TEST_F(Depots, MakeNothingYoungThatIsNotUsed) {
    ASSERT_EQ(depot.put(few(0, 8)), 8u);
    depot.turn();
    EXPECT_EQ(take(depot, 5).size(), 1u);
    EXPECT_EQ(items_of(depot.turn()).size(), 7u);
}

TEST_F(Depots, TakeWhatIsMovedInAsOldForOld) {
    depot.turn();
    ASSERT_EQ(depot.put(few(0, 1), Depot::As::moved_old_ones), 1u);
    ASSERT_EQ(depot.put(few(1, 1), Depot::As::moved_new_ones), 1u);
    EXPECT_EQ(items_of(depot.turn()), few(0, 1));
    EXPECT_EQ(items_of(depot.turn()), few(1, 1));
}

TEST_F(Depots, KeepNoMoreThanTheirLimitAndTheLatestOfWhatCame) {
    Depot limited{3};
    EXPECT_EQ(limited.put(few(0, 2)), 2u);
    EXPECT_EQ(limited.put(few(2, 2)), 1u);
    EXPECT_EQ(limited.put(few(4, 1)), 0u);
    EXPECT_EQ(take(limited, 1), few(3, 1));
    EXPECT_EQ(limited.put(few(4, 1)), 1u);
    EXPECT_EQ(limited.size(), 3u);
    limited.turn();
    EXPECT_EQ(limited.put(few(5, 1)), 0u) << "old ones count, too";
    EXPECT_EQ(items_of(limited.turn()).size(), 3u);
    EXPECT_EQ(limited.put(few(5, 4)), 3u);
}

TEST_F(Depots, TakeInWhatCountedBeforeAndRemember) {
    Depot limited{2};
    EXPECT_EQ(limited.put(few(0, 3), Depot::As::moved_new_ones), 3u);
    EXPECT_EQ(limited.put(few(3, 1)), 0u);
    EXPECT_EQ(take(limited, 1), few(2, 1));
    EXPECT_EQ(limited.put(few(3, 1)), 0u);
    EXPECT_EQ(take(limited, 1), few(1, 1));
    EXPECT_EQ(limited.put(few(3, 1)), 1u);
}

TEST_F(Depots, LetNothingInOnceTheyAreSealed) {
    ASSERT_EQ(depot.put(few(0, 2)), 2u);
    depot.turn();
    ASSERT_EQ(depot.put(few(2, 1)), 1u);
    {
        test::OnCpu const elsewhere{1};
        ASSERT_EQ(depot.put(few(3, 1)), 1u);
    }
    EXPECT_EQ(items_of(depot.seal()).size(), 4u);
    EXPECT_EQ(depot.put(few(0, 2)), 0u);
    EXPECT_EQ(depot.put(few(0, 2), Depot::As::moved_old_ones), 0u);
    {
        test::OnCpu const elsewhere{1};
        EXPECT_EQ(depot.put(few(0, 2)), 0u);
    }
    EXPECT_EQ(depot.size(), 0u);
}

TEST_F(Depots, AreForSeveralThreadsAtOnce) {
    constexpr std::size_t threads = 4;
    constexpr std::size_t each = 64;
    static std::array<std::atomic<int>, things.size()> owners{};
    for (std::size_t i = 0; i != threads; ++i) ASSERT_EQ(depot.put(few(each * i, each)), each);
    std::vector<std::thread> all;
    for (std::size_t i = 0; i != threads; ++i) {
        all.emplace_back([&] {
            for (int round = 0; round != 3'000; ++round) {
                Items const mine = take(depot, 5);
                for (void* const item : mine)
                    EXPECT_EQ(owners[static_cast<std::size_t>(static_cast<char*>(item) - things.data())]++, 0);
                for (void* const item : mine)
                    --owners[static_cast<std::size_t>(static_cast<char*>(item) - things.data())];
                EXPECT_EQ(depot.put(mine), mine.size());
                if (round % 256 == 0) std::this_thread::yield();
            }
        });
    }
    for (auto& thread : all) thread.join();
    EXPECT_EQ(depot.size(), threads * each);
}

}  // namespace
}  // namespace weir::detail
