// What lies idle, how long, and how it is swept. Time is the manual clock's unless a name says otherwise.

#include "support/fake_pool.hpp"
#include "support/no_rounds.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <future>
#include <gtest/gtest.h>
#include <map>
#include <mutex>
#include <utility>
#include <vector>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

using std::chrono::steady_clock;
using testing::ManualClock;
using Ids = std::vector<std::uint64_t>;

/// Pools on a context that never runs. Where it matters who sweeps, and when, there are `NoRounds`.
template <class Store>
struct PoolIdle : ::testing::Test {
    template <class... Policies>
    using Pool = FakePool<Store, ManualClock, Policies...>;

    FakeConnector connector;
    boost::asio::io_context never_run;

    /// Leaves `count` idle ones, returned in the order of their ids.
    template <class P>
    void park(P& pool, std::size_t count) {
        std::vector<Lease<FakeConn>> leases;
        for (std::size_t i = 0; i != count; ++i) leases.push_back(pool.acquire());
        for (auto& lease : leases) lease.release();
    }
};
TYPED_TEST_SUITE(PoolIdle, Stores);

// rule 27
TYPED_TEST(PoolIdle, Rule27UpToLowStayForEverTheOthersForTheirTimeToLive) {
    typename TestFixture::template Pool<> pool{
        this->never_run.get_executor(), this->connector, {.size = {.low = 1, .high = 3}, .idle = {.ttl = 8s}}};
    NoRounds const alone{pool};
    this->park(pool, 3);
    ManualClock::advance(8s - 1ns);
    for (int i = 0; i != 5; ++i) pool.sweep();
    EXPECT_EQ(pool.stats().open, 3u);
    ManualClock::advance(1ns);
    for (int i = 0; i != 5; ++i) pool.sweep();
    EXPECT_EQ(pool.stats().open, 1u);
    ManualClock::advance(24h);
    for (int i = 0; i != 5; ++i) pool.sweep();
    EXPECT_EQ(pool.stats().open, 1u);
    EXPECT_EQ(pool.stats().closed_idle, 2u);
    expect_drained(pool, this->connector);
}

// rule 27
TYPED_TEST(PoolIdle, Rule27LowIsCountedByOpenOnes) {
    typename TestFixture::template Pool<> pool{
        this->never_run.get_executor(), this->connector, {.size = {.low = 2, .high = 4}, .idle = {.ttl = 8s}}};
    NoRounds const alone{pool};
    this->park(pool, 3);
    auto const held_a = pool.acquire();
    auto const held_b = pool.acquire();
    // Two are leased, so the idle third is above low.
    ManualClock::advance(8s);
    pool.sweep();
    EXPECT_EQ(pool.stats().idle, 0u);
    EXPECT_EQ(pool.stats().open, 2u);
}

// rule 27
TYPED_TEST(PoolIdle, Rule27DropIdleClosesAboveLowAtReturn) {
    typename TestFixture::template Pool<DropIdle> pool{
        this->never_run.get_executor(), this->connector, {.size = {.low = 1, .high = 3}}};
    auto a = pool.acquire();
    auto b = pool.acquire();
    auto c = pool.acquire();
    b.release();
    EXPECT_EQ(this->connector.close_order(), (Ids{2}));
    c.release();
    EXPECT_EQ(this->connector.close_order(), (Ids{2, 3}));
    a.release();
    EXPECT_EQ(pool.stats().idle, 1u);
    EXPECT_EQ(pool.stats().closed_idle, 2u);
    expect_drained(pool, this->connector);
}

// rule 27
TYPED_TEST(PoolIdle, Rule27DropIdleWithLow0ClosesEveryReturn) {
    typename TestFixture::template Pool<DropIdle> pool{this->never_run.get_executor(), this->connector};
    for (int i = 0; i != 3; ++i) pool.acquire().release();
    EXPECT_EQ(this->connector.closed(), 3u);
    EXPECT_EQ(pool.stats().open, 0u);
    expect_drained(pool, this->connector);
}

// rule 27
TYPED_TEST(PoolIdle, Rule27DropIdleCountsTheOneBeingClosedAsGone) {
    typename TestFixture::template Pool<DropIdle> pool{
        this->never_run.get_executor(), this->connector, {.size = {.low = 1, .high = 2}}};
    auto a = pool.acquire();
    auto b = pool.acquire();
    this->connector.gate(Hook::close, Gate::never);
    auto closing = std::async(std::launch::async, [&] { a.release(); });
    EXPECT_TRUE(this->connector.await_blocked(Hook::close, 1));
    b.release();
    EXPECT_EQ(pool.stats().idle, 1u) << "closed below low";
    this->connector.gate(Hook::close, Gate::ok);
    closing.get();
    EXPECT_EQ(pool.stats().closed_idle, 1u);
    expect_drained(pool, this->connector);
}

// rule 27
TYPED_TEST(PoolIdle, Rule27KeepIdleKeepsThemAll) {
    typename TestFixture::template Pool<KeepIdle> pool{
        this->never_run.get_executor(), this->connector, {.size = {.high = 3}}};
    this->park(pool, 3);
    ManualClock::advance(24h * 365);
    for (int i = 0; i != 5; ++i) pool.sweep();
    EXPECT_EQ(pool.stats().idle, 3u);
    expect_drained(pool, this->connector);
}

// rule 28
TYPED_TEST(PoolIdle, Rule28TheTimeToLiveBeginsAtTheLastReturn) {
    typename TestFixture::template Pool<> pool{
        this->never_run.get_executor(), this->connector, {.size = {.high = 1}, .idle = {.ttl = 8s}}};
    NoRounds const alone{pool};
    this->park(pool, 1);
    for (int i = 0; i != 4; ++i) {
        ManualClock::advance(5s);
        auto lease = pool.try_acquire();
        ASSERT_TRUE(lease);
        // However long it is held, nothing happens to it.
        ManualClock::advance(1h);
        pool.sweep();
        EXPECT_EQ((*lease)->id(), 1u);
        EXPECT_EQ(this->connector.closed(), 0u);
    }
    ManualClock::advance(8s);
    pool.sweep();
    EXPECT_EQ(this->connector.closed(), 1u);
    expect_drained(pool, this->connector);
}

// rule 28
TYPED_TEST(PoolIdle, Rule28SweepingIsNoUse) {
    typename TestFixture::template Pool<> pool{
        this->never_run.get_executor(), this->connector, {.size = {.high = 1}, .idle = {.ttl = 8s}}};
    this->park(pool, 1);
    for (int i = 0; i != 8; ++i) {
        EXPECT_EQ(pool.stats().idle, 1u);
        ManualClock::advance(1s);
        pool.sweep();
    }
    EXPECT_EQ(pool.stats().idle, 0u);
    expect_drained(pool, this->connector);
}

// rule 29
TYPED_TEST(PoolIdle, Rule29MaxIdleCountsParkedOnesOnly) {
    typename TestFixture::template Pool<> pool{
        this->never_run.get_executor(), this->connector, {.size = {.high = 5}, .idle = {.max_idle = 2}}};
    std::vector<Lease<FakeConn>> leases;
    for (int i = 0; i != 5; ++i) leases.push_back(pool.acquire());
    EXPECT_EQ(pool.stats().leased, 5u) << "a bound on idle ones is none on leased ones";
    leases[0].release();
    leases[1].release();
    EXPECT_EQ(this->connector.closed(), 0u);
    leases[2].release();
    EXPECT_EQ(this->connector.close_order(), (Ids{3}));
    // Taking one makes room for another.
    auto taken = pool.acquire();
    leases[3].release();
    EXPECT_EQ(this->connector.closed(), 1u);
    taken.release();
    leases[4].release();
    EXPECT_EQ(pool.stats().idle, 2u);
    EXPECT_EQ(pool.stats().closed_excess, 3u);
    expect_drained(pool, this->connector);
}

// rule 29, rule 22
TYPED_TEST(PoolIdle, Rule29MaxIdle0StillServesAWaiter) {
    typename TestFixture::template Pool<> pool{
        this->never_run.get_executor(), this->connector, {.size = {.high = 1}, .idle = {.max_idle = 0}}};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    lease.release();
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 1u);
    served->release();
    EXPECT_EQ(pool.stats().closed_excess, 1u);
    expect_drained(pool, this->connector);
}

// rule 30
TYPED_TEST(PoolIdle, Rule30ASweepClosesTheColdestFirstAndAtMostHalf) {
    OnCpu const stay{0};
    typename TestFixture::template Pool<> pool{
        this->never_run.get_executor(), this->connector, {.size = {.high = 9}, .idle = {.ttl = 8s}}};
    NoRounds const alone{pool};
    this->park(pool, 9);
    ManualClock::advance(8s);
    pool.sweep();
    EXPECT_EQ(this->connector.close_order(), (Ids{1, 2, 3, 4}));
    pool.sweep();
    EXPECT_EQ(this->connector.close_order(), (Ids{1, 2, 3, 4, 5, 6}));
    pool.sweep();
    EXPECT_EQ(this->connector.close_order(), (Ids{1, 2, 3, 4, 5, 6, 7}));
    pool.sweep();
    EXPECT_EQ(this->connector.close_order(), (Ids{1, 2, 3, 4, 5, 6, 7, 8}));
    pool.sweep();
    EXPECT_EQ(this->connector.close_order(), (Ids{1, 2, 3, 4, 5, 6, 7, 8, 9}));
    pool.sweep();
    EXPECT_EQ(pool.stats().closed_idle, 9u);
    expect_drained(pool, this->connector);
}

// rule 30
TYPED_TEST(PoolIdle, Rule30ASweepLeavesOrderAndStampsOfTheOthersAlone) {
    OnCpu const stay{0};
    typename TestFixture::template Pool<> pool{
        this->never_run.get_executor(), this->connector, {.size = {.high = 6}, .idle = {.ttl = 8s}}};
    NoRounds const alone{pool};
    std::vector<Lease<FakeConn>> leases;
    for (int i = 0; i != 6; ++i) leases.push_back(pool.acquire());
    for (std::size_t i = 0; i != 3; ++i) leases[i].release();
    ManualClock::advance(5s);
    for (std::size_t i = 3; i != 6; ++i) leases[i].release();
    ManualClock::advance(3s);
    pool.sweep();
    EXPECT_EQ(this->connector.close_order(), (Ids{1, 2, 3}));

    Ids order;
    for (std::size_t i = 0; i != 3; ++i) {
        leases[i] = pool.acquire();
        order.push_back(leases[i]->id());
    }
    EXPECT_EQ(order, (is_queue<TypeParam> ? Ids{4, 5, 6} : Ids{6, 5, 4}));
    for (auto& lease : leases) lease.release();
    expect_drained(pool, this->connector);
}

// rule 30, rule 28
TYPED_TEST(PoolIdle, Rule30WhatASweepLeftExpiresAtItsOwnTime) {
    typename TestFixture::template Pool<> pool{
        this->never_run.get_executor(), this->connector, {.size = {.high = 4}, .idle = {.ttl = 8s}}};
    NoRounds const alone{pool};
    std::vector<Lease<FakeConn>> leases;
    for (int i = 0; i != 4; ++i) leases.push_back(pool.acquire());
    for (auto& lease : leases) {
        lease.release();
        ManualClock::advance(1s);
    }
    // Four seconds have passed; from now on one expires with each second from the eighth on.
    for (int second = 4; second != 13; ++second) {
        pool.sweep();
        auto const expired = std::max(0, std::min(4, second - 7));
        EXPECT_EQ(this->connector.closed(), static_cast<std::uint64_t>(expired)) << second;
        ManualClock::advance(1s);
    }
    EXPECT_EQ(this->connector.close_order(), (Ids{1, 2, 3, 4}));
    expect_drained(pool, this->connector);
}

// rule 30, rule 48
TYPED_TEST(PoolIdle, Rule30ASweepHoldsOffNoAcquire) {
    typename TestFixture::template Pool<> pool{
        this->never_run.get_executor(), this->connector, {.size = {.high = 4}, .idle = {.ttl = 8s}}};
    NoRounds const alone{pool};
    std::vector<Lease<FakeConn>> leases;
    for (int i = 0; i != 4; ++i) leases.push_back(pool.acquire());
    leases[0].release();
    leases[1].release();
    ManualClock::advance(5s);
    leases[2].release();
    leases[3].release();
    ManualClock::advance(3s);
    this->connector.gate(Hook::close, Gate::never);
    auto sweeping = std::async(std::launch::async, [&] { pool.sweep(); });
    EXPECT_TRUE(this->connector.await_blocked(Hook::close, 1));
    // The sweep stands still in the user's close. The two that are fresh can be had meanwhile.
    leases[2] = pool.acquire();
    leases[3] = pool.acquire();
    EXPECT_EQ(leases[2]->id() + leases[3]->id(), 7u);
    EXPECT_LE(pool.stats().open, 4u);
    EXPECT_GE(pool.stats().closing, 1u);
    this->connector.gate(Hook::close, Gate::ok);
    sweeping.get();
    EXPECT_EQ(pool.stats().open, 2u);
    leases.clear();
    expect_drained(pool, this->connector);
}

// rule 30, rule 11
TYPED_TEST(PoolIdle, Rule30WhoComesWhileASweepClosesIsServed) {
    typename TestFixture::template Pool<> pool{
        this->never_run.get_executor(), this->connector, {.size = {.high = 1}, .idle = {.ttl = 8s}}};
    this->park(pool, 1);
    ManualClock::advance(8s);
    this->connector.gate(Hook::close, Gate::never);
    auto sweeping = std::async(std::launch::async, [&] { pool.sweep(); });
    EXPECT_TRUE(this->connector.await_blocked(Hook::close, 1));
    auto waiter = wait_in_line(pool);
    this->connector.gate(Hook::close, Gate::ok);
    sweeping.get();
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 2u);
    served->release();
    expect_drained(pool, this->connector);
}

// rule 20, rule 28
TYPED_TEST(PoolIdle, Rule28ASweepThatClosesOpensNothing) {
    typename TestFixture::template Pool<> pool{
        this->never_run.get_executor(), this->connector, {.size = {.low = 2, .high = 4}, .idle = {.ttl = 8s}}};
    NoRounds const alone{pool};
    this->park(pool, 4);
    ManualClock::advance(8s);
    pool.sweep();
    pool.sweep();
    EXPECT_EQ(pool.stats().open, 2u);
    EXPECT_EQ(this->connector.calls(Hook::connect), 4u);
    expect_drained(pool, this->connector);
}

TEST(PoolIdleTimer, Rule28AnIdleOneIsClosedByItselfOnTheRealClock) {
    // rule 28
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 2}, .idle = {.ttl = 80ms}}};
    auto lease = pool.acquire();
    auto const returned = steady_clock::now();
    lease.release();
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_idle == 1; }));
    EXPECT_GE(steady_clock::now() - returned, 80ms) << "closed before its time";
    EXPECT_EQ(connector.closed(), 1u);
    expect_drained(pool, connector);
}

TEST(PoolIdleTimer, Rule28OnTheUsersExecutorToo) {
    // rule 28
    FakeConnector connector;
    boost::asio::io_context io;
    auto const work = boost::asio::make_work_guard(io);
    FakePool<> pool{io.get_executor(), connector, {.size = {.high = 2}, .idle = {.ttl = 20ms}}};
    pool.acquire().release();
    EXPECT_TRUE(eventually([&] {
        io.poll();
        return pool.stats().closed_idle == 1;
    }));
    EXPECT_EQ(connector.closed(), 1u);
    expect_drained(pool, connector);
}

TEST(PoolIdleTimer, Rule34NothingToSweepNoTimerArmed) {
    // rule 34: what runs on the context is counted. A pool with nothing idle runs nothing there.
    FakeConnector connector;
    boost::asio::io_context io;
    auto const work = boost::asio::make_work_guard(io);
    auto const handlers_in = [&](auto time) { return io.run_for(time); };
    FakePool<> pool{io.get_executor(), connector, {.size = {.high = 2}, .idle = {.ttl = 8ms}}};
    EXPECT_EQ(handlers_in(30ms), 0u);
    {
        auto const lease = pool.acquire();
        EXPECT_EQ(handlers_in(30ms), 0u) << "a leased one is nothing to sweep";
    }
    EXPECT_TRUE(eventually([&] {
        io.poll();
        return connector.closed() == 1;
    }));
    // What was under way comes to its end, then there is silence.
    EXPECT_TRUE(eventually([&] { return handlers_in(30ms) == 0; }, 5s));
    EXPECT_EQ(handlers_in(30ms), 0u);
    expect_drained(pool, connector);
}

TEST(PoolIdleTimer, Rule34NothingThatExpiresNoTimerArmed) {
    // rule 34
    FakeConnector connector;
    boost::asio::io_context io;
    auto const work = boost::asio::make_work_guard(io);
    FakePool<KeepIdle> pool{io.get_executor(), connector, {.size = {.high = 2}}};
    pool.acquire().release();
    EXPECT_EQ(io.run_for(30ms), 0u);
    EXPECT_EQ(pool.stats().idle, 1u);
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
