// Closing: who fails, who keeps what, what is waited for, and what a deadline changes.
// rule 38, rule 39

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using weir::Errc;

weir::Watermark at_most(std::size_t high) { return {.low = 0, .high = high}; }

// ---- rule 38, in its order

// rule 38: first of all, new acquires fail, of every kind and at once.
TEST(Close, Rule38RefusesNewAcquiresOfEveryKind) {
    Loop<> world{{.size = at_most(2)}};
    Lease held = world.take();
    world.take().release();
    EXPECT_FALSE(world.pool.closed());
    EXPECT_FALSE(world.pool.close(0s));
    EXPECT_TRUE(world.pool.closed());

    try {
        Lease lease = world.pool.acquire();
        ADD_FAILURE() << "leased from a closed pool";
    } catch (boost::system::system_error const& e) {
        EXPECT_EQ(e.code(), Errc::closed);
    }
    EXPECT_EQ(world.pool.try_acquire().error(), Errc::closed);
    EXPECT_EQ(world.pool.try_acquire_for(1min).error(), Errc::closed);
    EXPECT_EQ(world.pool.try_acquire_for(-1s).error(), Errc::closed);
    EXPECT_EQ(world.pool.try_acquire_until(Clock::now() + 1min).error(), Errc::closed);
    EXPECT_TRUE(world.pool.acquire_idle().empty());
    Got plain;
    Got timed;
    world.pool.async_acquire(plain.handler());
    world.pool.async_acquire_for(1min, timed.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return plain.done() && timed.done(); }));
    EXPECT_TRUE(plain.failed_with(Errc::closed));
    EXPECT_TRUE(timed.failed_with(Errc::closed));
    world.pool.sweep();
    held.release();
    world.end();
}

// rule 38: then the token stops; whoever is told so meets a pool that refuses, and may ask it anything.
TEST(Close, Rule38StopsTheTokenAfterRefusingAndBeforeFailingWaiters) {
    Loop<> world{{.size = at_most(1)}};
    Lease held = world.take();
    Got waiter;
    world.pool.async_acquire(waiter.handler());
    bool told = false;
    std::stop_callback on_stop{world.pool.lifetime().stop_token(), [&] {
                                   told = true;
                                   EXPECT_TRUE(world.pool.closed());
                                   EXPECT_EQ(world.pool.try_acquire().error(), Errc::closed);
                                   EXPECT_EQ(world.pool.stats().waiting, 1u);
                               }};
    EXPECT_FALSE(told);
    EXPECT_FALSE(world.pool.close(0s));
    EXPECT_TRUE(told);
    EXPECT_EQ(world.pool.stats().waiting, 0u);
    held.release();
    world.end();
    EXPECT_TRUE(waiter.failed_with(Errc::closed));
}

// rule 38: then all waiters fail, asynchronous and blocked ones, while every lease is still out.
TEST(Close, Rule38FailsWaitersBeforeAnyLeaseReturns) {
    Loop<> world{{.size = at_most(1)}};
    Lease held = world.take();
    std::deque<Got> waiters(3);
    for (Got& waiter : waiters) world.pool.async_acquire(waiter.handler());
    error_code blocked;
    std::thread thread{[&] {
        auto const leased = world.pool.try_acquire_for(patience);
        blocked = leased ? error_code{} : leased.error();
    }};
    ASSERT_TRUE(wait_until([&] { return world.pool.stats().waiting == 4; }));
    EXPECT_FALSE(world.pool.close(0s));
    thread.join();
    EXPECT_EQ(blocked, Errc::closed);
    EXPECT_EQ(world.pool.stats().waiting, 0u);
    EXPECT_EQ(world.pool.stats().leased, 1u);
    poll(world.io);
    for (Got& waiter : waiters) EXPECT_TRUE(waiter.failed_with(Errc::closed));
    EXPECT_EQ(world.ledger.alive(), 1);
    held.release();
    world.end();
}

// rule 38: so do all who are connecting, whatever their connector does.
TEST(Close, Rule38FailsConnectingAcquiresWhateverTheirConnectorDoes) {
    for (Mode mode : {Mode::slow, Mode::never}) {
        Gated<> world{{.size = at_most(2)}};
        world.script.mode = mode;
        Got first;
        Got second;
        Got queued;
        world.pool.async_acquire(first.handler());
        world.pool.async_acquire(second.handler());
        world.pool.async_acquire(queued.handler());
        ASSERT_TRUE(run_until(world.io, [&] { return world.script.in_flight() == 2; }));
        EXPECT_FALSE(world.pool.close(0s));
        ASSERT_TRUE(run_until(world.io, [&] { return first.done() && second.done() && queued.done(); }));
        EXPECT_TRUE(first.failed_with(Errc::closed)) << first.ec.message();
        EXPECT_TRUE(second.failed_with(Errc::closed)) << second.ec.message();
        EXPECT_TRUE(queued.failed_with(Errc::closed)) << queued.ec.message();
        if (mode == Mode::never) {
            EXPECT_EQ(world.pool.stats().connecting, 2u);
        }
        world.end();
        EXPECT_EQ(world.script.begun, 2);
    }
}

// rule 38: the same where the connector blocks a worker thread, or the very thread that acquires.
TEST(Close, Rule38FailsAcquiresUnderAPlainConnector) {
    Ledger ledger;
    auto state = std::make_shared<BlockingOpener::State>(ledger);
    state->mode = Mode::never;
    asio::io_context io;
    weir::Pool<Conn> pool{io.get_executor(), BlockingOpener{state}, {.size = at_most(2)}};
    Got got;
    pool.async_acquire(got.handler());
    error_code own;
    std::thread thread{[&] {
        auto const leased = pool.try_acquire_for(patience);
        own = leased ? error_code{} : leased.error();
    }};
    ASSERT_TRUE(wait_until([&] { return state->in_flight() == 2; }));
    EXPECT_FALSE(pool.close(0s));
    ASSERT_TRUE(run_until(io, [&] { return got.done(); }));
    EXPECT_TRUE(got.failed_with(Errc::closed)) << got.ec.message();
    EXPECT_EQ(pool.stats().connecting, 2u);
    state->open_gate();
    thread.join();
    EXPECT_EQ(own, Errc::closed);
    expect_clean_end(pool, io);
    EXPECT_EQ(ledger.opened(), 2);
    EXPECT_TRUE(ledger.all_closed_once());
}

// rule 38: a waiter that has been given a resource keeps it, though its handler has not run yet.
TEST(Close, Rule38LeavesAGrantedWaiterItsResource) {
    Loop<> world{{.size = at_most(1)}};
    Lease held = world.take();
    Got granted;
    world.pool.async_acquire(granted.handler());
    held.release();
    EXPECT_FALSE(world.pool.close(0s));
    ASSERT_TRUE(run_until(world.io, [&] { return granted.done(); }));
    ASSERT_TRUE(granted.succeeded()) << granted.ec.message();
    EXPECT_EQ(world.ledger.closed(), 0);
    EXPECT_EQ(world.pool.stats().leased, 1u);
    granted.lease.release();
    world.end();
    EXPECT_EQ(world.ledger.opened(), 1);
}

// rule 38: idle ones are closed even if the deadline is past.
TEST(Close, Rule38ClosesIdleOnesThoughTheDeadlineIsPast) {
    for (auto wait : {0ns, -1'000'000'000ns}) {
        Ledger ledger;
        weir::Pool<Conn> pool{PlainOpener{ledger}, {.size = at_most(3)}};
        {
            Lease a = pool.acquire();
            Lease b = pool.acquire();
            Lease c = pool.acquire();
        }
        ASSERT_EQ(pool.stats().idle, 3u);
        auto const begun = Clock::now();
        // They are given a moment, which the workers that close them may be held up for.
        EXPECT_TRUE(pool.close(wait) || Clock::now() - begun >= 250ms);
        EXPECT_TRUE(pool.close(patience));
        EXPECT_TRUE(ledger.all_closed_once());
        EXPECT_EQ(pool.stats().open, 0u);
        EXPECT_EQ(pool.stats().closed_drained, 3u);
    }
}

// rule 38: then it waits until nothing is open: leases, closings and connects in flight.
TEST(Close, Rule38WaitsForTheLastLease) {
    Loop<> world{{.size = at_most(2)}};
    Lease a = world.take();
    Lease b = world.take();
    Ended ended;
    world.pool.async_close_for(patience, ended.handler());
    poll(world.io);
    EXPECT_EQ(ended.calls, 0);
    a.release();
    poll(world.io);
    EXPECT_EQ(ended.calls, 0);
    b.release();
    ASSERT_TRUE(run_until(world.io, [&] { return ended.done(); }));
    EXPECT_FALSE(ended.ec);
    EXPECT_EQ(world.pool.stats().open, 0u);
    EXPECT_TRUE(world.ledger.all_closed_once());
    world.end();
    EXPECT_EQ(ended.calls, 1);
}

TEST(Close, Rule38WaitsForAConnectInFlight) {
    Gated<> world{{.size = at_most(1)}};
    world.script.mode = Mode::never;
    Got got;
    world.pool.async_acquire(got.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return world.script.in_flight() == 1; }));
    Ended ended;
    world.pool.async_close_for(patience, ended.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
    poll(world.io);
    EXPECT_EQ(ended.calls, 0) << "closed under a connect";
    world.script.gate.open();
    ASSERT_TRUE(run_until(world.io, [&] { return ended.done(); }));
    EXPECT_FALSE(ended.ec);
    EXPECT_EQ(world.script.in_flight(), 0);
    world.end();
}

// A connector whose goodbye takes as long as the test likes.
struct SlowGoodbye {
    Ledger* ledger;
    Gate* gate;
    std::atomic<int>* begun;
    asio::awaitable<Conn> connect() { co_return Conn{*ledger}; }
    asio::awaitable<void> close(Conn& conn) {
        ++*begun;
        co_await gate->pass();
        conn.closed();
    }
};

TEST(Close, Rule38WaitsForAwaitableGoodbyes) {
    Ledger ledger;
    asio::io_context io;
    Gate gate{io.get_executor()};
    std::atomic<int> begun{0};
    weir::Pool<Conn> pool{io.get_executor(), SlowGoodbye{&ledger, &gate, &begun}, {.size = at_most(2)}};
    Got a;
    Got b;
    pool.async_acquire(a.handler());
    pool.async_acquire(b.handler());
    ASSERT_TRUE(run_until(io, [&] { return a.done() && b.done(); }));
    a.lease.release();
    Ended ended;
    pool.async_close_for(patience, ended.handler());
    ASSERT_TRUE(run_until(io, [&] { return begun == 1; }));
    b.lease.release();
    ASSERT_TRUE(run_until(io, [&] { return begun == 2; }));
    poll(io);
    EXPECT_EQ(pool.stats().closing, 2u);
    EXPECT_EQ(ended.calls, 0) << "closed before the last goodbye was said";
    gate.open();
    ASSERT_TRUE(run_until(io, [&] { return ended.done(); }));
    EXPECT_FALSE(ended.ec);
    expect_clean_end(pool, io);
    EXPECT_TRUE(ledger.all_closed_once());
}

// ---- rule 39: at the deadline

TEST(Close, Rule39ReportsFalseAtTheDeadlineAndIsClosedAnyway) {
    Loop<> world{{.size = at_most(1)}};
    Lease held = world.take();
    auto const begun = Clock::now();
    EXPECT_FALSE(world.pool.close(5ms));
    EXPECT_GE(Clock::now() - begun, 5ms);
    EXPECT_TRUE(world.pool.closed());
    EXPECT_EQ(held->number(), 0) << "the holder keeps what it holds";
    held.release();
    EXPECT_EQ(world.pool.stats().idle, 0u);
    world.end();
    EXPECT_TRUE(world.pool.close(0s));
}

TEST(Close, Rule39CompletesWithTimedOutAtTheDeadline) {
    Loop<> world{{.size = at_most(1)}};
    Lease held = world.take();
    Ended ended;
    auto const begun = Clock::now();
    world.pool.async_close_for(5ms, ended.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return ended.done(); }));
    EXPECT_EQ(ended.ec, Errc::timed_out);
    EXPECT_GE(Clock::now() - begun, 5ms);
    EXPECT_TRUE(world.pool.closed());
    held.release();
    world.end();
    EXPECT_EQ(ended.calls, 1);
}

// rule 39: a late return is closed, never handed out, never parked.
TEST(Close, Rule39ClosesALateReturn) {
    Loop<> world{{.size = at_most(2), .idle = {.ttl = 1h}}};
    Lease held = world.take();
    EXPECT_FALSE(world.pool.close(0s));
    held.release();
    EXPECT_EQ(world.pool.stats().idle, 0u);
    EXPECT_EQ(world.pool.try_acquire().error(), Errc::closed);
    EXPECT_TRUE(world.pool.acquire_idle().empty());
    world.end();
    EXPECT_EQ(world.pool.stats().closed_drained, 1u);
    EXPECT_EQ(world.pool.stats().acquired, 1u);
}

// rule 39: a late connect is closed, never handed out, never parked.
TEST(Close, Rule39ClosesALateConnect) {
    Gated<> world{{.size = at_most(1)}};
    world.script.mode = Mode::never;
    Got got;
    Ended ended;
    world.pool.async_acquire(got.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return world.script.in_flight() == 1; }));
    world.pool.async_close_for(1ms, ended.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return ended.done() && got.done(); }));
    EXPECT_EQ(ended.ec, Errc::timed_out);
    EXPECT_TRUE(got.failed_with(Errc::closed));
    world.script.gate.open();
    ASSERT_TRUE(run_until(world.io, [&] { return world.pool.stats().open == 0; }));
    EXPECT_EQ(world.pool.stats().idle, 0u);
    EXPECT_EQ(world.pool.stats().acquired, 0u);
    EXPECT_EQ(world.ledger.opened(), 1);
    world.end();
    EXPECT_EQ(got.calls, 1);
}

// rule 39: what is detached or discarded on the way counts as gone (rule 26: a close does not wait for the detached).
TEST(Close, Rule39DoesNotWaitForTheDetached) {
    Loop<> world{{.size = at_most(2)}};
    Lease first = world.take();
    Lease second = world.take();
    Ended ended;
    world.pool.async_close_for(patience, ended.handler());
    {
        Conn mine = first.detach();
        second.discard();
        ASSERT_TRUE(run_until(world.io, [&] { return ended.done(); }));
        EXPECT_FALSE(ended.ec);
        EXPECT_EQ(world.ledger.alive(), 1);
        mine.closed();  // its owner closes it now
    }
    world.end();
}

}  // namespace
