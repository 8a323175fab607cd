// The bound on what is open, changed under way: smaller, larger, none at all.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <future>
#include <gtest/gtest.h>
#include <vector>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

template <class Store>
struct PoolResize : ::testing::Test {
    FakeConnector connector;
    FakePool<Store> pool{connector, {.size = {.high = 4}}};

    std::vector<Lease<FakeConn>> take(std::size_t count) {
        std::vector<Lease<FakeConn>> leases;
        while (leases.size() < count) leases.push_back(pool.acquire());
        return leases;
    }
};
TYPED_TEST_SUITE(PoolResize, Stores);

// rule 36
TYPED_TEST(PoolResize, Rule36SmallerClosesTheSurplusOfTheIdleNowAndTheColdestFirst) {
    OnCpu const stay{0};  // between processors they are as cold as each other
    {
        auto leases = this->take(4);
        for (auto& lease : leases) lease.release();  // 1 is the coldest
    }
    EXPECT_TRUE(this->pool.resize(2));
    EXPECT_EQ(this->connector.close_order(), (std::vector<std::uint64_t>{1, 2}));
    EXPECT_EQ(this->pool.stats().closed_excess, 2u);
    EXPECT_EQ(this->pool.stats().idle, 2u);
    EXPECT_EQ(this->pool.stats().high, 2u);
    expect_drained(this->pool, this->connector);
}

// rule 36
TYPED_TEST(PoolResize, Rule36SmallerClosesLeasesWhenTheyComeBackAndNeverServesAWaiterWithThem) {
    auto leases = this->take(3);
    EXPECT_FALSE(this->pool.resize(1)) << "three are out";
    auto waiter = wait_in_line(this->pool);
    leases[0].release();
    leases[1].release();
    EXPECT_EQ(this->pool.stats().waiting, 1u) << "given one that is one too many";
    EXPECT_EQ(this->pool.stats().closed_excess, 2u);
    leases[2].release();
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 3u);
    served->release();
    EXPECT_EQ(this->pool.stats().idle, 1u);
    expect_drained(this->pool, this->connector);
}

// rule 36
TYPED_TEST(PoolResize, Rule36SmallerCompletesAlthoughOthersWait) {
    auto leases = this->take(2);
    auto waiter = std::async(std::launch::async, [&] { return this->pool.resize(1, generous); });
    EXPECT_TRUE(eventually([&] { return this->pool.stats().high == 1; }));
    auto acquirer = wait_in_line(this->pool);
    leases[0].release();
    EXPECT_TRUE(waiter.get()) << "it waits behind an acquire";
    EXPECT_EQ(this->pool.stats().waiting, 1u);
    leases[1].release();
    EXPECT_TRUE(acquirer.get());
    expect_drained(this->pool, this->connector);
}

// rule 36
TYPED_TEST(PoolResize, Rule36LargerServesAsManyAsThereIsNewRoomForWithoutAReturn) {
    auto const leases = this->take(4);
    std::vector<std::future<Pool<FakeConn>::result<Lease<FakeConn>>>> waiters;
    for (int i = 0; i != 4; ++i) waiters.push_back(wait_in_line(this->pool));
    EXPECT_TRUE(this->pool.resize(7));
    EXPECT_TRUE(waiting(this->pool, 1));
    EXPECT_TRUE(eventually([&] { return this->pool.stats().leased == 7; }));
    EXPECT_TRUE(this->pool.resize(8));
    std::vector<Pool<FakeConn>::result<Lease<FakeConn>>> served;  // kept, so that nobody is served by a return
    for (auto& waiter : waiters) EXPECT_TRUE(served.emplace_back(waiter.get()));
    EXPECT_EQ(this->connector.opened(), 8u);
}

// rule 36
TYPED_TEST(PoolResize, Rule36TheBoundIsTheLastOnesAndEachReportsAgainstTheBoundInForce) {
    auto leases = this->take(4);
    auto smaller = std::async(std::launch::async, [&] { return this->pool.resize(1, generous); });
    EXPECT_TRUE(eventually([&] { return this->pool.stats().high == 1; }));
    EXPECT_TRUE(this->pool.resize(4)) << "behind another's drain";
    EXPECT_TRUE(smaller.get()) << "four are open and may be";
    EXPECT_EQ(this->pool.stats().closed_excess, 0u);
    leases.clear();
    EXPECT_EQ(this->pool.stats().idle, 4u);
    expect_drained(this->pool, this->connector);
}

// rule 37
TYPED_TEST(PoolResize, Rule37ZeroPausesAndALaterResizeResumes) {
    {
        auto leases = this->take(2);
        leases[0].release();
        EXPECT_FALSE(this->pool.resize(0));
        EXPECT_EQ(this->pool.stats().idle, 0u);
    }
    EXPECT_EQ(this->pool.stats().open, 0u);
    EXPECT_TRUE(this->pool.resize(0));
    EXPECT_FALSE(this->pool.closed());
    EXPECT_EQ(this->pool.try_acquire().error(), Errc::exhausted);
    EXPECT_EQ(this->pool.try_acquire_for(20ms).error(), Errc::timed_out);
    auto waiter = wait_in_line(this->pool);
    EXPECT_EQ(this->connector.opened(), 2u);
    EXPECT_TRUE(this->pool.resize(3));
    EXPECT_TRUE(waiter.get());
    EXPECT_TRUE(this->pool.acquire());
    expect_drained(this->pool, this->connector);
}

// rule 37
TYPED_TEST(PoolResize, Rule37WhatIsBeingOpenedIsNotHandedOutByAPausedPool) {
    this->connector.gate(Hook::connect, Gate::never);
    auto here = acquire_elsewhere(this->pool);  // opens on its own thread
    EXPECT_TRUE(this->connector.await_blocked(Hook::connect, 1));
    EXPECT_FALSE(this->pool.try_acquire());  // has one opened in the background
    EXPECT_TRUE(this->connector.await_blocked(Hook::connect, 2));
    EXPECT_FALSE(this->pool.resize(0));
    this->connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(waiting(this->pool, 1));
    EXPECT_TRUE(this->pool.resize(0, generous));
    EXPECT_EQ(this->pool.stats().closed_excess, 2u);
    EXPECT_EQ(this->pool.stats().acquired, 0u);
    EXPECT_TRUE(this->pool.resize(1));
    EXPECT_TRUE(here.get());
    expect_drained(this->pool, this->connector);
}

// rule 37
TYPED_TEST(PoolResize, Rule37AClosedPoolThrowsAndChangesNothing) {
    EXPECT_TRUE(this->pool.close());
    try {
        this->pool.resize(9);
        FAIL() << "resized a closed pool";
    } catch (boost::system::system_error const& error) {
        EXPECT_EQ(error.code(), Errc::closed);
    }
    EXPECT_EQ(this->pool.stats().high, 4u);
}

// rule 27, rule 28: what was kept for ever below `low` ages once `low` counts for less.
TEST(PoolResizeLow, TheLowMarkIsNeverAboveTheBound) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.low = 2, .high = 2}}};
    {
        auto const a = pool.acquire();
        auto const b = pool.acquire();
    }
    EXPECT_TRUE(pool.resize(1));
    EXPECT_EQ(pool.stats().idle, 1u);
    EXPECT_TRUE(pool.resize(2));
    expect_drained(pool, connector);
}

// ---- async

struct AsyncResize : ::testing::Test {
    FakeConnector connector;
    asio::io_context io;
    FakePool<> pool{io.get_executor(), connector, {.size = {.high = 2}}};
    int calls = 0;
    error_code got;

    auto handler() {
        return [this](error_code ec) {
            ++calls;
            got = ec;
        };
    }
    void run() {
        io.restart();
        io.run();
    }
};

// rule 36, rule 44
TEST_F(AsyncResize, Rule36CompletesWhenNoMoreAreOpenThanMayBe) {
    auto a = pool.acquire();
    auto b = pool.acquire();
    pool.async_resize(1, handler());
    EXPECT_EQ(pool.stats().high, 1u);
    io.poll();
    EXPECT_EQ(calls, 0);
    a.release();
    run();
    EXPECT_EQ(calls, 1);
    EXPECT_FALSE(got);
    b.release();
    EXPECT_EQ(pool.stats().idle, 1u);
    expect_drained(pool, connector);
}

// rule 44
TEST_F(AsyncResize, Rule44NeverCompletesInsideAndAlsoWhenThereIsNothingToWaitFor) {
    pool.async_resize(5, handler());
    EXPECT_EQ(calls, 0);
    run();
    EXPECT_EQ(calls, 1);
    EXPECT_FALSE(got);
    expect_drained(pool, connector);
}

// rule 36, rule 44
TEST_F(AsyncResize, Rule44CancellingEndsTheWaitAndTheBoundStands) {
    auto a = pool.acquire();
    auto const b = pool.acquire();
    asio::cancellation_signal cancel;
    pool.async_resize(1, asio::bind_cancellation_slot(cancel.slot(), handler()));
    cancel.emit(asio::cancellation_type::terminal);
    run();
    EXPECT_EQ(got, asio::error::operation_aborted);
    EXPECT_EQ(pool.stats().high, 1u);
    EXPECT_EQ(pool.stats().cancelled, 0u) << "no acquire was";
    a.release();
    EXPECT_EQ(pool.stats().closed_excess, 1u);
}

TEST_F(AsyncResize, AtTheDeadlineItCompletesWithTimedOutAndTheBoundStands) {
    auto a = pool.acquire();
    pool.async_resize_for(0, 5ms, handler());
    run();
    EXPECT_EQ(got, Errc::timed_out);
    EXPECT_EQ(pool.stats().high, 0u);
    EXPECT_EQ(pool.stats().timed_out, 0u) << "no acquire was";
    a.release();
    expect_drained(pool, connector);
}

// rule 37
TEST_F(AsyncResize, Rule37OnAClosedPoolItCompletesWithClosed) {
    EXPECT_TRUE(pool.close());
    pool.async_resize(5, handler());
    run();
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(got, Errc::closed);
    EXPECT_EQ(pool.stats().high, 2u);
}

// rule 42
TEST_F(AsyncResize, Rule42ACloseEndsIt) {
    auto lease = pool.acquire();
    pool.async_resize(0, handler());
    EXPECT_FALSE(pool.close(0s));
    run();
    EXPECT_EQ(got, Errc::closed);
    lease.release();
    expect_drained(pool, connector);
}

// rule 8, rule 36: what was opened for him is one too many by now, so he would have to wait.
TEST_F(AsyncResize, Rule8WhoseConnectIsOneTooManyIsRejectedWhereNoMoreMayWait) {
    FakePool<> strict{io.get_executor(), connector, {.size = {.high = 1, .max_waiters = 0}}};
    connector.gate(Hook::connect, Gate::never);
    strict.async_acquire_for(generous, [&](error_code ec, Lease<FakeConn>) { handler()(ec); });
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    EXPECT_FALSE(strict.resize(0));
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(eventually([&] { return strict.stats().closed_excess == 1; }));
    EXPECT_EQ(strict.stats().waiting, 0u);
    EXPECT_EQ(strict.stats().rejected, 1u);
    EXPECT_EQ(strict.stats().waited, 0u);
    EXPECT_TRUE(strict.resize(1));
    io.run_for(generous);
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(got, Errc::too_many_waiters);
    expect_drained(strict, connector);
}

}  // namespace
}  // namespace weir::test
