// What the tests of Go's sync.Pool ask of it, retold. What object_pool.cpp states as well is left out.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <latch>
#include <semaphore>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <weir/buffer_pool.hpp>
#include <weir/object_pool.hpp>

namespace weir::test {
namespace {

/// Knows which it is, whether somebody has it, and how many there are.
struct Item {
    static inline std::atomic<int> living{0};

    explicit Item(int n) : number{n} { ++living; }
    Item(Item&&) = delete;
    ~Item() {
        EXPECT_FALSE(in_use) << "destroyed under its holder";
        --living;
    }

    int const number;
    std::atomic<bool> in_use{false};
};

using Pool = ObjectPool<Item>;
using Leases = std::vector<Pool::Lease>;

struct RetoldSyncPool : ::testing::Test {
    std::atomic<int> made{0};
    Pool pool{[this] { return Item{++made}; }};

    void SetUp() override { Item::living = 0; }

    Leases take(std::size_t count) {
        Leases leases;
        for (std::size_t i = 0; i != count; ++i) leases.push_back(pool.acquire());
        return leases;
    }

    static void use(Leases const& leases) {
        for (auto const& lease : leases) EXPECT_FALSE(lease->in_use.exchange(true)) << "two have " << lease->number;
        std::this_thread::yield();
        for (auto const& lease : leases) lease->in_use = false;
    }
};

// TestPoolNew
TEST_F(RetoldSyncPool, MakesOneOnlyWhenThereIsNone) {
    auto first = pool.acquire();
    auto second = pool.acquire();
    EXPECT_EQ(first->number, 1);
    EXPECT_EQ(second->number, 2);
    second.release();
    auto again = pool.acquire();
    EXPECT_EQ(again->number, 2);
    EXPECT_EQ(pool.acquire()->number, 3);
}

// TestPool: what one collection has put aside is still there for who asks before the next, on whatever thread.
TEST_F(RetoldSyncPool, AHundredOutliveOneCollectionWhereverTheyWereReturned) {
    auto here = take(50);
    auto there = take(50);
    std::binary_semaphore returned{0};
    std::binary_semaphore over{0};
    std::thread other{[&] {
        there.clear();
        returned.release();
        over.acquire();  // what it keeps for itself is still its own
    }};
    returned.acquire();
    here.clear();
    EXPECT_EQ(pool.trim(), 0u);
    here = take(100);
    EXPECT_EQ(made, 100);
    here.clear();
    EXPECT_EQ(pool.trim(), 0u);
    EXPECT_EQ(pool.trim(), 100u);
    EXPECT_EQ(Item::living, 0);
    over.release();
    other.join();
}

// TestPoolGC, TestPoolRelease
TEST_F(RetoldSyncPool, TwoCollectionsReleaseWhatEndedThreadsHaveLeft) {
    for (int i = 0; i != 4; ++i) {
        auto leases = take(25);
        std::thread{[leases = std::move(leases)]() mutable { leases.clear(); }}.join();
    }
    pool.trim();
    pool.trim();
    EXPECT_EQ(Item::living, 0);
    EXPECT_EQ(pool.stats().dropped, static_cast<std::uint64_t>(made));
}

// BenchmarkPoolStarvation: one side only takes, the other only gives back.
TEST_F(RetoldSyncPool, WhatAlwaysComesBackElsewhereIsFoundThere) {
    Pool::Lease baton;
    std::binary_semaphore passed{0};
    std::binary_semaphore returned{0};
    constexpr int rounds = 1'000;
    std::thread returner{[&] {
        for (int i = 0; i != rounds; ++i) {
            passed.acquire();
            baton.release();
            returned.release();
        }
    }};
    for (int i = 0; i != rounds; ++i) {
        baton = pool.acquire();
        passed.release();
        returned.acquire();
    }
    returner.join();
    EXPECT_EQ(made, 1);
}

// testPoolDequeue
TEST_F(RetoldSyncPool, WhatOneThreadReturnsOthersTakeAndNoTwoTheSame) {
    constexpr std::size_t takers = 5;
    constexpr std::size_t each = 200;
    auto given = take(takers * each);
    std::vector<Leases> taken(takers);
    std::latch start{takers + 1};
    std::vector<std::thread> threads;
    for (auto& mine : taken)
        threads.emplace_back([&] {
            start.arrive_and_wait();
            mine = take(each);
        });
    start.arrive_and_wait();
    given.clear();
    for (auto& thread : threads) thread.join();
    std::set<int> numbers;
    for (auto const& mine : taken)
        for (auto const& lease : mine) EXPECT_TRUE(numbers.insert(lease->number).second) << lease->number;
    EXPECT_EQ(numbers.size(), takers * each);
    EXPECT_EQ(pool.stats().leased, takers * each);
    EXPECT_EQ(pool.stats().idle, static_cast<std::size_t>(made) - takers * each);
}

// TestPoolStress, with collections in between
TEST_F(RetoldSyncPool, CollectionsTakeNothingThatSomebodyHas) {
    std::atomic<bool> over{false};
    std::thread collector{[&] {
        while (!over) pool.trim();
    }};
    std::vector<std::thread> threads;
    for (int i = 0; i != 4; ++i)
        threads.emplace_back([&] {
            for (int n = 0; n != 300; ++n) {
                auto const leases = take(static_cast<std::size_t>(n % 3) + 1);
                use(leases);
            }
        });
    for (auto& thread : threads) thread.join();
    over = true;
    collector.join();
    EXPECT_EQ(pool.stats().leased, 0u);
    EXPECT_EQ(static_cast<std::size_t>(Item::living), pool.stats().idle);
    pool.trim();
    pool.trim();
    EXPECT_EQ(Item::living, 0);
}

// golang/go#23199: an object that has grown beyond use is not put back.
TEST_F(RetoldSyncPool, WhoSeesThatAnObjectHasGrownTooLargeDropsIt) {
    constexpr std::size_t most = 1024;
    ObjectPool<std::string> texts{[] { return std::string{}; },
                                  [](std::string& text) {
                                      if (text.capacity() > most) throw std::length_error{"too large to keep"};
                                      text.clear();
                                  }};
    texts.acquire()->assign(most / 2, 'x');
    EXPECT_EQ(texts.acquire()->size(), 0u);
    EXPECT_GE(texts.acquire()->capacity(), most / 2) << "the small one is kept";
    texts.acquire()->assign(most * 1024, 'x');
    EXPECT_EQ(texts.stats().dropped, 1u);
    EXPECT_LE(texts.acquire()->capacity(), most);
}

// Goroutines that read messages of all lengths into pooled buffers, as in grpc's mem package.
TEST_F(RetoldSyncPool, BuffersThatAreFilledByOneAndReadByAnotherKeepWhatWasWritten) {
    BufferPool buffers;
    std::vector<std::thread> threads;
    for (int i = 0; i != 4; ++i)
        threads.emplace_back([&, i] {
            for (std::size_t n = 1; n != 300; ++n) {
                auto buffer = buffers.acquire(n * 17);
                auto const mark = static_cast<std::byte>(static_cast<std::size_t>(i) * 61 + n);
                std::fill(buffer.bytes().begin(), buffer.bytes().end(), mark);
                std::this_thread::yield();
                EXPECT_TRUE(std::all_of(buffer.bytes().begin(), buffer.bytes().end(),
                                        [&](std::byte one) { return one == mark; }));
            }
        });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(buffers.stats().leased, 0u);
    EXPECT_EQ(buffers.stats().made + buffers.stats().reused, 4u * 299);
    EXPECT_EQ(buffers.stats().idle, buffers.stats().made);
}

}  // namespace
}  // namespace weir::test
