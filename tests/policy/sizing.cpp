// How many: what Watermark and Unbounded allow, and what they refuse to be told.

#include "support/fake_pool.hpp"
#include "support/invalid.hpp"
#include "support/ownership.hpp"

#include <gtest/gtest.h>
#include <limits>
#include <type_traits>
#include <vector>
#include <weir/policy/concepts.hpp>
#include <weir/policy/sizing.hpp>

namespace weir::test {
namespace {

static_assert(std::is_aggregate_v<Watermark> && std::is_aggregate_v<Unbounded>);
static_assert(std::is_same_v<Watermark::policy_slot, slot::Sizing>);
static_assert(std::is_same_v<Unbounded::policy_slot, slot::Sizing>);
static_assert(std::is_same_v<decltype(FakePool<>::Options::size), Watermark>);
static_assert(std::is_same_v<decltype(FakePool<Unbounded>::Options::size), Unbounded>);

/// The smallest model, as the documentation shows it.
struct Three {
    using policy_slot = slot::Sizing;
    constexpr Limits limits() const noexcept { return {.low = 0, .high = 3}; }
};
static_assert(SizingPolicy<Three>);

struct Slotless {
    constexpr Limits limits() const noexcept { return {}; }
};
static_assert(!SizingPolicy<Slotless>);
static_assert(!SizingPolicy<IdleCache>);

TEST(Watermark, HasTheDefaultsOfTheContract) {
    constexpr Watermark size{};
    EXPECT_EQ(size.low, 0u);
    EXPECT_EQ(size.high, 16u);
    EXPECT_EQ(size.max_waiters, std::nullopt);
    FakeConnector connector;
    FakePool<> const pool{connector};
    EXPECT_EQ(pool.stats().high, 16u);
}

TEST(Watermark, RefusesALowAboveHigh) {
    expect_refused<FakePool<>>({.size = {.low = 5, .high = 4}}, "low");
    expect_accepted<FakePool<>>({.size = {.low = 4, .high = 4}});
}

TEST(Watermark, RefusesAHighOf0) { expect_refused<FakePool<>>({.size = {.high = 0}}, "high"); }

TEST(Watermark, AcceptsBoundsOfAnySize) {
    expect_accepted<FakePool<>>({.size = {.high = std::numeric_limits<std::size_t>::max()}});
    expect_accepted<FakePool<>>({.size = {.high = 1, .max_waiters = 0}});
    expect_accepted<FakePool<>>({.size = {.max_waiters = std::numeric_limits<std::size_t>::max()}});
}

// rule 15, rule Z
TEST(Watermark, OpensUpToHighAndNotOneMore) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 3, .max_waiters = 0}}};
    std::vector<Lease<FakeConn>> leases;
    for (int i = 0; i != 3; ++i) leases.push_back(pool.acquire());
    EXPECT_EQ(pool.try_acquire_for(1s).error(), Errc::too_many_waiters);
    EXPECT_EQ(connector.max_open(), 3u);
    leases.clear();
    expect_drained(pool, connector);
}

TEST(Unbounded, NeverWaitsForAnothersReturn) {
    FakeConnector connector;
    FakePool<Unbounded> pool{connector};
    std::vector<Lease<FakeConn>> leases;
    for (int i = 0; i != 200; ++i) {
        auto lease = pool.try_acquire_for(generous);
        ASSERT_TRUE(lease);
        leases.push_back(std::move(*lease));
    }
    EXPECT_EQ(pool.stats().waited, 0u);
    EXPECT_EQ(connector.alive(), 200u);
    leases.clear();
    EXPECT_EQ(pool.stats().idle, 200u);
    expect_drained(pool, connector);
}

TEST(UserSizing, IsAskedLikeWeirsOwn) {
    FakeConnector connector;
    FakePool<Three> pool{connector};
    EXPECT_EQ(pool.stats().high, 3u);
    std::vector<Lease<FakeConn>> leases;
    for (int i = 0; i != 3; ++i) leases.push_back(pool.acquire());
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
    leases.clear();
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
