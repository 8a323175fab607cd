// Which idle ones to keep: the decisions alone, and the bad values. What the pool makes of them is in pool_idle.cpp.

#include "support/fake_pool.hpp"
#include "support/invalid.hpp"
#include "support/ownership.hpp"

#include <gtest/gtest.h>
#include <type_traits>
#include <vector>
#include <weir/policy/concepts.hpp>
#include <weir/policy/idle.hpp>

namespace weir::test {
namespace {

static_assert(std::is_aggregate_v<IdleCache>);
static_assert(std::is_same_v<IdleCache::policy_slot, slot::Idle>);
static_assert(std::is_same_v<KeepIdle::policy_slot, slot::Idle>);
static_assert(std::is_same_v<DropIdle::policy_slot, slot::Idle>);
static_assert(std::is_same_v<decltype(FakePool<>::Options::idle), IdleCache>);
static_assert(std::is_same_v<decltype(FakePool<DropIdle>::Options::idle), DropIdle>);

/// The smallest model, as the documentation shows it, with one instead of four.
struct KeepOne {
    using policy_slot = slot::Idle;
    Keep keep(IdleFacts const& facts) const noexcept { return facts.idle < 1 ? Keep::yes : Keep::no_excess; }
    bool keeps_all() const noexcept { return false; }
    std::chrono::steady_clock::duration expires_after() const noexcept { return 1min; }
};
static_assert(IdlePolicy<KeepOne>);
static_assert(!IdlePolicy<Watermark>);

TEST(IdleCache, HasTheDefaultsOfTheContract) {
    constexpr IdleCache idle{};
    EXPECT_EQ(idle.ttl, 5min);
    EXPECT_EQ(idle.max_idle, std::nullopt);
}

TEST(IdleCache, RefusesANegativeTimeToLive) {
    expect_refused<FakePool<>>({.idle = {.ttl = -1ns}}, "ttl");
    expect_accepted<FakePool<>>({.idle = {.ttl = 1ns}});
    expect_accepted<FakePool<>>({.idle = {.ttl = std::chrono::steady_clock::duration::max()}});
}

// rule 29
TEST(IdleCache, Rule29DecidesByThoseParked) {
    constexpr IdleCache idle{.max_idle = 2};
    EXPECT_EQ(idle.keep({.live = 9, .idle = 1, .low = 0, .high = 9}), Keep::yes);
    EXPECT_EQ(idle.keep({.live = 9, .idle = 2, .low = 0, .high = 9}), Keep::no_excess);
    EXPECT_EQ(idle.keep({.live = 9, .idle = 3, .low = 0, .high = 9}), Keep::no_excess);
}

// rule 27
TEST(IdleCache, Rule27ATimeToLiveOf0KeepsNoneAboveLow) {
    constexpr IdleCache idle{.ttl = 0s};
    EXPECT_EQ(idle.keep({.live = 2, .idle = 0, .low = 1, .high = 9}), Keep::no_idle);
    EXPECT_EQ(idle.keep({.live = 1, .idle = 0, .low = 1, .high = 9}), Keep::yes);
}

// rule 27
TEST(DropIdle, Rule27DecidesByThoseOpen) {
    constexpr DropIdle idle{};
    EXPECT_EQ(idle.keep({.live = 3, .idle = 0, .low = 2, .high = 9}), Keep::no_idle);
    EXPECT_EQ(idle.keep({.live = 2, .idle = 0, .low = 2, .high = 9}), Keep::yes);
    EXPECT_EQ(idle.keep({.live = 1, .idle = 0, .low = 0, .high = 9}), Keep::no_idle);
}

// rule 27
TEST(KeepIdle, Rule27KeepsWhateverItIsShown) {
    constexpr KeepIdle idle{};
    EXPECT_EQ(idle.keep({.live = 9, .idle = 8, .low = 0, .high = 9}), Keep::yes);
    EXPECT_EQ(idle.expires_after(), std::chrono::steady_clock::duration::max());
}

TEST(IdleCache, TheLongestTimeToLiveDoesNotOverflow) {
    FakeConnector connector;
    FakePool<> pool{connector, {.idle = {.ttl = std::chrono::steady_clock::duration::max()}}};
    pool.acquire().release();
    pool.sweep();
    EXPECT_EQ(pool.stats().idle, 1u);
    EXPECT_TRUE(pool.try_acquire());
    expect_drained(pool, connector);
}

TEST(UserIdle, IsAskedLikeWeirsOwn) {
    FakeConnector connector;
    FakePool<KeepOne> pool{connector};
    auto one = pool.acquire();
    auto two = pool.acquire();
    one.release();
    EXPECT_EQ(pool.stats().idle, 1u);
    two.release();
    EXPECT_EQ(pool.stats().idle, 1u);
    EXPECT_EQ(pool.stats().closed_excess, 1u);
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
