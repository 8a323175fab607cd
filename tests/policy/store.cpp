// Where idle ones lie: the three stores differ in order only. Which order is in pool_acquire.cpp.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"

#include <gtest/gtest.h>
#include <set>
#include <thread>
#include <type_traits>
#include <vector>
#include <weir/policy/store.hpp>

namespace weir::test {
namespace {

static_assert(std::is_same_v<TaggedStack::policy_slot, slot::Store>);
static_assert(std::is_same_v<LockedStack::policy_slot, slot::Store>);
static_assert(std::is_same_v<LockedQueue::policy_slot, slot::Store>);

template <class Store>
struct StorePolicy : ::testing::Test {};
TYPED_TEST_SUITE(StorePolicy, Stores);

// rule Z
TYPED_TEST(StorePolicy, HoldsAsManyAsThereAreAndEachOnce) {
    FakeConnector connector;
    FakePool<TypeParam, Unbounded, KeepIdle> pool{connector};
    constexpr std::size_t many = 1000;
    {
        std::vector<Lease<FakeConn>> leases;
        for (std::size_t i = 0; i != many; ++i) leases.push_back(pool.acquire());
    }
    EXPECT_EQ(pool.stats().idle, many);
    {
        std::vector<Lease<FakeConn>> leases;
        std::set<std::uint64_t> ids;
        for (std::size_t i = 0; i != many; ++i) {
            leases.push_back(pool.acquire());
            ids.insert(leases.back()->id());
        }
        EXPECT_EQ(ids.size(), many);
        EXPECT_EQ(pool.stats().idle, 0u);
    }
    EXPECT_EQ(connector.opened(), many);
    expect_drained(pool, connector);
}

// rule Z
TYPED_TEST(StorePolicy, GrowsUnderManyThreads) {
    FakeConnector connector;
    FakePool<TypeParam, Unbounded, KeepIdle> pool{connector.only_connect()};
    constexpr std::size_t each = 200;
    std::vector<std::vector<Lease<FakeConn>>> leases(4);
    std::vector<std::thread> threads;
    for (auto& own : leases) {
        threads.emplace_back([&] {
            for (std::size_t i = 0; i != each; ++i) {
                own.push_back(pool.acquire());
                { auto const use = own.back()->use(); }
                if (i % 3 == 0) own.erase(own.begin());
            }
        });
    }
    for (auto& thread : threads) thread.join();
    std::set<std::uint64_t> ids;
    std::size_t held = 0;
    for (auto const& own : leases) {
        held += own.size();
        for (auto const& lease : own) ids.insert(lease.id());
    }
    EXPECT_EQ(ids.size(), held);
    EXPECT_EQ(pool.stats().leased, held);
    threads.clear();
    for (auto& own : leases) threads.emplace_back([&] { own.clear(); });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(pool.stats().idle, connector.opened());
    expect_drained(pool, connector);
}

// rule 4
TYPED_TEST(StorePolicy, Rule4WithOneInUseAtATimeAStackOpensOneAndAQueueRotatesAll) {
    OnCpu const stay{0};
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 4}}};
    {
        std::vector<Lease<FakeConn>> leases;
        for (int i = 0; i != 4; ++i) leases.push_back(pool.acquire());
    }
    std::set<std::uint64_t> used;
    for (int i = 0; i != 8; ++i) used.insert(pool.acquire()->id());
    EXPECT_EQ(used.size(), (is_queue<TypeParam> ? 4u : 1u));
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
