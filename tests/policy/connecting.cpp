// How to open: what ConnectOnce is told. What the pool makes of it: pool_opening.cpp, connect_errors.cpp.

#include "support/fake_pool.hpp"
#include "support/invalid.hpp"

#include <gtest/gtest.h>
#include <type_traits>
#include <weir/policy/connecting.hpp>

namespace weir::test {
namespace {

static_assert(std::is_aggregate_v<ConnectOnce>);
static_assert(std::is_same_v<ConnectOnce::policy_slot, slot::Connecting>);
static_assert(std::is_same_v<decltype(FakePool<>::Options::connect), ConnectOnce>);

TEST(ConnectOnce, HasTheDefaultsOfTheContract) {
    constexpr ConnectOnce connect{};
    EXPECT_EQ(connect.timeout, 10s);
    EXPECT_EQ(connect.max_concurrent, std::nullopt);
}

TEST(ConnectOnce, RefusesATimeoutInWhichNothingCanConnect) {
    expect_refused<FakePool<>>({.connect = {.timeout = 0s}}, "timeout");
    expect_refused<FakePool<>>({.connect = {.timeout = -1ns}}, "timeout");
    expect_accepted<FakePool<>>({.connect = {.timeout = 1ns}});
}

// rule 20
TEST(ConnectOnce, Rule20RefusesAMaxConcurrentThatAllowsNone) {
    expect_refused<FakePool<>>({.connect = {.max_concurrent = 0}}, "max_concurrent");
    expect_accepted<FakePool<>>({.connect = {.max_concurrent = 1}});
}

TEST(ConnectOnce, TheLongestTimeoutDoesNotOverflow) {
    FakeConnector connector;
    FakePool<> pool{connector, {.connect = {.timeout = std::chrono::steady_clock::duration::max()}}};
    EXPECT_TRUE(pool.try_acquire_for(generous));
}

}  // namespace
}  // namespace weir::test
