// The lease itself: one owner, one return, whatever is done to it.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"

#include <gtest/gtest.h>
#include <memory>
#include <set>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>
#include <weir/lease.hpp>

namespace weir::test {
namespace {

using FakeLease = Lease<FakeConn>;

// The contract that compilers can check. rule 24: returning never throws.
static_assert(sizeof(FakeLease) <= 2 * sizeof(void*));
static_assert(std::is_nothrow_default_constructible_v<FakeLease>);
static_assert(std::is_nothrow_move_constructible_v<FakeLease>);
static_assert(std::is_nothrow_move_assignable_v<FakeLease>);
static_assert(std::is_nothrow_destructible_v<FakeLease>);
static_assert(!std::is_copy_constructible_v<FakeLease>);
static_assert(!std::is_copy_assignable_v<FakeLease>);
static_assert(!std::is_convertible_v<FakeLease, bool>);
static_assert(std::is_constructible_v<bool, FakeLease const&>);
static_assert(noexcept(std::declval<FakeLease&>().release()));
static_assert(noexcept(std::declval<FakeLease&>().discard()));
static_assert(noexcept(std::declval<FakeLease const&>().get()));
static_assert(noexcept(std::declval<FakeLease const&>().id()));
static_assert(std::is_same_v<decltype(*std::declval<FakeLease const&>()), FakeConn&>);
static_assert(std::is_same_v<decltype(std::declval<FakeLease const&>().get()), FakeConn*>);
static_assert(std::is_same_v<decltype(std::declval<FakeLease&>().detach()), FakeConn>);

// The type of a lease does not name the policies of its pool.
static_assert(std::is_same_v<decltype(std::declval<FakePool<DropIdle>&>().acquire()), FakeLease>);

struct LeaseOf : ::testing::Test {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 4}}};

    void TearDown() override { expect_drained(pool, connector); }
};

TEST(Lease, IsEmptyWhenDefaultMade) {
    FakeLease lease;
    EXPECT_FALSE(lease);
    EXPECT_EQ(lease.get(), nullptr);
}

// rule 24
TEST(Lease, Rule24EverythingIsHarmlessOnAnEmptyOne) {
    FakeLease lease;
    lease.release();
    lease.discard();
    FakeLease other{std::move(lease)};
    lease = std::move(other);
    auto& same = lease;
    lease = std::move(same);
    EXPECT_FALSE(lease);
}

TEST_F(LeaseOf, ReachesItsResourceByAllThreeAccessors) {
    auto const lease = pool.acquire();
    ASSERT_TRUE(lease);
    EXPECT_EQ((*lease).id(), 1u);
    EXPECT_EQ(lease->id(), 1u);
    EXPECT_EQ(lease.get(), &*lease);
}

TEST_F(LeaseOf, ReturnsItsResourceOnDestruction) {
    {
        auto const lease = pool.acquire();
        EXPECT_EQ(pool.stats().leased, 1u);
    }
    EXPECT_EQ(pool.stats().leased, 0u);
    EXPECT_EQ(pool.stats().idle, 1u);
    EXPECT_EQ(connector.closed(), 0u);
}

// rule 24
TEST_F(LeaseOf, Rule24GivesBackOnceHoweverOftenItIsReleased) {
    auto lease = pool.acquire();
    lease.release();
    EXPECT_FALSE(lease);
    EXPECT_EQ(lease.get(), nullptr);
    EXPECT_EQ(pool.stats().idle, 1u);
    lease.release();
    EXPECT_EQ(pool.stats().idle, 1u);
    EXPECT_EQ(pool.stats().open, 1u);
}

// rule 24
TEST_F(LeaseOf, Rule24ClosesOnceHoweverOftenItIsDiscarded) {
    auto lease = pool.acquire();
    lease.discard();
    EXPECT_FALSE(lease);
    lease.discard();
    lease.release();
    EXPECT_EQ(connector.closed(), 1u);
    EXPECT_EQ(pool.stats().closed_discarded, 1u);
    EXPECT_EQ(pool.stats().idle, 0u);
}

// rule 24
TEST_F(LeaseOf, Rule24DiscardAfterReleaseDoesNotCloseWhatIsNoLongerIts) {
    auto lease = pool.acquire();
    lease.release();
    lease.discard();
    EXPECT_EQ(pool.stats().idle, 1u);
    EXPECT_EQ(connector.closed(), 0u);
}

// rule 24
TEST_F(LeaseOf, Rule24AMovedFromOneOwnsNothing) {
    auto lease = pool.acquire();
    auto const id = lease.id();
    auto other = std::move(lease);
    EXPECT_FALSE(lease);
    EXPECT_EQ(lease.get(), nullptr);
    lease.release();
    lease.discard();
    ASSERT_TRUE(other);
    EXPECT_EQ(other.id(), id);
    EXPECT_EQ(pool.stats().leased, 1u);
}

// rule 24
TEST_F(LeaseOf, Rule24SelfMoveChangesNothing) {
    auto lease = pool.acquire();
    auto const id = lease.id();
    auto const conn = lease.get();
    auto& same = lease;
    lease = std::move(same);
    ASSERT_TRUE(lease);
    EXPECT_EQ(lease.id(), id);
    EXPECT_EQ(lease.get(), conn);
    EXPECT_EQ(pool.stats().leased, 1u);
    EXPECT_EQ(pool.stats().idle, 0u);
}

// rule 24
TEST_F(LeaseOf, Rule24OverwritingOneDropsTheOldOne) {
    auto lease = pool.acquire();
    auto other = pool.acquire();
    auto const kept = other.id();
    lease = std::move(other);
    EXPECT_EQ(lease.id(), kept);
    EXPECT_EQ(pool.stats().leased, 1u);
    EXPECT_EQ(pool.stats().idle, 1u);
    lease = FakeLease{};
    EXPECT_FALSE(lease);
    EXPECT_EQ(pool.stats().idle, 2u);
}

// rule 24
TEST_F(LeaseOf, Rule24SwapsWithoutAReturn) {
    auto a = pool.acquire();
    auto b = pool.acquire();
    auto const id_a = a.id();
    auto const id_b = b.id();
    std::swap(a, b);
    EXPECT_EQ(a.id(), id_b);
    EXPECT_EQ(b.id(), id_a);
    EXPECT_EQ(pool.stats().leased, 2u);
}

TEST_F(LeaseOf, LivesInContainers) {
    std::vector<FakeLease> leases;
    for (int i = 0; i != 4; ++i) leases.push_back(pool.acquire());
    EXPECT_EQ(pool.stats().leased, 4u);
    leases.erase(leases.begin() + 1);
    EXPECT_EQ(pool.stats().leased, 3u);
    leases.clear();
    EXPECT_EQ(pool.stats().idle, 4u);
}

TEST_F(LeaseOf, IdsBelongToResourcesAndAreNeverUsedTwice) {
    std::set<std::uint64_t> seen;
    for (int i = 0; i != 20; ++i) {
        auto lease = pool.acquire();
        auto const id = lease.id();
        EXPECT_TRUE(seen.insert(id).second) << "id " << id << " again";
        lease.release();
        auto again = pool.acquire();
        EXPECT_EQ(again.id(), id) << "another id for the same resource";
        again.discard();
    }
}

// rule 24
TEST_F(LeaseOf, Rule24ReturnsFromAnyThread) {
    auto lease = pool.acquire();
    std::thread{[lease = std::move(lease)]() mutable { lease.release(); }}.join();
    EXPECT_EQ(pool.stats().idle, 1u);
}

// rule 24
TEST_F(LeaseOf, Rule24ReturnsDuringStackUnwinding) {
    try {
        auto const lease = pool.acquire();
        throw std::runtime_error{"unwind"};
    } catch (std::runtime_error const&) {
    }
    EXPECT_EQ(pool.stats().leased, 0u);
    EXPECT_EQ(pool.stats().idle, 1u);
}

// rule 24
TEST(Lease, Rule24ReturnsAfterThePoolIsGone) {
    FakeConnector connector;
    FakeLease dropped;
    FakeLease released;
    FakeLease discarded;
    {
        FakePool<> pool{connector};
        dropped = pool.acquire();
        released = pool.acquire();
        discarded = pool.acquire();
    }
    // Still the holder's, still open.
    EXPECT_EQ(connector.closed(), 0u);
    { auto const use = dropped->use(); }
    released.release();
    discarded.discard();
    EXPECT_EQ(connector.closed(), 2u);
    dropped = FakeLease{};
    EXPECT_EQ(connector.closed(), 3u);
    expect_settled(connector);
}

// rule 24
TEST(Lease, Rule24MovesAfterThePoolIsGone) {
    FakeConnector connector;
    auto pool = std::make_unique<FakePool<>>(connector);
    auto lease = pool->acquire();
    pool.reset();
    auto other = std::move(lease);
    EXPECT_EQ(other->id(), 1u);
    std::thread{[other = std::move(other)] {}}.join();
    expect_settled(connector);
}

// rule 26
TEST_F(LeaseOf, Rule26DetachTakesTheResourceOutOfThePool) {
    auto lease = pool.acquire();
    auto conn = lease.detach();
    EXPECT_FALSE(lease);
    EXPECT_EQ(conn.id(), 1u);
    EXPECT_EQ(pool.stats().open, 0u);
    EXPECT_EQ(pool.stats().leased, 0u);
    EXPECT_EQ(pool.stats().detached, 1u);
    EXPECT_EQ(connector.closed(), 0u) << "a detached resource is not the pool's to close";
    lease.release();
    connector.close(conn);
}

// rule 26
TEST(Lease, Rule26DetachesAfterThePoolIsGone) {
    FakeConnector connector;
    auto pool = std::make_unique<FakePool<>>(connector);
    auto lease = pool->acquire();
    pool.reset();
    {
        auto conn = lease.detach();
        EXPECT_EQ(connector.closed(), 0u);
        connector.close(conn);
    }
    expect_settled(connector);
}

}  // namespace
}  // namespace weir::test
