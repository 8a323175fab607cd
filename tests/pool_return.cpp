// What becomes of a resource when its lease ends, and who gets its place.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/stack_depth.hpp"
#include "support/waiters.hpp"

#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <future>
#include <gtest/gtest.h>
#include <stdexcept>
#include <thread>
#include <vector>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

template <class Store>
struct PoolReturn : ::testing::Test {};
TYPED_TEST_SUITE(PoolReturn, Stores);

// rule 22
TYPED_TEST(PoolReturn, Rule22WhatRecycleRefusesIsClosedAsUnhealthy) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector};
    {
        auto const lease = pool.acquire();
        lease->spoil();
    }
    EXPECT_EQ(connector.closed(), 1u);
    connector.fail(Hook::recycle, std::make_exception_ptr(std::runtime_error{"reset failed"}));
    connector.pass(Hook::recycle, Gate::error);
    pool.acquire().release();
    EXPECT_EQ(connector.closed(), 2u);
    EXPECT_EQ(pool.stats().closed_unhealthy, 2u);
    EXPECT_EQ(pool.stats().idle, 0u);
    pool.acquire().release();
    EXPECT_EQ(pool.stats().idle, 1u);
    expect_drained(pool, connector);
}

// rule 22
TYPED_TEST(PoolReturn, Rule22RecycleRunsOnEveryReturnButNotOnADiscard) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector};
    for (int i = 0; i != 3; ++i) pool.acquire().release();
    EXPECT_EQ(connector.calls(Hook::recycle), 3u);
    pool.acquire().discard();
    EXPECT_EQ(connector.calls(Hook::recycle), 3u);
    EXPECT_EQ(pool.stats().closed_discarded, 1u);
    expect_drained(pool, connector);
}

// rule 22
TYPED_TEST(PoolReturn, Rule22NobodySeesAResourceBeforeItsRecycleEnds) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    connector.gate(Hook::recycle, Gate::never);
    auto returner = std::async(std::launch::async, [&] { lease.release(); });
    EXPECT_TRUE(connector.await_blocked(Hook::recycle, 1));
    EXPECT_EQ(pool.stats().leased, 1u);
    EXPECT_EQ(pool.stats().idle, 0u);
    EXPECT_FALSE(pool.try_acquire());
    auto waiter = wait_in_line(pool);
    connector.gate(Hook::recycle, Gate::ok);
    returner.get();
    EXPECT_TRUE(waiter.get());
    expect_drained(pool, connector);
}

// rule 22
TYPED_TEST(PoolReturn, Rule22AClosingPoolClosesWhatComesBackWhateverElseIsWrongWithIt) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 3}}};
    auto released = pool.acquire();
    auto discarded = pool.acquire();
    auto spoiled = pool.acquire();
    spoiled->spoil();
    EXPECT_FALSE(pool.close(0s));
    released.release();
    discarded.discard();
    spoiled.release();
    EXPECT_EQ(pool.stats().closed_drained, 3u);
    expect_drained(pool, connector);
}

// rule 22
TYPED_TEST(PoolReturn, Rule22AWaiterComesBeforeTheIdlePolicy) {
    FakeConnector connector;
    FakePool<TypeParam, DropIdle> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    lease.release();
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 1u);
    EXPECT_EQ(connector.closed(), 0u);
    served->release();
    EXPECT_EQ(connector.closed(), 1u);
    EXPECT_EQ(pool.stats().closed_idle, 1u);
    expect_drained(pool, connector);
}

// rule 23
TYPED_TEST(PoolReturn, Rule23AReplacementIsOpenedInTheBackgroundForAWaiter) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    connector.gate(Hook::connect, Gate::never);
    lease.discard();  // Would never return if this thread were made to connect.
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    EXPECT_NE(connector.last_thread(Hook::connect), std::this_thread::get_id());
    connector.gate(Hook::connect, Gate::ok);
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 2u);
    served->release();
    expect_drained(pool, connector);
}

// rule 23
TYPED_TEST(PoolReturn, Rule23WhateverClosesItTheWaiterGetsAReplacement) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    lease->spoil();
    auto waiter = wait_in_line(pool);
    lease.release();
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 2u);
    EXPECT_LE(connector.max_open(), 1u) << "opened before the old one was gone";
    served->release();
    expect_drained(pool, connector);
}

// rule 23, rule Z
TYPED_TEST(PoolReturn, Rule23AReplacementWaitsForTheEndOfTheClose) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    connector.gate(Hook::close, Gate::never);
    auto returner = std::async(std::launch::async, [&] { lease.discard(); });
    EXPECT_TRUE(connector.await_blocked(Hook::close, 1));
    EXPECT_EQ(pool.stats().closing, 1u);
    EXPECT_EQ(pool.stats().open, 1u);
    EXPECT_EQ(pool.stats().waiting, 1u);
    connector.gate(Hook::close, Gate::ok);
    returner.get();
    EXPECT_TRUE(waiter.get());
    EXPECT_EQ(connector.max_open(), 1u);
    expect_drained(pool, connector);
}

// rule 23, rule 11
TYPED_TEST(PoolReturn, Rule23WhoComesWhileAReturnClosesIsServed) {
    FakeConnector connector;
    FakePool<TypeParam, DropIdle> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    connector.gate(Hook::close, Gate::never);
    auto returner = std::async(std::launch::async, [&] { lease.release(); });
    EXPECT_TRUE(connector.await_blocked(Hook::close, 1));
    auto waiter = wait_in_line(pool);
    connector.gate(Hook::close, Gate::ok);
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 2u);
    returner.get();
    served->release();
    expect_drained(pool, connector);
}

// rule 23
TYPED_TEST(PoolReturn, Rule23WithoutDemandNothingIsReopened) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.low = 1, .high = 2}}};
    pool.acquire().discard();
    // The next to need one opens it: a background connect would have been the second.
    EXPECT_EQ(pool.acquire()->id(), 2u);
    EXPECT_EQ(connector.calls(Hook::connect), 2u);
    expect_drained(pool, connector);
}

// rule 23, rule 18
TYPED_TEST(PoolReturn, Rule23AReplacementThatFailsAnswersTheWaiter) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    connector.pass(Hook::connect, Gate::error);
    lease.discard();
    auto const result = waiter.get();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), boost::system::errc::connection_refused);
    EXPECT_TRUE(pool.try_acquire_for(generous)) << "a lost slot";
    expect_drained(pool, connector);
}

// rule 24
TYPED_TEST(PoolReturn, Rule24ReturningDoesNotBlockOnAWaiter) {
    FakeConnector connector;
    asio::io_context io;
    FakePool<TypeParam> pool{io.get_executor(), connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    bool called = false;
    pool.async_acquire([&](error_code, Lease<FakeConn>) { called = true; });
    // The waiter's context stands still; the return does not.
    lease.release();
    EXPECT_FALSE(called);
    EXPECT_EQ(pool.stats().leased, 1u) << "granted, though its handler has not run";
    io.run();
    EXPECT_TRUE(called);
    expect_drained(pool, connector);
}

// rule 25
TEST(PoolReturnDepth, Rule25AHundredThousandCompletionsThatReleaseAtOnceDoNotRecurse) {
    constexpr int waiters = 100'000;
    FakeConnector connector;
    asio::io_context io;
    FakePool<> pool{io.get_executor(), connector.only_connect(), {.size = {.high = 1}}};
    StackDepth depth;
    int served = 0;
    auto lease = pool.acquire();
    for (int i = 0; i != waiters; ++i) {
        pool.async_acquire_for(10min, [&](error_code ec, Lease<FakeConn> given) {
            depth.probe();
            if (!ec) ++served;
            given.release();
        });
    }
    lease.release();
    io.run();
    EXPECT_EQ(served, waiters);
    EXPECT_LT(depth.deepest(), StackDepth::shallow) << "the stack grows with the line";
    expect_drained(pool, connector);
}

// rule 25
TEST(PoolReturnDepth, Rule25ThreadsThatReleaseAtOnceDoNotRecurse) {
    // Every return that finds a waiter runs the hook on the returner's stack, at the same depth.
    struct Probing : FakeConnector {
        Probing(FakeConnector const& base, StackDepth& probed) : FakeConnector{base}, depth{&probed} {}
        bool recycle(FakeConn& conn) {
            depth->probe();
            return FakeConnector::recycle(conn);
        }
        StackDepth* depth;
    };
    FakeConnector connector;
    StackDepth depth;
    FakePool<> pool{Probing{connector, depth}, {.size = {.high = 1}}};
    std::vector<std::future<int>> threads;
    for (int i = 0; i != 3; ++i) {
        threads.push_back(std::async(std::launch::async, [&] {
            int served = 0;
            for (int round = 0; round != 500; ++round) {
                if (pool.try_acquire_for(generous)) ++served;
            }
            return served;
        }));
    }
    for (auto& thread : threads) EXPECT_EQ(thread.get(), 500);
    EXPECT_LT(depth.deepest(), StackDepth::shallow);
    expect_drained(pool, connector);
}

// rule 26
TYPED_TEST(PoolReturn, Rule26DetachFreesTheSlotAtOnceForAWaiter) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    auto conn = lease.detach();
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 2u);
    served->release();
    // Its end waits for the pool's own only.
    EXPECT_TRUE(pool.close(generous));
    EXPECT_EQ(connector.alive(), 1u);
    EXPECT_EQ(pool.stats().detached, 1u);
    connector.close(conn);
}

// rule 26
TYPED_TEST(PoolReturn, Rule26DetachMakesRoomForTheNextAcquire) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 1}}};
    for (int i = 0; i != 5; ++i) {
        auto lease = pool.try_acquire_for(generous);
        ASSERT_TRUE(lease);
        auto conn = lease->detach();
        connector.close(conn);
    }
    EXPECT_EQ(pool.stats().open, 0u);
    EXPECT_EQ(pool.stats().detached, 5u);
    expect_drained(pool, connector);
}

/// Neither closes nor opens a third one before it may.
struct HeldUp {
    std::atomic<bool>* may_go_on;
    std::atomic<int>* opened;

    int connect() const {
        if (++*opened > 2) stay();
        return 1;
    }
    void close(int) const { stay(); }
    void stay() const {
        while (!*may_go_on) std::this_thread::sleep_for(1ms);
    }
};

// rule 6: what is due in the step that closes, here the time of the next one's connect, is not left until it has closed.
TEST(PoolReturnTime, Rule6ACloseThatHangsAtAReturnHoldsUpNobodysDeadline) {
    std::atomic<bool> may_go_on{false};
    std::atomic<int> opened{0};
    asio::io_context io;
    Pool<int> pool{HeldUp{&may_go_on, &opened},
                   {.size = {.low = 2, .high = 3, .eager = true}, .connect = {.timeout = 50ms}}};
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 2; }));
    auto one = pool.acquire();
    auto two = pool.acquire();
    std::this_thread::sleep_for(100ms);  // what was to ring for those has rung
    auto returner = std::async(std::launch::async, [&] { one.discard(); });
    EXPECT_TRUE(eventually([&] { return opened == 3; }));
    error_code told;
    pool.async_acquire_for(200ms, asio::bind_executor(io, [&](error_code error, auto) { told = error; }));
    io.run_for(10s);
    EXPECT_EQ(told, Errc::timed_out);
    may_go_on = true;
    returner.get();
    two.release();
    EXPECT_TRUE(pool.close(20s));
}

}  // namespace
}  // namespace weir::test
