// A new generation: what is open now goes as it comes free.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <gtest/gtest.h>

namespace weir::test {
namespace {

template <class Store>
struct PoolRefresh : ::testing::Test {
    FakeConnector connector;
    FakePool<Store> pool{connector, {.size = {.high = 2}}};
};
TYPED_TEST_SUITE(PoolRefresh, Stores);

// rule 35
TYPED_TEST(PoolRefresh, Rule35IdleOnesAreClosedNowAndNothingIsReopenedWithoutDemand) {
    {
        auto const a = this->pool.acquire();
        auto const b = this->pool.acquire();
    }
    this->pool.refresh();
    EXPECT_EQ(this->connector.closed(), 2u);
    EXPECT_EQ(this->pool.stats().closed_stale, 2u);
    EXPECT_EQ(this->pool.stats().open, 0u);
    EXPECT_EQ(this->pool.stats().high, 2u);
    EXPECT_EQ(this->pool.acquire()->id(), 3u);
    EXPECT_EQ(this->pool.stats().idle, 1u) << "of the new generation, and not kept";
    expect_drained(this->pool, this->connector);
}

// rule 35
TYPED_TEST(PoolRefresh, Rule35LeasedOnesAreClosedAtTheirReturn) {
    auto a = this->pool.acquire();
    auto b = this->pool.acquire();
    this->pool.refresh();
    EXPECT_EQ(this->connector.closed(), 0u);
    a.release();
    EXPECT_EQ(this->pool.stats().closed_stale, 1u);
    auto young = this->pool.acquire();
    young.release();
    EXPECT_EQ(this->pool.stats().idle, 1u) << "young, though an old one is out still";
    EXPECT_EQ(this->pool.acquire()->id(), 3u);
    b.release();
    EXPECT_EQ(this->pool.stats().closed_stale, 2u);
    EXPECT_EQ(this->pool.stats().idle, 1u);
    expect_drained(this->pool, this->connector);
}

// rule 35, rule 23
TYPED_TEST(PoolRefresh, Rule35AWaiterIsNotWokenAndGetsANewOneInPlaceOfTheOld) {
    auto a = this->pool.acquire();
    auto const b = this->pool.acquire();
    auto waiter = wait_in_line(this->pool);
    this->pool.refresh();
    EXPECT_EQ(this->pool.stats().waiting, 1u);
    a.release();
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 3u);
}

// rule 35
TYPED_TEST(PoolRefresh, Rule35AConnectBegunBeforeItIsLentOnceAndClosedAtItsReturn) {
    this->connector.gate(Hook::connect, Gate::never);
    auto first = acquire_elsewhere(this->pool);
    EXPECT_TRUE(this->connector.await_blocked(Hook::connect, 1));
    this->pool.refresh();
    this->connector.gate(Hook::connect, Gate::ok);
    auto lent = first.get();
    ASSERT_TRUE(lent);
    lent->release();
    EXPECT_EQ(this->pool.stats().closed_stale, 1u);
    EXPECT_EQ(this->pool.stats().idle, 0u);
    expect_drained(this->pool, this->connector);
}

// rule 35
TYPED_TEST(PoolRefresh, Rule35AConnectBegunBeforeItThatNobodyWaitsForIsClosed) {
    this->connector.gate(Hook::connect, Gate::never);
    EXPECT_FALSE(this->pool.try_acquire());
    EXPECT_TRUE(this->connector.await_blocked(Hook::connect, 1));
    this->pool.refresh();
    this->connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(eventually([&] { return this->pool.stats().closed_stale == 1; }));
    EXPECT_EQ(this->pool.stats().idle, 0u);
    expect_drained(this->pool, this->connector);
}

// rule 35
TYPED_TEST(PoolRefresh, Rule35AFailedConnectAndADetachedOneLeaveNothingToLookOutFor) {
    this->connector.gate(Hook::connect, Gate::never);
    auto failing = acquire_elsewhere(this->pool);
    EXPECT_TRUE(this->connector.await_blocked(Hook::connect, 1));
    this->pool.refresh();
    this->connector.pass(Hook::connect, Gate::error);
    this->connector.gate(Hook::connect, Gate::ok);
    EXPECT_FALSE(failing.get());
    auto lease = this->pool.acquire();
    this->pool.refresh();
    auto detached = lease.detach();
    this->connector.close(detached);
    this->pool.acquire().release();
    this->pool.acquire().release();
    EXPECT_EQ(this->pool.stats().closed_stale, 0u);
    EXPECT_EQ(this->pool.stats().idle, 1u);
    EXPECT_TRUE(this->pool.close());
}

// rule 35
TEST(PoolRefreshEager, Rule35EagerRefills) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.low = 2, .high = 4, .eager = true}}};
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 2; }));
    pool.refresh();
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 2; }));
    EXPECT_EQ(connector.opened(), 4u);
    EXPECT_EQ(pool.stats().closed_stale, 2u);
    expect_drained(pool, connector);
}

TEST(PoolRefreshClosed, ChangesNothingOnceThePoolIsClosed) {
    FakeConnector connector;
    FakePool<> pool{connector};
    auto lease = pool.acquire();
    EXPECT_FALSE(pool.close(0s));
    pool.refresh();
    lease.release();
    EXPECT_EQ(pool.stats().closed_drained, 1u);
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
