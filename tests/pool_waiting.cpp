// The line: who may stand in it, in which order it is served, and what it costs to stand there.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <ctime>
#include <future>
#include <gtest/gtest.h>
#include <optional>
#include <thread>
#include <vector>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

template <class Store>
struct PoolWaiting : ::testing::Test {};
TYPED_TEST_SUITE(PoolWaiting, Stores);

// rule 8
TYPED_TEST(PoolWaiting, Rule8RejectsOneMoreThanMaxWaitersAtOnce) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 1, .max_waiters = 2}}};
    auto lease = pool.acquire();
    auto first = wait_in_line(pool);
    auto second = wait_in_line(pool);
    auto const third = pool.try_acquire_for(generous);
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error(), Errc::too_many_waiters);
    auto const stats = pool.stats();
    EXPECT_EQ(stats.waiting, 2u);
    EXPECT_EQ(stats.waited, 2u);
    EXPECT_EQ(stats.rejected, 1u);
    EXPECT_EQ(stats.timed_out, 0u);
    lease.release();
    first.get()->release();
    second.get()->release();
    expect_drained(pool, connector);
}

TEST(PoolWaitingBound, Rule8WithMaxWaiters0NobodyWaitsYetConnectingIsAllowed) {
    // rule 8
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 2, .max_waiters = 0}}};
    connector.gate(Hook::connect, Gate::never);
    auto first = acquire_elsewhere(pool);
    auto second = acquire_elsewhere(pool);
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 2));
    // Their own connects are in flight: they do not count as waiters, in no counter.
    EXPECT_EQ(pool.stats().waiting, 0u);
    EXPECT_EQ(pool.stats().waited, 0u);
    EXPECT_EQ(pool.stats().connecting, 2u);
    EXPECT_EQ(pool.try_acquire_for(generous).error(), Errc::too_many_waiters);
    connector.gate(Hook::connect, Gate::ok);
    auto a = first.get();
    auto b = second.get();
    EXPECT_TRUE(a && b);
    EXPECT_EQ(pool.stats().waited, 0u);
    EXPECT_EQ(pool.stats().rejected, 1u);
    a->release();
    b->release();
    expect_drained(pool, connector);
}

TEST(PoolWaitingBound, Rule8OneHeldBackByMaxConcurrentIsAWaiter) {
    // rule 8, rule 20
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 4, .max_waiters = 1}, .connect = {.max_concurrent = 1}}};
    connector.gate(Hook::connect, Gate::never);
    auto first = acquire_elsewhere(pool);
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    auto second = wait_in_line(pool);
    EXPECT_EQ(pool.stats().connecting, 1u);
    EXPECT_EQ(pool.stats().waited, 1u);
    EXPECT_EQ(pool.try_acquire_for(generous).error(), Errc::too_many_waiters);
    connector.gate(Hook::connect, Gate::ok);
    auto a = first.get();
    auto b = second.get();
    EXPECT_TRUE(a && b);
    EXPECT_EQ(connector.max_connecting(), 1u);
    a->release();
    b->release();
    expect_drained(pool, connector);
}

TEST(PoolWaitingBound, Rule8APlaceInLineIsFreeAgainAfterATimeout) {
    // rule 8, rule 13
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 1, .max_waiters = 1}}};
    auto lease = pool.acquire();
    std::uint64_t times = 0;
    for (int i = 0; i != 3; ++i) {
        times += wait_in_vain(pool, 20ms);
        EXPECT_EQ(pool.stats().waiting, 0u);
    }
    EXPECT_EQ(pool.stats().waited, 3u);
    EXPECT_EQ(pool.stats().timed_out, times);
    EXPECT_EQ(pool.stats().rejected, 0u);
    lease.release();
    expect_drained(pool, connector);
}

// rule 9
TYPED_TEST(PoolWaiting, Rule9ServesSyncAndAsyncWaitersInOneLine) {
    FakeConnector connector;
    asio::io_context io;
    FakePool<TypeParam> pool{io.get_executor(), connector, {.size = {.high = 1}}};
    Log<int> served;
    auto lease = pool.acquire();
    std::vector<std::future<void>> threads;
    for (int i = 0; i != 8; ++i) {
        if (i % 2 == 0) {
            threads.push_back(std::async(std::launch::async, [&pool, &served, i] {
                auto const result = pool.try_acquire_for(generous);
                if (result) served.add(i);
            }));
        } else {
            pool.async_acquire_for(generous, [&served, i](error_code ec, Lease<FakeConn>) {
                if (!ec) served.add(i);
            });
        }
        ASSERT_TRUE(waiting(pool, static_cast<std::size_t>(i) + 1));
    }
    std::thread runner{[&] { io.run(); }};
    lease.release();
    runner.join();
    for (auto& thread : threads) thread.get();
    EXPECT_EQ(served.values(), (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7}));
    EXPECT_EQ(pool.stats().waited, 8u) << "a woken waiter was queued again";
    expect_drained(pool, connector);
}

// rule 9
TYPED_TEST(PoolWaiting, Rule9ANewcomerNeverOvertakesAWaiter) {
    FakeConnector connector;
    asio::io_context io;
    FakePool<TypeParam> pool{io.get_executor(), connector, {.size = {.high = 1}}};
    for (int i = 0; i != 20; ++i) {
        auto lease = pool.acquire();
        bool served = false;
        pool.async_acquire([&](error_code ec, Lease<FakeConn> given) { served = !ec && given; });
        // The context does not run: the waiter can only be given it, it cannot come and take it.
        lease.release();
        EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
        EXPECT_EQ(pool.try_acquire_for(0s).error(), Errc::timed_out);
        io.restart();
        io.run();
        EXPECT_TRUE(served);
    }
    EXPECT_EQ(connector.calls(Hook::connect), 1u);
    expect_drained(pool, connector);
}

// rule 12
TYPED_TEST(PoolWaiting, Rule12FourThousandExpiredWaitersEatNoHandOff) {
    FakeConnector connector;
    asio::io_context io;
    FakePool<TypeParam> pool{io.get_executor(), connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    int timed_out = 0;
    int other = 0;
    for (int i = 0; i != 4000; ++i) {
        pool.async_acquire_for(1ms,
                               [&](error_code ec, Lease<FakeConn>) { ++(ec == Errc::timed_out ? timed_out : other); });
    }
    // The context does not run, so nobody has taken them out of the line when their time is up.
    auto const dead = std::chrono::steady_clock::now() + 20ms;
    auto const waited = pool.stats().waited;
    auto live = acquire_elsewhere(pool);
    EXPECT_TRUE(eventually([&] { return pool.stats().waited == waited + 1; }));
    EXPECT_TRUE(eventually([&] { return std::chrono::steady_clock::now() > dead; }));
    lease.release();
    auto result = live.get();
    ASSERT_TRUE(result);
    EXPECT_EQ((*result)->id(), 1u);
    EXPECT_EQ(connector.calls(Hook::recycle), 1u) << "it went through other hands on the way";
    io.run();
    EXPECT_EQ(timed_out, 4000);
    EXPECT_EQ(other, 0);
    EXPECT_EQ(pool.stats().timed_out, 4000u);
    result->release();
    expect_drained(pool, connector);
}

// rule 12, rule 13
TYPED_TEST(PoolWaiting, Rule13CancelledWaitersLeaveAtOnceAndWithoutATrace) {
    FakeConnector connector;
    asio::io_context io;
    FakePool<TypeParam> pool{io.get_executor(), connector, {.size = {.high = 1, .max_waiters = 100}}};
    auto lease = pool.acquire();
    std::vector<asio::cancellation_signal> signals(100);
    int aborted = 0;
    for (auto& signal : signals) {
        pool.async_acquire(asio::bind_cancellation_slot(signal.slot(), [&](error_code ec, Lease<FakeConn> given) {
            EXPECT_FALSE(given);
            if (ec == asio::error::operation_aborted) ++aborted;
        }));
    }
    EXPECT_EQ(pool.stats().waiting, 100u);
    EXPECT_EQ(pool.try_acquire_for(generous).error(), Errc::too_many_waiters);
    for (auto& signal : signals) signal.emit(asio::cancellation_type::total);
    EXPECT_EQ(pool.stats().waiting, 0u) << "a cancelled waiter leaves at once";
    EXPECT_EQ(pool.stats().cancelled, 100u);
    auto live = wait_in_line(pool);
    lease.release();
    EXPECT_TRUE(live.get());
    io.run();
    EXPECT_EQ(aborted, 100);
    expect_drained(pool, connector);
}

TEST(PoolWaitingCost, Rule14WaitingBurnsNoCpu) {
    // rule 14, rule 11: no polling tick either.
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 1}}};
    auto const lease = pool.acquire();
    auto const cpu_time = [] {
        std::timespec spent{};
        ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
        return std::chrono::seconds{spent.tv_sec} + std::chrono::nanoseconds{spent.tv_nsec};
    };
    auto const begin = cpu_time();
    EXPECT_EQ(pool.try_acquire_for(400ms).error(), Errc::timed_out);
    EXPECT_LT(cpu_time() - begin, 100ms);
}

// rule 11
TYPED_TEST(PoolWaiting, Rule11EveryReturnServesAWaiter) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 2}}};
    // Two resources, four threads, nobody times out: a lost wake-up would be a timeout.
    std::atomic<int> lost{0};
    std::vector<std::thread> threads;
    for (int i = 0; i != 4; ++i) {
        threads.emplace_back([&] {
            for (int round = 0; round != 500; ++round) {
                auto const lease = pool.try_acquire_for(generous);
                if (!lease) {
                    ++lost;
                    return;
                }
                auto const use = (*lease)->use();
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(lost, 0);
    EXPECT_LE(connector.max_open(), 2u);
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
