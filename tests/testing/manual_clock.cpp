// The clock that stands still: what it is, what it governs, and what it leaves alone.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <gtest/gtest.h>
#include <thread>
#include <type_traits>
#include <vector>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

using testing::ManualClock;

static_assert(std::is_same_v<ManualClock::policy_slot, slot::Clock>);

TEST(ManualClock, StandsStillUntilItIsAdvanced) {
    auto const begin = ManualClock::now();
    std::this_thread::sleep_for(2ms);
    EXPECT_EQ(ManualClock::now(), begin);
    ManualClock::advance(90min);
    EXPECT_EQ(ManualClock::now() - begin, 90min);
    ManualClock::advance(1ns);
    EXPECT_EQ(ManualClock::now() - begin, 90min + 1ns);
}

TEST(ManualClock, LosesNoAdvanceOfManyThreads) {
    auto const begin = ManualClock::now();
    std::vector<std::thread> threads;
    for (int i = 0; i != 4; ++i) {
        threads.emplace_back([] {
            for (int step = 0; step != 1000; ++step) ManualClock::advance(1us);
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(ManualClock::now() - begin, 4ms);
}

// rule 28
TEST(ManualClock, GovernsTheTimeToLive) {
    FakeConnector connector;
    boost::asio::io_context never_run;
    FakePool<ManualClock> pool{never_run.get_executor(), connector, {.idle = {.ttl = 1h}}};
    pool.acquire().release();
    pool.sweep();
    EXPECT_EQ(connector.closed(), 0u);
    ManualClock::advance(1h);
    pool.sweep();
    EXPECT_EQ(connector.closed(), 1u);
    expect_drained(pool, connector);
}

// rule 6
TEST(ManualClock, LeavesWaitsToTheSteadyClock) {
    FakeConnector connector;
    FakePool<ManualClock> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    // Advancing makes no wait longer or shorter, standing still neither.
    auto waiter = wait_in_line(pool);
    ManualClock::advance(1h);
    EXPECT_EQ(pool.try_acquire_for(1ms).error(), Errc::timed_out);
    EXPECT_EQ(pool.stats().waiting, 1u);
    lease.release();
    EXPECT_TRUE(waiter.get());
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
