// The numbers: consistent at every moment, one cause for every close, and the same story told to an observer.

#include "support/fake_pool.hpp"
#include "support/no_rounds.hpp"
#include "support/ownership.hpp"
#include "support/recorder.hpp"
#include "support/waiters.hpp"

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <future>
#include <gtest/gtest.h>
#include <limits>
#include <thread>
#include <vector>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::steady_clock;

template <class Store>
struct PoolCounting : ::testing::Test {};
TYPED_TEST_SUITE(PoolCounting, Stores);

// rule 50
TEST(PoolCountingWaits, Rule50ANewPoolHasNothingAndHasDoneNothing) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.low = 2, .high = 7}}};
    auto const stats = pool.stats();
    EXPECT_EQ(stats.high, 7u);
    EXPECT_EQ(stats.open, 0u);
    EXPECT_EQ(stats.acquired, 0u);
    EXPECT_EQ(stats.connected, 0u);
    EXPECT_EQ(stats.waited, 0u);
    EXPECT_EQ(closes(stats) + stats.detached, 0u);
    EXPECT_EQ(stats.wait_time, 0s);
    EXPECT_EQ(stats.connect_time, 0s);
}

// rule 50
TYPED_TEST(PoolCounting, Rule50GaugesTellWhereEachResourceIs) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 4}}};
    auto leased = pool.acquire();
    pool.acquire().release();
    auto closing = pool.acquire();
    auto detached = pool.acquire();
    connector.gate(Hook::connect, Gate::never);
    connector.gate(Hook::close, Gate::never);
    auto opener = acquire_elsewhere(pool);
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    std::thread closer{[&] { closing.discard(); }};
    EXPECT_TRUE(connector.await_blocked(Hook::close, 1));
    auto const stats = pool.stats();
    EXPECT_EQ(stats.open, 4u);
    EXPECT_EQ(stats.connecting, 1u);
    EXPECT_EQ(stats.leased, 2u);
    EXPECT_EQ(stats.closing, 1u);
    EXPECT_EQ(stats.idle, 0u);
    expect_consistent(stats);
    connector.gate(Hook::connect, Gate::ok);
    connector.gate(Hook::close, Gate::ok);
    closer.join();
    EXPECT_TRUE(opener.get());
    EXPECT_EQ(pool.stats().idle, 1u);
    leased.release();
    detached.release();
    expect_drained(pool, connector);
}

// rule 50
TYPED_TEST(PoolCounting, Rule50EveryAcquireIsCountedOnce) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector, {.size = {.high = 1}}};
    for (int i = 0; i != 10; ++i) pool.acquire().release();
    EXPECT_EQ(pool.stats().acquired, 10u);
    { auto const lease = pool.try_acquire(); }
    { auto const lease = pool.try_acquire_for(1s); }
    { auto const leases = pool.acquire_idle(); }
    EXPECT_EQ(pool.stats().acquired, 13u);
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    EXPECT_EQ(pool.stats().acquired, 14u);
    lease.release();
    (void)waiter.get();
    auto const stats = pool.stats();
    EXPECT_EQ(stats.acquired, 15u);
    EXPECT_EQ(stats.connected, 1u);
    EXPECT_EQ(stats.waited, 1u);
    expect_drained(pool, connector);
}

// rule 50
TEST(PoolCountingWaits, Rule50AWaitIsCountedWhenItBeginsAndItsTimeWhateverItsOutcome) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    EXPECT_EQ(pool.stats().waited, 1u);
    lease.release();
    lease = waiter.get().value();
    auto const after_success = pool.stats().wait_time;
    EXPECT_GT(after_success, 0s);
    // Who is held up on his way into line waits for less than his time, or, when it is over by then, not at all.
    std::uint64_t timeouts = 0;
    steady_clock::duration least{};
    for (; pool.stats().waited == 1; ++timeouts) {
        auto const deadline = steady_clock::now() + 30ms;
        auto late = std::async(std::launch::async, [&] { return pool.try_acquire_until(deadline).has_value(); });
        while (pool.stats().waited == 1 && steady_clock::now() < deadline) std::this_thread::yield();
        least = deadline - steady_clock::now();
        EXPECT_FALSE(late.get());
    }
    EXPECT_GE(pool.stats().wait_time, after_success + least);
    EXPECT_EQ(pool.stats().waited, 2u);
    EXPECT_EQ(pool.stats().timed_out, timeouts);
    lease.release();
    expect_drained(pool, connector);
}

// rule 50
TEST(PoolCountingWaits, Rule50ACancelledWaitIsCountedAsThatAndItsTimeToo) {
    FakeConnector connector;
    asio::io_context io;
    FakePool<> pool{io.get_executor(), connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    asio::cancellation_signal cancel;
    pool.async_acquire(asio::bind_cancellation_slot(cancel.slot(), [](error_code, Lease<FakeConn>) {}));
    EXPECT_EQ(pool.stats().waited, 1u);
    std::this_thread::sleep_for(2ms);
    cancel.emit(asio::cancellation_type::terminal);
    io.run();
    auto const stats = pool.stats();
    EXPECT_EQ(stats.cancelled, 1u);
    EXPECT_EQ(stats.timed_out, 0u);
    EXPECT_EQ(stats.acquired, 1u);
    EXPECT_GE(stats.wait_time, 2ms);
    lease.release();
    expect_drained(pool, connector);
}

// rule 50
TEST(PoolCountingWaits, Rule50ConnectTimeIsTheSumOfConnects) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 2}}};
    connector.delay(10ms);
    connector.gate(Hook::connect, Gate::slow);
    auto const a = pool.acquire();
    auto const b = pool.acquire();
    EXPECT_GE(pool.stats().connect_time, 20ms);
    EXPECT_EQ(pool.stats().connected, 2u);
    EXPECT_EQ(pool.stats().wait_time, 0s) << "connecting is not waiting";
}

// rule 50
TYPED_TEST(PoolCounting, Rule50EveryCloseHasExactlyOneCause) {
    FakeConnector connector;
    asio::io_context never_run;
    FakePool<TypeParam, testing::ManualClock> pool{
        never_run.get_executor(), connector, {.size = {.high = 4}, .idle = {.ttl = 8s, .max_idle = 1}}};
    NoRounds const alone{pool};
    // Unhealthy and discarded: the first of the two in the order of a return is what counts.
    auto spoiled = pool.acquire();
    spoiled->spoil();
    spoiled.discard();
    EXPECT_EQ(pool.stats().closed_discarded, 1u);
    auto unhealthy = pool.acquire();
    unhealthy->spoil();
    unhealthy.release();
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    {
        auto const a = pool.acquire();
        auto const b = pool.acquire();
    }
    EXPECT_EQ(pool.stats().closed_excess, 1u);
    testing::ManualClock::advance(8s);
    pool.sweep();
    EXPECT_EQ(pool.stats().closed_idle, 1u);
    auto detached = pool.acquire();
    auto conn = detached.detach();
    connector.close(conn);
    EXPECT_EQ(pool.stats().detached, 1u);
    // Anything after closing began is drained, whatever else it is.
    auto late = pool.acquire();
    auto later = pool.acquire();
    pool.acquire().release();
    EXPECT_FALSE(pool.close(0s));
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_drained == 1; }));  // by a worker
    late.discard();
    later->spoil();
    later.release();
    auto const stats = pool.stats();
    EXPECT_EQ(stats.closed_drained, 3u);
    EXPECT_EQ(closes(stats), 7u);
    EXPECT_EQ(stats.connected, 8u);
    EXPECT_EQ(stats.closed_age + stats.closed_stale, 0u);
}

// rule 50, rule Z
TYPED_TEST(PoolCounting, Rule50SnapshotsAreConsistentUnderLoad) {
    FakeConnector connector;
    FakePool<TypeParam> pool{connector.only_connect(), {.size = {.low = 1, .high = 3}}};
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> lent{0};
    std::vector<std::thread> threads;
    for (int i = 0; i != 3; ++i) {
        threads.emplace_back([&, i] {
            for (int round = 0; !stop; ++round) {
                auto lease = pool.try_acquire_for(i == 0 ? 1us : 1s);
                if (!lease) continue;
                ++lent;
                if (round % 16 == i) lease->discard();
            }
        });
    }
    std::uint64_t acquired = 0;
    for (int i = 0; i != 2000; ++i) {
        auto const stats = pool.stats();
        expect_consistent(stats);
        EXPECT_GE(stats.acquired, acquired) << "a counter ran backwards";
        EXPECT_GE(stats.connected, closes(stats));
        acquired = stats.acquired;
        if (::testing::Test::HasFailure()) break;
    }
    stop = true;
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(pool.stats().acquired, lent);
    EXPECT_LE(connector.max_open(), 3u);
    expect_drained(pool, connector);
}

// rule 50
TEST(PoolCountingUnbounded, UnboundedTellsAHighBeyondReach) {
    FakeConnector connector;
    FakePool<Unbounded> pool{connector};
    std::vector<Lease<FakeConn>> leases;
    for (int i = 0; i != 50; ++i) leases.push_back(pool.acquire());
    EXPECT_GE(pool.stats().high, 50u);
    EXPECT_EQ(pool.stats().open, 50u);
    EXPECT_EQ(pool.stats().waited, 0u);
    leases.clear();
    expect_drained(pool, connector);
}

// ---- observers

// rule 50
TEST(PoolObserved, AnObserverIsToldOfEverythingThatIsCounted) {
    FakeConnector connector;
    Recorder recorder;
    FakePool<Recorder> pool{connector, {.size = {.high = 1, .max_waiters = 1}, .observer = recorder}};
    connector.pass(Hook::connect, Gate::error);
    EXPECT_FALSE(pool.try_acquire_for(generous));
    EXPECT_EQ(recorder.told("connect_failed"), 1);

    connector.delay(5ms);
    connector.pass(Hook::connect, Gate::slow);
    auto lease = pool.acquire();
    EXPECT_EQ(recorder.told("connected"), 1);
    EXPECT_EQ(recorder.told("acquired"), 1);
    EXPECT_GE(recorder.last("connected"), 5ms);

    EXPECT_FALSE(pool.try_acquire_for(5ms));
    EXPECT_EQ(recorder.told("timed_out"), 1);

    auto waiter = wait_in_line(pool);
    EXPECT_FALSE(pool.try_acquire_for(generous));
    EXPECT_EQ(recorder.told("rejected"), 1);

    std::this_thread::sleep_for(2ms);
    lease.release();
    EXPECT_EQ(recorder.told("released"), 1);
    EXPECT_GE(recorder.last("released"), 7ms);
    auto given = waiter.get();
    ASSERT_TRUE(given);
    EXPECT_EQ(recorder.told("acquired"), 2);
    EXPECT_GE(recorder.last("acquired"), 2ms);

    given->discard();
    EXPECT_EQ(recorder.causes(), (std::vector<Cause>{Cause::discarded}));
    pool.acquire().release();
    expect_drained(pool, connector);
    EXPECT_EQ(recorder.causes(), (std::vector<Cause>{Cause::discarded, Cause::drained}));
    EXPECT_EQ(recorder.told("overdue") + recorder.told("returned_overdue"), 0);
}

// rule 50
TEST(PoolObserved, ClosesAreToldWithTheCauseThatIsCounted) {
    FakeConnector connector;
    Recorder recorder;
    FakePool<Recorder, DropIdle> pool{connector, {.observer = recorder}};
    pool.acquire().release();
    auto lease = pool.acquire();
    lease->spoil();
    lease.release();
    EXPECT_EQ(recorder.causes(), (std::vector<Cause>{Cause::idle, Cause::unhealthy}));
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
