// Load that is shed rather than kept waiting.

#include "support/fake_pool.hpp"
#include "support/invalid.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

using CodelPool = FakePool<Codel>;

struct PoolCodel : ::testing::Test {
    FakeConnector connector;
    asio::io_context io;
    CodelPool pool{io.get_executor(), connector, {.size = {.high = 1}, .wait = {.target = 2ms, .interval = 20ms}}};
    int served = 0;
    int shed = 0;
    int other = 0;

    void acquire() {
        pool.async_acquire([this](error_code ec, Lease<FakeConn>) {
            ++(ec == Errc::shed ? shed : ec ? other : served);
        });
    }
};

TEST_F(PoolCodel, AStandingLineIsShedThoughNothingComesBack) {
    auto lease = pool.acquire();
    for (int i = 0; i != 5; ++i) acquire();
    io.run();
    EXPECT_EQ(shed, 5);
    EXPECT_EQ(pool.stats().shed, 5u);
    EXPECT_EQ(pool.stats().waiting, 0u);
    EXPECT_EQ(pool.stats().timed_out, 0u);
    lease.release();
    EXPECT_EQ(pool.stats().idle, 1u);
    expect_drained(pool, connector);
}

TEST(PoolCodelBurst, ABurstThatIsOverInAnIntervalIsServed) {
    FakeConnector connector;
    asio::io_context io;
    CodelPool pool{io.get_executor(), connector, {.size = {.high = 1}, .wait = {.target = 1ms, .interval = generous}}};
    int served = 0;
    auto lease = pool.acquire();
    for (int i = 0; i != 50; ++i) pool.async_acquire([&](error_code ec, Lease<FakeConn>) { served += !ec; });
    std::this_thread::sleep_for(5ms);  // longer than the target, and the last waits longest
    lease.release();
    io.run();
    EXPECT_EQ(served, 50);
    EXPECT_EQ(pool.stats().shed, 0u);
    expect_drained(pool, connector);
}

TEST(PoolCodelBurst, ALineThatStoodIsForgottenOnceItHasEmptied) {
    FakeConnector connector;
    asio::io_context io;
    CodelPool pool{io.get_executor(), connector, {.size = {.high = 1}, .wait = {.target = 2ms, .interval = 1s}}};
    std::vector<error_code> got;
    auto const acquire = [&] { pool.async_acquire([&](error_code ec, Lease<FakeConn>) { got.push_back(ec); }); };
    auto lease = pool.acquire();
    acquire();
    io.run();
    acquire();                          // a new line
    std::this_thread::sleep_for(20ms);  // more than twice the target, less than an interval
    lease.release();
    io.restart();
    io.run();
    EXPECT_EQ(got, (std::vector<error_code>{Errc::shed, error_code{}}));
    expect_drained(pool, connector);
}

TEST_F(PoolCodel, WithoutALineNobodyIsShed) {
    for (int i = 0; i != 30; ++i) {
        auto const lease = pool.acquire();
        std::this_thread::sleep_for(2ms);
    }
    EXPECT_EQ(pool.stats().shed, 0u);
    EXPECT_EQ(pool.stats().waited, 0u);
    expect_drained(pool, connector);
}

TEST_F(PoolCodel, AThreadIsShedToo) {
    auto const lease = pool.acquire();
    EXPECT_EQ(pool.try_acquire_for(generous).error(), Errc::shed);
}

TEST_F(PoolCodel, OneThatIsBeingOpenedForSomebodyIsNoLine) {
    connector.gate(Hook::connect, Gate::never);
    acquire();
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    std::this_thread::sleep_for(60ms);
    connector.gate(Hook::connect, Gate::ok);
    io.run();
    EXPECT_EQ(served, 1);
    expect_drained(pool, connector);
}

TEST(CodelOptions, EveryBadValueNamesItsField) {
    expect_refused<CodelPool>({.wait = {.timeout = -1s}}, "Codel::timeout");
    expect_refused<CodelPool>({.wait = {.target = 0s}}, "Codel::target");
    expect_refused<CodelPool>({.wait = {.interval = 0s}}, "Codel::interval");
}

}  // namespace
}  // namespace weir::test
