// How long to wait: what Fifo is told. Who is served when is in pool_waiting.cpp.

#include "support/fake_pool.hpp"
#include "support/invalid.hpp"
#include "support/ownership.hpp"

#include <gtest/gtest.h>
#include <type_traits>
#include <weir/policy/waiting.hpp>

namespace weir::test {
namespace {

static_assert(std::is_aggregate_v<Fifo>);
static_assert(std::is_same_v<Fifo::policy_slot, slot::Waiting>);
static_assert(std::is_same_v<decltype(FakePool<>::Options::wait), Fifo>);

TEST(Fifo, HasTheDefaultsOfTheContract) {
    constexpr Fifo wait{};
    EXPECT_EQ(wait.timeout, 30s);
    EXPECT_EQ(wait.patience, 0s);
}

TEST(Fifo, RefusesNegativeTimes) {
    expect_refused<FakePool<>>({.wait = {.timeout = -1ns}}, "timeout");
    expect_refused<FakePool<>>({.wait = {.patience = -1ns}}, "patience");
    expect_accepted<FakePool<>>({.wait = {.timeout = 1ns}});
}

TEST(Fifo, TheLongestTimeoutDoesNotOverflow) {
    FakeConnector connector;
    FakePool<> pool{connector,
                    {.wait = {.timeout = std::chrono::steady_clock::duration::max(),
                              .patience = std::chrono::steady_clock::duration::max()}}};
    EXPECT_TRUE(pool.acquire());
    expect_drained(pool, connector);
}

// rule 6
TEST(Fifo, Rule6ItsTimeoutEndsAnAcquireWithoutATimeOfItsOwn) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 1}, .wait = {.timeout = 20ms}}};
    auto lease = pool.try_acquire_for(generous).value();
    auto const begin = std::chrono::steady_clock::now();
    EXPECT_THROW((void)pool.acquire(), boost::system::system_error);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 20ms);
    EXPECT_EQ(pool.stats().timed_out, 1u);
    lease.release();
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
