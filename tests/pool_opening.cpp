// Opening: how many at once, for whom, and who is told when it fails.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/stack_depth.hpp"
#include "support/waiters.hpp"

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <gtest/gtest.h>
#include <latch>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
namespace errc = boost::system::errc;

/// An async acquire, and what became of it.
struct Outcome {
    int calls = 0;
    error_code ec;
    Lease<FakeConn> lease;

    auto handler() {
        return [this](error_code result, Lease<FakeConn> given) {
            ++calls;
            ec = result;
            lease = std::move(given);
        };
    }
};

/// A pool whose context the test runs by hand, so that what happens between two runs is known.
struct PoolOpening : ::testing::Test {
    FakeConnector connector;
    asio::io_context io;

    using Pool = FakePool<>;

    [[nodiscard]] bool run_until(std::function<bool()> const& done, std::chrono::seconds patience = 30s) {
        return eventually(
            [&] {
                io.restart();
                io.poll();
                return done();
            },
            patience);
    }
};

// rule 15
TEST_F(PoolOpening, Rule15TenAcquiresWithHighTwoRunTheConnectorTwice) {
    Pool pool{connector, {.size = {.high = 2}}};
    connector.gate(Hook::connect, Gate::never);
    std::vector<std::future<bool>> threads;
    for (int i = 0; i != 10; ++i) {
        threads.push_back(std::async(std::launch::async, [&] { return pool.try_acquire_for(generous).has_value(); }));
    }
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 2));
    EXPECT_TRUE(waiting(pool, 8));
    EXPECT_EQ(connector.calls(Hook::connect), 2u);
    EXPECT_EQ(pool.stats().connecting, 2u);
    EXPECT_EQ(pool.stats().open, 2u);
    connector.gate(Hook::connect, Gate::ok);
    for (auto& thread : threads) EXPECT_TRUE(thread.get());
    EXPECT_EQ(connector.calls(Hook::connect), 2u);
    EXPECT_EQ(connector.max_open(), 2u);
    expect_drained(pool, connector);
}

// rule 15
TEST_F(PoolOpening, Rule15TheSlotIsReservedBeforeTheConnectorRuns) {
    Stats inside;
    std::function<Stats()> look;
    FakePool<> pool{[this, &look, &inside] {
                        inside = look();
                        return connector.connect();
                    },
                    {.size = {.high = 3}}};
    look = [&] { return pool.stats(); };
    auto const lease = pool.acquire();
    EXPECT_EQ(inside.connecting, 1u);
    EXPECT_EQ(inside.open, 1u);
}

// rule 16
TEST_F(PoolOpening, Rule16WhatComesFirstGoesToTheFrontOfTheLine) {
    Pool pool{io.get_executor(), connector, {.size = {.high = 2}}};
    auto lease = pool.acquire();
    connector.gate(Hook::connect, Gate::never);
    Outcome first;
    pool.async_acquire(first.handler());
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    EXPECT_EQ(pool.stats().waiting, 0u) << "its own connect is in flight";
    Outcome second;
    pool.async_acquire(second.handler());
    EXPECT_EQ(pool.stats().waiting, 1u);
    // A return comes before the connect ends: it is for the first, and the connect for the second.
    lease.release();
    EXPECT_TRUE(run_until([&] { return first.calls == 1; }));
    ASSERT_TRUE(first.lease);
    EXPECT_EQ(first.lease->id(), 1u);
    EXPECT_EQ(second.calls, 0);
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(run_until([&] { return second.calls == 1; }));
    ASSERT_TRUE(second.lease);
    EXPECT_EQ(second.lease->id(), 2u);
    EXPECT_EQ(connector.calls(Hook::connect), 2u);
    first.lease.release();
    second.lease.release();
    expect_drained(pool, connector);
}

// rule 16
TEST_F(PoolOpening, Rule16WhatNobodyNeedsBecomesIdle) {
    Pool pool{io.get_executor(), connector, {.size = {.high = 2}}};
    auto lease = pool.acquire();
    connector.gate(Hook::connect, Gate::never);
    Outcome outcome;
    pool.async_acquire(outcome.handler());
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    lease.release();
    EXPECT_TRUE(run_until([&] { return outcome.calls == 1; }));
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    EXPECT_EQ(pool.stats().leased, 1u);
    outcome.lease.release();
    expect_drained(pool, connector);
}

// rule 17
TEST_F(PoolOpening, Rule17CancellingWhileItConnectsFreesTheCallerNotTheSlot) {
    Pool pool{io.get_executor(), connector, {.size = {.high = 1}}};
    connector.gate(Hook::connect, Gate::never);
    asio::cancellation_signal cancel;
    Outcome outcome;
    pool.async_acquire(asio::bind_cancellation_slot(cancel.slot(), outcome.handler()));
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    cancel.emit(asio::cancellation_type::terminal);
    EXPECT_TRUE(run_until([&] { return outcome.calls == 1; }));
    EXPECT_EQ(outcome.ec, asio::error::operation_aborted);
    EXPECT_EQ(pool.stats().connecting, 1u);
    EXPECT_EQ(pool.stats().cancelled, 1u);
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    EXPECT_EQ(outcome.calls, 1);
    expect_drained(pool, connector);
}

// rule 17
TEST_F(PoolOpening, Rule17TheResultOfALeftConnectGoesToTheNextWaiter) {
    Pool pool{io.get_executor(), connector, {.size = {.high = 1}}};
    connector.gate(Hook::connect, Gate::never);
    asio::cancellation_signal cancel;
    Outcome left;
    pool.async_acquire(asio::bind_cancellation_slot(cancel.slot(), left.handler()));
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    Outcome next;
    pool.async_acquire(next.handler());
    cancel.emit(asio::cancellation_type::terminal);
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(run_until([&] { return next.calls == 1 && left.calls == 1; }));
    ASSERT_TRUE(next.lease);
    EXPECT_EQ(next.lease->id(), 1u);
    EXPECT_FALSE(left.lease);
    EXPECT_EQ(connector.calls(Hook::connect), 1u);
    next.lease.release();
    expect_drained(pool, connector);
}

// rule 6, rule 17
TEST_F(PoolOpening, Rule17ATimeoutWhileItConnectsFreesTheCallerNotTheSlot) {
    Pool pool{io.get_executor(), connector, {.size = {.high = 1}}};
    connector.gate(Hook::connect, Gate::never);
    Outcome outcome;
    pool.async_acquire_for(100ms, outcome.handler());
    EXPECT_TRUE(run_until([&] { return outcome.calls == 1; }));
    EXPECT_EQ(outcome.ec, Errc::timed_out);
    EXPECT_EQ(pool.stats().connecting, 1u);
    EXPECT_EQ(pool.stats().waited, 0u);
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    expect_drained(pool, connector);
}

// rule 18
TEST_F(PoolOpening, Rule18EachWaiterGetsAnAttemptAndAnErrorOfItsOwn) {
    Pool pool{io.get_executor(), connector, {.size = {.high = 1}}};
    connector.gate(Hook::connect, Gate::never);
    Outcome first;
    Outcome second;
    Outcome third;
    for (auto* outcome : {&first, &second, &third}) pool.async_acquire(outcome->handler());

    auto const one = errc::make_error_code(errc::connection_refused);
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    connector.fail(Hook::connect, one);
    connector.pass(Hook::connect, Gate::error);
    EXPECT_TRUE(run_until([&] { return first.calls == 1; }));
    EXPECT_EQ(first.ec, one);
    EXPECT_EQ(second.calls + third.calls, 0);

    auto const two = errc::make_error_code(errc::host_unreachable);
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1)) << "the slot was not handed on";
    connector.fail(Hook::connect, two);
    connector.pass(Hook::connect, Gate::error);
    EXPECT_TRUE(run_until([&] { return second.calls == 1; }));
    EXPECT_EQ(second.ec, two);
    EXPECT_EQ(third.calls, 0);

    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(run_until([&] { return third.calls == 1; }));
    EXPECT_TRUE(third.lease);
    EXPECT_EQ(connector.calls(Hook::connect), 3u);
    EXPECT_EQ(pool.stats().connect_failed, 2u);
    third.lease.release();
    expect_drained(pool, connector);
}

// rule 18
TEST_F(PoolOpening, Rule18AnAttemptWhoseOwnerWasServedAnswersNobodyWhenItFails) {
    Pool pool{io.get_executor(), connector, {.size = {.high = 2}}};
    auto lease = pool.acquire();
    connector.gate(Hook::connect, Gate::never);
    Outcome owner;
    pool.async_acquire(owner.handler());
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    Outcome next;
    pool.async_acquire(next.handler());
    lease.release();
    EXPECT_TRUE(run_until([&] { return owner.calls == 1; }));
    connector.pass(Hook::connect, Gate::error);
    // The next gets an attempt of its own instead of another's error.
    EXPECT_TRUE(eventually([&] { return connector.calls(Hook::connect) == 3; }));
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    io.restart();
    io.poll();
    EXPECT_EQ(next.calls, 0);
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(run_until([&] { return next.calls == 1; }));
    EXPECT_TRUE(next.lease);
    owner.lease.release();
    next.lease.release();
    expect_drained(pool, connector);
}

// rule 18
TEST_F(PoolOpening, Rule18AnAttemptWhoseOwnerHasLeftAnswersNobodyWhenItFails) {
    Pool pool{io.get_executor(), connector, {.size = {.high = 1}}};
    connector.gate(Hook::connect, Gate::never);
    asio::cancellation_signal leave;
    Outcome owner;
    pool.async_acquire(asio::bind_cancellation_slot(leave.slot(), owner.handler()));
    Outcome next;
    pool.async_acquire(next.handler());  // in line before the owner leaves, or it would adopt the attempt
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    leave.emit(asio::cancellation_type::terminal);
    EXPECT_TRUE(run_until([&] { return owner.calls == 1; }));
    EXPECT_EQ(owner.ec, asio::error::operation_aborted);
    connector.pass(Hook::connect, Gate::error);
    EXPECT_TRUE(eventually([&] { return connector.calls(Hook::connect) == 2; }));
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(run_until([&] { return next.calls == 1; }));
    EXPECT_TRUE(next.lease);
    next.lease.release();
    expect_drained(pool, connector);
}

// rule 18
TEST_F(PoolOpening, Rule18AFailureOnTheCallersThreadServesTheWaiterBehindIt) {
    Pool pool{connector, {.size = {.high = 1}}};
    connector.gate(Hook::connect, Gate::never);
    auto first = acquire_elsewhere(pool);
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    auto second = wait_in_line(pool);
    connector.pass(Hook::connect, Gate::error);
    connector.gate(Hook::connect, Gate::ok);
    auto const failed = first.get();
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error(), errc::connection_refused);
    auto served = second.get();
    ASSERT_TRUE(served);
    served->release();
    EXPECT_EQ(connector.calls(Hook::connect), 2u);
    expect_drained(pool, connector);
}

// rule 18
TEST_F(PoolOpening, Rule18TenThousandWaitersAndAConnectorThatFailsAtOnce) {
    constexpr int waiters = 10'000;
    auto const refused = errc::make_error_code(errc::connection_refused);
    StackDepth depth;
    FakePool<> pool{io.get_executor(),
                    [this, &depth] {
                        depth.probe();
                        return connector.connect();
                    },
                    {.size = {.high = 1}}};
    connector.gate(Hook::connect, Gate::never);
    int answered = 0;
    for (int i = 0; i != waiters; ++i) {
        pool.async_acquire_for(10min, [&](error_code ec, Lease<FakeConn>) {
            depth.probe();
            if (ec == refused) ++answered;
        });
    }
    EXPECT_EQ(pool.stats().waiting, waiters - 1u);
    connector.gate(Hook::connect, Gate::error);
    EXPECT_TRUE(run_until([&] { return answered == waiters; }, 300s)) << answered;
    EXPECT_EQ(connector.calls(Hook::connect), std::size_t{waiters});
    EXPECT_LT(depth.deepest(), StackDepth::shallow) << "the stack grows with the line";
    EXPECT_EQ(pool.stats().open, 0u);
    EXPECT_EQ(pool.stats().waiting, 0u);
    expect_drained(pool, connector);
}

// rule 20
TEST_F(PoolOpening, Rule20MaxConcurrentBoundsConnectsInFlight) {
    Pool pool{io.get_executor(), connector, {.size = {.high = 8}, .connect = {.max_concurrent = 2}}};
    connector.gate(Hook::connect, Gate::never);
    std::vector<Outcome> outcomes(8);
    for (auto& outcome : outcomes) pool.async_acquire(outcome.handler());
    for (std::size_t i = 0; i != 8; ++i) {
        auto const in_flight = std::min<std::size_t>(2, 8 - i);
        EXPECT_TRUE(connector.await_blocked(Hook::connect, in_flight));
        EXPECT_EQ(pool.stats().connecting, in_flight);
        connector.pass(Hook::connect);
        EXPECT_TRUE(run_until([&] { return connector.opened() == i + 1; }));
        EXPECT_TRUE(run_until([&] { return pool.stats().leased == i + 1; }));
    }
    EXPECT_TRUE(run_until([&] { return pool.stats().acquired == 8; }));
    io.poll();
    EXPECT_EQ(connector.max_connecting(), 2u);
    for (auto& outcome : outcomes) outcome.lease.release();
    expect_drained(pool, connector);
}

// rule 20, rule 16: a connect takes so long that all others have been served before it ends.
TEST_F(PoolOpening, Rule20ASpikeIsServedByWhatIsThereAndOpensWhatItMayAtATime) {
    Pool pool{connector, {.size = {.high = 50}, .connect = {.max_concurrent = 2}}};
    EXPECT_EQ(pool.warm_up(5), 5u);
    connector.gate(Hook::connect, Gate::never);
    std::latch all_are_here{1};
    std::vector<std::future<bool>> threads;
    for (int i = 0; i != 50; ++i) {
        threads.push_back(std::async(std::launch::async, [&] {
            auto const lease = pool.try_acquire_for(generous);
            all_are_here.wait();
            return lease.has_value();
        }));
    }
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 2));
    EXPECT_TRUE(waiting(pool, 50 - 5 - 2));
    all_are_here.count_down();
    EXPECT_TRUE(eventually([&] { return pool.stats().acquired == 48 && pool.stats().idle == 5; }));
    connector.gate(Hook::connect, Gate::ok);
    for (auto& thread : threads) EXPECT_TRUE(thread.get());
    EXPECT_EQ(connector.calls(Hook::connect), 5u + 2u);
    expect_drained(pool, connector);
}

// rule 20, rule 23
TEST_F(PoolOpening, Rule20ASecondFreedSlotIsNotOpenedForTheSameWaiter) {
    Pool pool{io.get_executor(), connector, {.size = {.high = 2}}};
    auto one = pool.acquire();
    auto two = pool.acquire();
    Outcome outcome;
    pool.async_acquire(outcome.handler());
    connector.gate(Hook::connect, Gate::never);
    one.discard();
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    two.discard();
    EXPECT_EQ(pool.stats().connecting, 1u);
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(run_until([&] { return outcome.calls == 1; }));
    EXPECT_TRUE(outcome.lease);
    EXPECT_EQ(connector.calls(Hook::connect), 3u);
    outcome.lease.release();
    expect_drained(pool, connector);
}

// rule 20
TEST_F(PoolOpening, Rule20OnceTheWaitersAreGoneOpeningStops) {
    Pool pool{io.get_executor(), connector, {.size = {.high = 8}, .connect = {.max_concurrent = 1}}};
    connector.gate(Hook::connect, Gate::never);
    Outcome first;
    pool.async_acquire(first.handler());
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    std::vector<Outcome> others(4);
    for (auto& other : others) pool.async_acquire_for(1ms, other.handler());
    EXPECT_TRUE(run_until([&] { return pool.stats().timed_out == 4; }));
    EXPECT_EQ(pool.stats().waiting, 0u);
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(run_until([&] { return first.calls == 1; }));
    first.lease.release();
    EXPECT_EQ(pool.stats().connecting, 0u);
    EXPECT_EQ(connector.calls(Hook::connect), 1u);
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
