// What a lease does when it goes out of scope: release, discard, or that depends.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"

#include <gtest/gtest.h>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <weir/policy/drop.hpp>

namespace weir::test {
namespace {

static_assert(std::is_same_v<ReleaseOnDrop::policy_slot, slot::Drop>);
static_assert(std::is_same_v<DiscardOnDrop::policy_slot, slot::Drop>);
static_assert(std::is_same_v<DiscardOnException::policy_slot, slot::Drop>);
static_assert(std::is_same_v<decltype(FakePool<>::Options::drop), ReleaseOnDrop>);

template <class Drop>
struct DropPolicy : ::testing::Test {
    FakeConnector connector;
    FakePool<Drop> pool{connector, {.size = {.high = 4}}};

    void TearDown() override { expect_drained(pool, connector); }
};
using AnyDrop = ::testing::Types<ReleaseOnDrop, DiscardOnDrop, DiscardOnException>;
TYPED_TEST_SUITE(DropPolicy, AnyDrop);

struct DiscardOnDropPool : DropPolicy<DiscardOnDrop> {};
struct DiscardOnExceptionPool : DropPolicy<DiscardOnException> {};

// rule 24
TYPED_TEST(DropPolicy, Rule24AnExplicitReleaseOverridesThePolicy) {
    this->pool.acquire().release();
    try {
        auto lease = this->pool.acquire();
        struct AtUnwinding {
            Lease<FakeConn>& lease;
            ~AtUnwinding() { lease.release(); }
        } const cleaner{lease};
        throw std::runtime_error{"unwind"};
    } catch (std::runtime_error const&) {
    }
    EXPECT_EQ(this->pool.stats().idle, 1u);
    EXPECT_EQ(this->connector.closed(), 0u);
}

// rule 24
TYPED_TEST(DropPolicy, Rule24AnExplicitDiscardOverridesThePolicy) {
    this->pool.acquire().discard();
    EXPECT_EQ(this->pool.stats().closed_discarded, 1u);
}

// rule 24
TYPED_TEST(DropPolicy, Rule24AMovedFromLeaseDropsNothing) {
    auto kept = Lease<FakeConn>{};
    {
        auto lease = this->pool.acquire();
        kept = std::move(lease);
    }
    EXPECT_EQ(this->pool.stats().leased, 1u);
    auto& same = kept;
    kept = std::move(same);
    EXPECT_EQ(this->pool.stats().leased, 1u);
    kept.release();
}

// rule 24
TEST_F(DiscardOnDropPool, Rule24ADropCloses) {
    { auto const lease = pool.acquire(); }
    EXPECT_EQ(pool.stats().closed_discarded, 1u);
    EXPECT_EQ(pool.stats().idle, 0u);
    EXPECT_EQ(connector.calls(Hook::recycle), 0u);
}

// rule 24
TEST_F(DiscardOnDropPool, Rule24OverwritingIsADrop) {
    auto lease = pool.acquire();
    lease = pool.acquire();
    EXPECT_EQ(pool.stats().closed_discarded, 1u);
    EXPECT_EQ(lease->id(), 2u);
    lease = {};
    EXPECT_EQ(pool.stats().closed_discarded, 2u);
}

// rule 24, rule 23
TEST_F(DiscardOnDropPool, Rule24ADropAfterThePoolIsGoneCloses) {
    FakeConnector other;
    {
        auto const lease = FakePool<DiscardOnDrop>{other}.acquire();
        EXPECT_EQ(other.closed(), 0u);
    }
    expect_settled(other);
}

// rule 24
TEST_F(DiscardOnExceptionPool, Rule24ADropByAnExceptionCloses) {
    try {
        auto const lease = pool.acquire();
        throw std::runtime_error{"unwind"};
    } catch (std::runtime_error const&) {
    }
    EXPECT_EQ(pool.stats().closed_discarded, 1u);
}

// rule 24
TEST_F(DiscardOnExceptionPool, Rule24AnyOtherDropReturns) {
    { auto const lease = pool.acquire(); }
    try {
        throw std::runtime_error{"unwind"};
    } catch (std::runtime_error const&) {
        // An exception is being handled, but none is leaving this scope.
        auto const lease = pool.acquire();
    }
    EXPECT_EQ(pool.stats().closed_discarded, 0u);
    EXPECT_EQ(pool.stats().idle, 1u);
}

// rule 24
TEST_F(DiscardOnExceptionPool, Rule24ALeaseThatWasLentDuringUnwindingReturnsAfterItsOwnSuccess) {
    struct Cleaner {
        FakePool<DiscardOnException>& pool;
        ~Cleaner() { auto const lease = pool.acquire(); }
    };
    try {
        Cleaner const cleaner{pool};
        throw std::runtime_error{"unwind"};
    } catch (std::runtime_error const&) {
    }
    EXPECT_EQ(pool.stats().closed_discarded, 0u);
    EXPECT_EQ(pool.stats().idle, 1u);
}

}  // namespace
}  // namespace weir::test
