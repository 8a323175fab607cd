// What an operator reads at three in the morning.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>
#include <stdexcept>
#include <string>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

template <class Pool>
std::string dump(Pool const& pool) {
    std::ostringstream out;
    pool.dump(out);
    return out.str();
}

TEST(PoolDump, OfAPoolAtRest) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.low = 1, .high = 3, .max_waiters = 9}, .connect = {.max_concurrent = 2}}};
    pool.acquire().release();
    EXPECT_THAT(dump(pool),
                AllOf(HasSubstr("Nobody waits."), HasSubstr("low 1, high 3, max_waiters 9, max_concurrent 2"),
                      HasSubstr("open 1 of 3"), HasSubstr("idle 1"), HasSubstr("1 served"),
                      HasSubstr("last connect failure: none"), Not(HasSubstr("lease:"))));
    expect_drained(pool, connector);
    EXPECT_THAT(dump(pool), HasSubstr("The pool is closed, and all has ended."));
}

TEST(PoolDump, SaysThatAllAreLeasedAndWhichAndHowLong) {
    FakeConnector connector;
    FakePool<Upkeep, testing::ManualClock> pool{connector, {.size = {.high = 2}}};
    auto old = pool.acquire();
    testing::ManualClock::advance(42min);
    auto const young = pool.acquire();
    testing::ManualClock::advance(3s);
    auto waiter = wait_in_line(pool);
    auto const text = dump(pool);
    EXPECT_THAT(text, AllOf(HasSubstr("1 waits, the first for"), HasSubstr("all 2 are leased, the oldest for 42 min."),
                            HasSubstr("lease: id 1, held for 42 min"), HasSubstr("lease: id 2, held for 3000 ms")));
    EXPECT_LT(text.find("lease: id 1"), text.find("lease: id 2")) << "the oldest first";
    old.release();
    EXPECT_TRUE(waiter.get());
}

// Without `overdue_after` no round runs while all are leased, so the word stands by which their age is told.
TEST(PoolDump, SaysHowOldALeaseIsAtMostWhereNobodyKeepsTime) {
    FakeConnector connector;
    FakePool<Upkeep> pool{connector, {.size = {.high = 1}, .upkeep = {.max_age = 1h}}};
    auto const lease = pool.acquire();
    EXPECT_THAT(dump(pool), HasSubstr("lease: id 1, held for at most "));
    FakePool<Upkeep> watched{connector, {.size = {.high = 1}, .upkeep = {.overdue_after = 1h}}};
    auto const seen = watched.acquire();
    EXPECT_THAT(dump(watched), AllOf(HasSubstr("lease: id 1, held for "), Not(HasSubstr("at most"))));
}

TEST(PoolDump, WithoutUpkeepItSaysHowToSeeTheLeases) {
    FakeConnector connector;
    FakePool<> pool{connector};
    auto const lease = pool.acquire();
    EXPECT_THAT(dump(pool), HasSubstr("list weir::Upkeep"));
}

TEST(PoolDump, SaysThatConnectingKeepsFailingAndWhy) {
    FakeConnector connector;
    FakePool<Backoff> pool{connector, {.connect = {.first = 1h, .max = 1h, .jitter = 0}}};
    connector.fail(Hook::connect, std::make_exception_ptr(std::runtime_error{"no route to it"}));
    connector.gate(Hook::connect, Gate::error);
    auto waiter = acquire_elsewhere(pool);
    EXPECT_TRUE(waiting(pool, 1));
    EXPECT_THAT(dump(pool), AllOf(HasSubstr("connecting keeps failing, and the next attempt is due in 59 min."),
                                  HasSubstr("ago: no route to it (")));
    EXPECT_TRUE(pool.close());
    EXPECT_FALSE(waiter.get());
}

TEST(PoolDump, SaysThatThePoolIsPausedOrShrinkingOrClosing) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 2}}};
    auto a = pool.acquire();
    auto b = pool.acquire();
    pool.refresh();
    EXPECT_FALSE(pool.resize(1));
    auto waiter = wait_in_line(pool);
    EXPECT_THAT(dump(pool), AllOf(HasSubstr("1 more are open than may be"), HasSubstr("older generation: 2")));
    EXPECT_FALSE(pool.resize(0));
    EXPECT_THAT(dump(pool), HasSubstr("paused by resize(0)"));
    EXPECT_FALSE(pool.close(0s));
    EXPECT_FALSE(waiter.get());
    EXPECT_THAT(dump(pool), HasSubstr("The pool is closing: it waits for 2 leased"));
}

TEST(PoolDump, SaysThatNoMoreConnectsMayBeInFlight) {
    FakeConnector connector;
    FakePool<> pool{connector, {.connect = {.max_concurrent = 1}}};
    connector.gate(Hook::connect, Gate::never);
    auto first = acquire_elsewhere(pool);
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    auto second = wait_in_line(pool);
    EXPECT_THAT(dump(pool), HasSubstr("as max_concurrent allows (1)"));
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(first.get());
    EXPECT_TRUE(second.get());
}

}  // namespace
}  // namespace weir::test
