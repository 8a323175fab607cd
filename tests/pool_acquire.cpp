// What an acquire takes, in which order, and within which time.

#include "support/fake_pool.hpp"
#include "support/no_rounds.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <vector>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

using std::chrono::steady_clock;

template <class Store>
struct PoolAcquire : ::testing::Test {};
TYPED_TEST_SUITE(PoolAcquire, Stores);

// rule 1
TYPED_TEST(PoolAcquire, Rule1TakesAnIdleOneBeforeItOpensANewOne) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 2}}};
    pool.acquire().release();
    auto const first = pool.acquire();
    EXPECT_EQ(first->id(), 1u);
    EXPECT_EQ(connector.calls(Hook::connect), 1u);
    auto const second = pool.acquire();
    EXPECT_EQ(second->id(), 2u);
    EXPECT_EQ(connector.calls(Hook::connect), 2u);
}

// rule 1
TYPED_TEST(PoolAcquire, Rule1WaitsWhenThereIsNoRoom) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    EXPECT_EQ(connector.calls(Hook::connect), 1u) << "opened beyond high";
    lease.release();
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 1u);
    served->release();
    expect_drained(pool, connector);
}

// rule 4
TYPED_TEST(PoolAcquire, Rule4LendsTheLatestReturnedFirstAndAQueueRotates) {
    OnCpu const stay{0};
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 3}}};
    {
        auto a = pool.acquire();
        auto b = pool.acquire();
        auto c = pool.acquire();
        b.release();
        c.release();
        a.release();
    }
    std::vector<Lease<FakeConn>> leases;
    std::vector<std::uint64_t> order;
    for (int i = 0; i != 3; ++i) {
        leases.push_back(pool.acquire());
        order.push_back(leases.back()->id());
    }
    if constexpr (is_queue<TypeParam>) {
        EXPECT_EQ(order, (std::vector<std::uint64_t>{2, 3, 1}));
    } else {
        EXPECT_EQ(order, (std::vector<std::uint64_t>{1, 3, 2}));
    }
    leases.clear();
    expect_drained(pool, connector);
}

// rule 4, rule 28
TYPED_TEST(PoolAcquire, Rule4NeverLendsAnExpiredOneEvenIfTheSweepIsLate) {
    FakeConnector connector;
    boost::asio::io_context never_run;
    FakePool<TypeParam, testing::ManualClock> pool{
        never_run.get_executor(), connector, {.size = {.high = 3}, .idle = {.ttl = 10s}}};
    NoRounds const alone{pool};
    {
        auto const a = pool.acquire();
        auto const b = pool.acquire();
    }
    testing::ManualClock::advance(10s);
    auto lease = pool.acquire();
    EXPECT_EQ(lease->id(), 3u);
    EXPECT_EQ(connector.closed(), 2u) << "an expired one is closed and the next is tried";
    EXPECT_EQ(pool.stats().closed_idle, 2u);
    lease.release();
    expect_drained(pool, connector);
}

// rule 4, rule 27
TYPED_TEST(PoolAcquire, Rule4LendsWhatIsKeptAsLowHoweverOld) {
    FakeConnector connector;
    boost::asio::io_context never_run;
    FakePool<TypeParam, testing::ManualClock> pool{
        never_run.get_executor(), connector, {.size = {.low = 1, .high = 3}, .idle = {.ttl = 10s}}};
    pool.acquire().release();
    testing::ManualClock::advance(1h);
    EXPECT_EQ(pool.acquire()->id(), 1u);
    EXPECT_EQ(connector.closed(), 0u);
    expect_drained(pool, connector);
}

// rule 5
TYPED_TEST(PoolAcquire, Rule5LendsAnIdleOneThoughTheDeadlineIsPast) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector};
    pool.acquire().release();
    EXPECT_TRUE(pool.try_acquire_until(steady_clock::now() - 1h));
    EXPECT_TRUE(pool.try_acquire_for(0s));
    EXPECT_TRUE(pool.try_acquire_for(-1h));
    EXPECT_TRUE(pool.try_acquire_until(steady_clock::time_point::min()));
    EXPECT_EQ(connector.calls(Hook::connect), 1u);
    expect_drained(pool, connector);
}

// rule 5
TYPED_TEST(PoolAcquire, Rule5WithAPastDeadlineNeitherConnectsNorWaitsNorCountsAWait) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 1, .max_waiters = 0}}};
    auto const expect_refused = [&](auto const& result) {
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error(), Errc::timed_out);
        EXPECT_EQ(pool.stats().waited, 0u);
        EXPECT_EQ(pool.stats().connecting, 0u);
    };
    // With room, and without.
    expect_refused(pool.try_acquire_for(0s));
    expect_refused(pool.try_acquire_until(steady_clock::now() - 1s));
    expect_refused(pool.try_acquire_until(steady_clock::time_point::min()));
    EXPECT_EQ(connector.calls(Hook::connect), 0u);
    auto lease = pool.acquire();
    expect_refused(pool.try_acquire_for(0s));
    expect_refused(pool.try_acquire_for(-1s));
    lease.release();
    EXPECT_EQ(connector.calls(Hook::connect), 1u);
    expect_drained(pool, connector);
}

// rule 6
TYPED_TEST(PoolAcquire, Rule6TakesTheLongestTimesWithoutOverflow) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    auto forever =
        std::async(std::launch::async, [&] { return pool.try_acquire_for(steady_clock::duration::max()).has_value(); });
    EXPECT_TRUE(waiting(pool, 1));
    auto until_the_end = std::async(
        std::launch::async, [&] { return pool.try_acquire_until(steady_clock::time_point::max()).has_value(); });
    EXPECT_TRUE(waiting(pool, 2));
    lease.release();
    EXPECT_TRUE(forever.get());
    EXPECT_TRUE(until_the_end.get());
    expect_drained(pool, connector);
}

TEST(PoolAcquireTime, Rule6TheDeadlineIsAbsoluteAndNotReArmedByAFreedSlot) {
    // rule 6, rule 16
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    auto const begin = steady_clock::now();
    auto waiter = wait_in_line(pool, 1s);  // until when it has to be in line, and its connect to begin
    // The waiter goes from waiting for a return to waiting for a connect.
    connector.gate(Hook::connect, Gate::never);
    lease.discard();
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    auto const result = waiter.get();
    auto const took = steady_clock::now() - begin;
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), Errc::timed_out);
    EXPECT_GE(took, 1s);
    EXPECT_EQ(pool.stats().timed_out, 1u);
    // The connect goes on without it, and what it yields is kept.
    EXPECT_EQ(pool.stats().connecting, 1u);
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    expect_drained(pool, connector);
}

// rule 6
TEST(PoolAcquireTime, Rule6AcquireTakesItsTimeFromFifoAndItsErrorTellsWhy) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 2}, .wait = {.timeout = 200ms}}};
    connector.fail(Hook::connect, std::make_exception_ptr(std::runtime_error{"no route to it"}));
    connector.pass(Hook::connect, Gate::error);
    EXPECT_THROW((void)pool.try_acquire_for(generous), std::runtime_error);
    auto const a = pool.try_acquire_for(generous).value();
    auto const b = pool.try_acquire_for(generous).value();
    try {
        auto const lease = pool.acquire();
        FAIL() << "lent a third of two";
    } catch (boost::system::system_error const& error) {
        EXPECT_EQ(error.code(), Errc::timed_out);
        std::string const text = error.what();
        for (auto const* word : {"open", "idle", "leased", "waiting", "2", "no route to it"}) {
            EXPECT_NE(text.find(word), std::string::npos) << word << " is not in: " << text;
        }
    }
    EXPECT_EQ(pool.stats().timed_out, 1u);
    EXPECT_EQ(pool.stats().waiting, 0u);
}

// rule 7
TYPED_TEST(PoolAcquire, Rule7TryAcquireTakesAnIdleOne) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector};
    pool.acquire().release();
    auto const lease = pool.try_acquire();
    ASSERT_TRUE(lease);
    EXPECT_EQ((*lease)->id(), 1u);
}

// rule 7
TYPED_TEST(PoolAcquire, Rule7TryAcquireConnectsInTheBackgroundSoThatALaterTrySucceeds) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 1}}};
    connector.gate(Hook::connect, Gate::never);
    for (int i = 0; i != 3; ++i) {
        auto const result = pool.try_acquire();
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error(), Errc::exhausted);
    }
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    EXPECT_NE(connector.last_thread(Hook::connect), std::this_thread::get_id());
    EXPECT_EQ(pool.stats().connecting, 1u);
    EXPECT_EQ(pool.stats().waited, 0u);
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(eventually([&] { return pool.try_acquire().has_value(); }));
    EXPECT_EQ(connector.calls(Hook::connect), 1u);
    expect_drained(pool, connector);
}

// rule 7
TYPED_TEST(PoolAcquire, Rule7TryAcquireIsExhaustedWithoutRoomAndConnectsNothing) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    auto const result = pool.try_acquire();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), Errc::exhausted);
    lease.release();
    EXPECT_EQ(connector.calls(Hook::connect), 1u);
    expect_drained(pool, connector);
}

TEST(PoolAcquireBackground, Rule7AFailureBehindATryIsCountedAndKept) {
    // rule 7
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 1}}};
    auto const refused = make_error_code(boost::system::errc::connection_refused);
    connector.fail(Hook::connect, refused);
    connector.gate(Hook::connect, Gate::error);
    EXPECT_FALSE(pool.last_connect_failure());
    EXPECT_FALSE(pool.try_acquire());
    EXPECT_TRUE(eventually([&] { return pool.stats().connect_failed == 1; }));
    EXPECT_TRUE(eventually([&] { return pool.stats().open == 0; }));
    auto const failure = pool.last_connect_failure();
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->error, refused);
    EXPECT_LE(failure->when, steady_clock::now());
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(eventually([&] { return pool.try_acquire().has_value(); })) << "a lost slot";
    expect_drained(pool, connector);
}

TYPED_TEST(PoolAcquire, AcquireIdleTakesAllThatAreIdleNow) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 4}}};
    EXPECT_TRUE(pool.acquire_idle().empty());
    EXPECT_EQ(connector.calls(Hook::connect), 0u);
    auto held = pool.acquire();
    {
        auto const a = pool.acquire();
        auto const b = pool.acquire();
        auto const c = pool.acquire();
    }
    auto leases = pool.acquire_idle();
    ASSERT_EQ(leases.size(), 3u);
    for (auto const& lease : leases) {
        ASSERT_TRUE(lease);
        EXPECT_NE(lease->id(), held->id());
    }
    EXPECT_EQ(pool.stats().idle, 0u);
    EXPECT_EQ(pool.stats().leased, 4u);
    EXPECT_EQ(connector.calls(Hook::connect), 4u);
    leases.clear();
    EXPECT_EQ(pool.stats().idle, 3u);
    held.release();
    expect_drained(pool, connector);
}

// rule 4
TYPED_TEST(PoolAcquire, Rule4AcquireIdleHandsOutNoExpiredOneEither) {
    FakeConnector connector;
    boost::asio::io_context never_run;
    FakePool<TypeParam, testing::ManualClock> pool{
        never_run.get_executor(), connector, {.size = {.high = 3}, .idle = {.ttl = 10s}}};
    NoRounds const alone{pool};
    {
        auto const a = pool.acquire();
        auto const b = pool.acquire();
        auto const c = pool.acquire();
    }
    testing::ManualClock::advance(5s);
    pool.acquire().release();
    testing::ManualClock::advance(5s);
    EXPECT_EQ(pool.acquire_idle().size(), 1u);
    EXPECT_EQ(pool.stats().closed_idle, 2u);
    EXPECT_EQ(connector.closed(), 2u);
    expect_drained(pool, connector);
}

TEST(PoolAcquireClosed, EveryKindOfAcquireFailsWithClosed) {
    FakeConnector connector;
    FakePool<> pool{connector};
    EXPECT_FALSE(pool.closed());
    EXPECT_TRUE(pool.close());
    EXPECT_TRUE(pool.closed());
    EXPECT_EQ(pool.try_acquire().error(), Errc::closed);
    EXPECT_EQ(pool.try_acquire_for(1s).error(), Errc::closed);
    EXPECT_EQ(pool.try_acquire_for(0s).error(), Errc::closed);
    try {
        auto const lease = pool.acquire();
        FAIL() << "a closed pool lent something";
    } catch (boost::system::system_error const& error) {
        EXPECT_EQ(error.code(), Errc::closed);
    }
    EXPECT_TRUE(pool.acquire_idle().empty());
    EXPECT_EQ(connector.calls(Hook::connect), 0u);
}

}  // namespace
}  // namespace weir::test
