// Opening before anybody asks.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <future>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

namespace weir::test {
namespace {

namespace asio = boost::asio;

// rule 21
TEST(PoolWarmUp, Rule21OpensUntilSoManyAreIdle) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 8}}};
    EXPECT_EQ(pool.warm_up(3), 3u);
    EXPECT_EQ(connector.opened(), 3u);
    EXPECT_EQ(pool.warm_up(2), 3u);
    EXPECT_EQ(pool.warm_up(5), 5u);
    EXPECT_EQ(connector.opened(), 5u);
    EXPECT_EQ(pool.stats().acquired, 0u);
    expect_drained(pool, connector);
}

// rule 21
TEST(PoolWarmUp, Rule21StopsAtTheHighMark) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 4}}};
    auto const held = pool.acquire();
    EXPECT_EQ(pool.warm_up(9), 3u);
    EXPECT_EQ(pool.stats().open, 4u);
    EXPECT_EQ(pool.warm_up(9), 3u);
}

// rule 21
TEST(PoolWarmUp, Rule21StopsAtTheFirstFailure) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 8}, .connect = {.max_concurrent = 1}}};
    connector.pass(Hook::connect, Gate::ok, 2);
    connector.gate(Hook::connect, Gate::error);
    EXPECT_EQ(pool.warm_up(6), 2u);
    EXPECT_EQ(connector.calls(Hook::connect), 3u);
    ASSERT_TRUE(pool.last_connect_failure());
    expect_drained(pool, connector);
}

// rule 21, rule 20
TEST(PoolWarmUp, Rule20KeepsToTheBoundOnConcurrentConnects) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 8}, .connect = {.max_concurrent = 2}}};
    connector.gate(Hook::connect, Gate::never);
    auto warming = std::async(std::launch::async, [&] { return pool.warm_up(6); });
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 2));
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_EQ(warming.get(), 6u);
    EXPECT_EQ(connector.max_connecting(), 2u);
    expect_drained(pool, connector);
}

// rule 21
TEST(PoolWarmUp, AcquiresGoFirst) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 2}}};
    connector.gate(Hook::connect, Gate::never);
    auto warming = std::async(std::launch::async, [&] { return pool.warm_up(2); });
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 2));
    auto first = acquire_elsewhere(pool);
    EXPECT_TRUE(waiting(pool, 1));
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(first.get());
    EXPECT_GE(warming.get(), 1u);
    expect_drained(pool, connector);
}

TEST(PoolWarmUp, IsNotForResourcesThatAreNotKept) {
    FakeConnector connector;
    FakePool<DropIdle> pool{connector, {.size = {.high = 4}}};
    EXPECT_EQ(pool.warm_up(2), 0u);
    EXPECT_LE(connector.opened(), 2u) << "opens and closes in a circle";
    expect_drained(pool, connector);
}

// rule 38
TEST(PoolWarmUp, Rule38ACloseEndsIt) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 2}}};
    connector.gate(Hook::connect, Gate::never);
    auto warming = std::async(std::launch::async, [&] { return pool.warm_up(2); });
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 2));
    EXPECT_FALSE(pool.close(0s));
    EXPECT_EQ(warming.get(), 0u);
    EXPECT_EQ(pool.warm_up(2), 0u);
    connector.gate(Hook::connect, Gate::ok);
    expect_drained(pool, connector);
}

TEST(PoolWarmUp, OpensWhatIsAwaitableOnThePoolsExecutor) {
    asio::thread_pool threads{1};
    Pool<int> pool{threads.get_executor(), []() -> asio::awaitable<int> { co_return 7; }, {.size = {.high = 4}}};
    EXPECT_EQ(pool.warm_up(3), 3u);
    EXPECT_EQ(*pool.acquire(), 7);
    EXPECT_TRUE(pool.close());
}

// ---- eager

// rule 21
TEST(PoolEager, Rule21FillsUpToTheLowMarkInTheBackground) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.low = 3, .high = 8, .eager = true}}};
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 3; }));
    EXPECT_EQ(connector.opened(), 3u);
    expect_drained(pool, connector);
}

// rule 23
TEST(PoolEager, Rule23ReplacesWhatAReturnCloses) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.low = 1, .high = 1, .eager = true}}};
    pool.acquire().discard();
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    EXPECT_EQ(connector.opened(), 2u);
    auto detached = pool.acquire().detach();
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    connector.close(detached);
    EXPECT_TRUE(pool.close());
}

// rule 23
TEST(PoolEager, Rule23WithoutItNothingIsReplacedThatNobodyWaitsFor) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.low = 1, .high = 1}}};
    pool.acquire().discard();
    EXPECT_EQ(pool.stats().connecting, 0u);
    EXPECT_EQ(pool.stats().open, 0u);
    expect_drained(pool, connector);
}

// rule 21
TEST(PoolEager, Rule21ItsFailuresAreCountedVisibleAndRetriedButNeverInAStorm) {
    FakeConnector connector;
    connector.gate(Hook::connect, Gate::error);
    auto const begin = std::chrono::steady_clock::now();
    FakePool<> pool{connector, {.size = {.low = 4, .high = 8, .eager = true}}};
    EXPECT_TRUE(eventually([&] { return pool.stats().connect_failed >= 4; }));
    ASSERT_TRUE(pool.last_connect_failure());
    EXPECT_EQ(pool.last_connect_failure()->error, boost::system::errc::connection_refused);
    std::this_thread::sleep_for(300ms);
    auto const failed = pool.stats().connect_failed;
    // Four at first; then one at a time after 10, 20, 40, 80, 160 ms, each up to a fifth sooner.
    std::uint64_t most = 4;
    std::chrono::steady_clock::duration delay = 8ms;
    constexpr std::chrono::steady_clock::duration most_delay = 4s;
    for (auto left = std::chrono::steady_clock::now() - begin; left >= delay;
         left -= delay, delay = std::min(delay * 2, most_delay))
        ++most;
    EXPECT_LE(failed, most);
    EXPECT_TRUE(eventually([&] { return pool.stats().connect_failed >= 6; })) << "it has stopped trying";
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 4; }));
    expect_drained(pool, connector);
}

// rule 36, rule 21
TEST(PoolEager, Rule36AResizeFromNothingFillsItAgain) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.low = 2, .high = 4, .eager = true}}};
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 2; }));
    EXPECT_TRUE(pool.resize(0));
    EXPECT_EQ(pool.stats().open, 0u);
    pool.resize(4);
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 2; }));
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
