// A pool that is parted by processor, on two of them: nothing is out of reach, and nobody sleeps beside what is idle.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <future>
#include <gtest/gtest.h>
#include <optional>
#include <thread>
#include <vector>

namespace weir::test {
namespace {

template <class Policy>
struct PoolPerCpu : ::testing::Test {
    using Pool = FakePool<Policy>;
    FakeConnector connector;

    void SetUp() override {
        if (cpus().size() < 2) GTEST_SKIP() << "this needs two processors, and there is one";
    }

    /// What was released here, one by one, is idle on that processor.
    static void park(Pool& pool, std::size_t cpu, std::size_t count) {
        OnCpu const stay{cpu};
        std::vector<Lease<FakeConn>> leases;
        for (std::size_t i = 0; i != count; ++i) leases.push_back(pool.acquire());
        for (auto& lease : leases) lease.release();
    }
};
using Policies = ::testing::Types<PerCpu<TaggedStack>, PerCpu<LockedStack>, PerCpu<LockedQueue>>;
TYPED_TEST_SUITE(PoolPerCpu, Policies);

// rule 1, rule 15
TYPED_TEST(PoolPerCpu, Rule1WhatIsIdleElsewhereIsLentBeforeOneIsOpened) {
    FakePool<TypeParam> pool{this->connector, {.size = {.high = 8}}};
    this->park(pool, 0, 3);
    {
        OnCpu const stay{1};
        std::vector<Lease<FakeConn>> leases;
        for (int i = 0; i != 3; ++i) leases.push_back(pool.acquire());
        EXPECT_EQ(this->connector.opened(), 3u);
        EXPECT_EQ(pool.stats().idle, 0u);
    }
    EXPECT_EQ(pool.stats().idle, 3u);
    expect_drained(pool, this->connector);
}

// rule 4
TYPED_TEST(PoolPerCpu, Rule4OnesOwnProcessorComesFirst) {
    FakePool<TypeParam> pool{this->connector, {.size = {.high = 8}}};
    OnCpu const stay{0};
    auto a = pool.acquire();
    auto b = pool.acquire();
    auto const [mine, others] = std::pair{a->id(), b->id()};
    a.release();
    {
        OnCpu const moved{1};
        b.release();
    }
    EXPECT_EQ(pool.acquire()->id(), mine);
    {
        OnCpu const moved{1};
        EXPECT_EQ(pool.acquire()->id(), others);
    }
    expect_drained(pool, this->connector);
}

// rule 7, rule 51: and is counted, wherever it lies.
TYPED_TEST(PoolPerCpu, Rule7ATryFindsWhatIsIdleElsewhere) {
    FakePool<TypeParam> pool{this->connector, {.size = {.high = 1}}};
    this->park(pool, 0, 1);
    OnCpu const stay{1};
    EXPECT_TRUE(pool.try_acquire());
    EXPECT_EQ(pool.acquire_idle().size(), 1u);
    EXPECT_EQ(this->connector.opened(), 1u);
    expect_drained(pool, this->connector);
}

// rule 9, rule 11
TYPED_TEST(PoolPerCpu, Rule11AReturnElsewhereServesWhoWaitsHere) {
    FakePool<TypeParam> pool{this->connector, {.size = {.high = 1}}};
    for (int round = 0; round != 20; ++round) {
        auto lease = pool.acquire();
        auto waiter = std::async(std::launch::async, [&] {
            OnCpu const stay{0};
            return pool.try_acquire_for(generous).has_value();
        });
        EXPECT_TRUE(waiting(pool, 1));
        OnCpu const stay{1};
        lease.release();
        EXPECT_TRUE(waiter.get());
    }
    EXPECT_EQ(this->connector.opened(), 1u);
    expect_drained(pool, this->connector);
}

// rule 24, rule Z: a thread that outlives the pool gives back where it happens to run.
TYPED_TEST(PoolPerCpu, Rule24ALeaseComesBackElsewhereAfterThePoolHasGone) {
    std::vector<Lease<FakeConn>> leases;
    {
        FakePool<TypeParam> pool{this->connector, {.size = {.high = 4}}};
        this->park(pool, 1, 4);
        for (int i = 0; i != 3; ++i) leases.push_back(pool.acquire());
    }
    EXPECT_EQ(this->connector.alive(), 3u);
    OnCpu const stay{1};
    leases.clear();
    EXPECT_EQ(this->connector.alive(), 0u);
    EXPECT_EQ(this->connector.closed(), 4u);
}

// rule 35, rule 36: refresh and resize see all of it.
TYPED_TEST(PoolPerCpu, Rule36AShrinkClosesTheColdestWhereverTheyLie) {
    FakePool<TypeParam> pool{this->connector, {.size = {.high = 6}}};
    {
        std::vector<Lease<FakeConn>> leases;
        for (int i = 0; i != 6; ++i) leases.push_back(pool.acquire());
        for (std::size_t i = 0; i != 6; ++i) {
            OnCpu const stay{i % 2};
            leases[i].release();
        }
    }
    EXPECT_TRUE(pool.resize(2));
    EXPECT_EQ(this->connector.alive(), 2u);
    EXPECT_EQ(pool.stats().closed_excess, 4u);
    pool.refresh();
    EXPECT_EQ(this->connector.alive(), 0u);
    EXPECT_EQ(pool.stats().closed_stale, 2u);
    expect_drained(pool, this->connector);
}

}  // namespace
}  // namespace weir::test
