// The threads on which plain connectors run: whose they are, how many, and from when on.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/threads.hpp"
#include "support/waiters.hpp"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <vector>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

/// How many threads there are once those of pools that are gone have ended, too.
std::size_t settled_threads() {
    start_and_end_a_thread();
    auto count = count_threads();
    for (auto before = count + 1; before != count; count = count_threads()) {
        before = count;
        std::this_thread::sleep_for(30ms);
    }
    return count;
}

TEST(PoolWorkers, APlainConnectorRunsOnTheThreadOfASyncAcquire) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 3}}};
    auto const one = pool.acquire();
    EXPECT_EQ(connector.last_thread(Hook::connect), std::this_thread::get_id());
    auto const two = pool.try_acquire_for(generous);
    EXPECT_EQ(connector.last_thread(Hook::connect), std::this_thread::get_id());
}

TEST(PoolWorkers, APlainConnectorNeverRunsOnAThreadOfTheUsersExecutor) {
    FakeConnector connector;
    asio::io_context io;
    FakePool<> pool{io.get_executor(), connector};
    bool done = false;
    pool.async_acquire([&](error_code ec, Lease<FakeConn>) { done = !ec; });
    io.run();
    EXPECT_TRUE(done);
    EXPECT_NE(connector.last_thread(Hook::connect), std::this_thread::get_id());
    expect_drained(pool, connector);
}

TEST(PoolWorkers, APlainRecycleOrCloseAtAReturnRunsOnTheThreadThatGivesBack) {
    FakeConnector connector;
    FakePool<> pool{connector};
    pool.acquire().release();
    EXPECT_EQ(connector.last_thread(Hook::recycle), std::this_thread::get_id());
    pool.acquire().discard();
    EXPECT_EQ(connector.last_thread(Hook::close), std::this_thread::get_id());
    expect_drained(pool, connector);
}

TEST(PoolWorkers, AreAtMost32AndTheRestTakesItsTurn) {
    constexpr std::size_t acquires = 40;
    FakeConnector connector;
    asio::io_context io;
    FakePool<> pool{io.get_executor(), connector, {.size = {.high = acquires}}};
    connector.gate(Hook::connect, Gate::never);
    std::vector<Lease<FakeConn>> leases;
    for (std::size_t i = 0; i != acquires; ++i) {
        pool.async_acquire_for(generous, [&](error_code ec, Lease<FakeConn> lease) {
            if (!ec) leases.push_back(std::move(lease));
        });
    }
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 32));
    EXPECT_EQ(pool.stats().connecting, acquires);
    // One more has its turn when one of the 32 is done.
    connector.pass(Hook::connect);
    EXPECT_TRUE(eventually([&] { return connector.calls(Hook::connect) == 33; }));
    EXPECT_EQ(connector.max_connecting(), 32u);
    connector.gate(Hook::connect, Gate::ok);
    io.run();
    EXPECT_EQ(leases.size(), acquires);
    EXPECT_EQ(connector.max_connecting(), 32u);
    leases.clear();
    expect_drained(pool, connector);
}

// rule 34
TEST(PoolWorkers, Rule34NoThreadIsStartedBeforeItIsNeeded) {
    auto const before = settled_threads();
    if (before == 0) GTEST_SKIP() << "threads cannot be counted here";
    FakeConnector connector;
    FakePool<KeepIdle> pool{connector};
    for (int i = 0; i != 3; ++i) pool.acquire().release();
    EXPECT_EQ(count_threads(), before);
    // A try that finds nothing connects in the background.
    auto const lease = pool.acquire();
    EXPECT_FALSE(pool.try_acquire());
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    EXPECT_GT(count_threads(), before);
}

TEST(PoolWorkers, AreGoneWithThePool) {
    auto const before = settled_threads();
    if (before == 0) GTEST_SKIP() << "threads cannot be counted here";
    FakeConnector connector;
    {
        FakePool<> pool{connector};
        EXPECT_FALSE(pool.try_acquire());
        EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
        expect_drained(pool, connector);
    }
    EXPECT_TRUE(eventually([&] { return count_threads() == before; }));
}

}  // namespace
}  // namespace weir::test
