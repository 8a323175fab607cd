// What time it is: SteadyClock. The manual one has a file of its own.

#include "support/eventually.hpp"
#include "support/fake_pool.hpp"
#include "support/ownership.hpp"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <thread>
#include <type_traits>
#include <weir/policy/clock.hpp>

namespace weir::test {
namespace {

static_assert(std::is_same_v<SteadyClock::policy_slot, slot::Clock>);

// rule 28
TEST(SteadyClock, Rule28AgesByRealTime) {
    FakeConnector connector;
    boost::asio::io_context never_run;
    FakePool<SteadyClock> pool{never_run.get_executor(), connector, {.idle = {.ttl = 20ms}}};
    pool.acquire().release();
    std::this_thread::sleep_for(30ms);
    pool.sweep();
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_idle == 1; }));  // the pool may be at it by itself
    expect_drained(pool, connector);
}

// rule 28
TEST(SteadyClock, Rule28ClosesNothingBeforeItsTime) {
    FakeConnector connector;
    boost::asio::io_context never_run;
    FakePool<SteadyClock> pool{never_run.get_executor(), connector, {.idle = {.ttl = 1h}}};
    pool.acquire().release();
    for (int i = 0; i != 10; ++i) pool.sweep();
    EXPECT_EQ(pool.stats().idle, 1u);
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
