// Closing cancels what is under way in user code, whatever started it, and starts nothing more.
// rule 40 (connectors and recycle hooks; checks, resets and retries come with their policies)

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <atomic>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using weir::Errc;

weir::Watermark at_most(std::size_t high) { return {.low = 0, .high = high}; }

// Closes while one connect hangs at its gate; the gate stays shut, so only the cancellation can end it.
void expect_cancelled_by_close(Gated<>& world) {
    ASSERT_TRUE(run_until(world.io, [&] { return world.script.in_flight() == 1; }));
    int const begun = world.script.begun;
    Ended ended;
    world.pool.async_close_for(patience, ended.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return ended.done(); }));
    EXPECT_FALSE(ended.ec) << "the connect was not cancelled";
    EXPECT_EQ(world.script.cancelled, 1);
    EXPECT_EQ(world.script.in_flight(), 0);
    EXPECT_EQ(world.script.begun, begun) << "a connect was started after the close";
}

// rule 40: a connect that an asynchronous acquire started.
TEST(CloseCancel, Rule40CancelsTheConnectOfAnAsyncAcquire) {
    Gated<> world{{.size = at_most(1)}};
    world.script.mode = Mode::slow;
    Got got;
    std::deque<Got> queued(10);
    world.pool.async_acquire(got.handler());
    for (Got& waiter : queued) world.pool.async_acquire(waiter.handler());
    expect_cancelled_by_close(world);
    EXPECT_TRUE(got.failed_with(Errc::closed)) << got.ec.message();
    for (Got& waiter : queued) EXPECT_TRUE(waiter.failed_with(Errc::closed));
    world.end();
}

// rule 40: a connect in the background of a try_acquire (rule 7).
TEST(CloseCancel, Rule40CancelsABackgroundConnect) {
    Gated<> world{{.size = at_most(1)}};
    world.script.mode = Mode::slow;
    EXPECT_EQ(world.pool.try_acquire().error(), Errc::exhausted);
    expect_cancelled_by_close(world);
    world.end();
}

// rule 40: a replacement for what was discarded while somebody waits (rule 23).
TEST(CloseCancel, Rule40CancelsAReplacement) {
    Gated<> world{{.size = at_most(1)}};
    Got first;
    world.pool.async_acquire(first.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return first.done(); }));
    Got waiter;
    world.pool.async_acquire(waiter.handler());
    world.script.mode = Mode::slow;
    first.lease.discard();
    expect_cancelled_by_close(world);
    EXPECT_TRUE(waiter.failed_with(Errc::closed));
    world.end();
}

// rule 40: a connect whose owner has left (rule 17).
TEST(CloseCancel, Rule40CancelsAConnectNobodyWaitsFor) {
    Gated<> world{{.size = at_most(1)}};
    world.script.mode = Mode::slow;
    Got got;
    world.pool.async_acquire_for(50ms, got.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
    EXPECT_TRUE(got.failed_with(Errc::timed_out));
    expect_cancelled_by_close(world);
    world.end();
}

// rule 40: a connect that a blocked thread waits for.
TEST(CloseCancel, Rule40CancelsTheConnectOfABlockedThread) {
    Gated<> world{{.size = at_most(1)}};
    world.script.mode = Mode::slow;
    error_code seen;
    std::thread thread{[&] {
        auto const leased = world.pool.try_acquire_for(patience);
        seen = leased ? error_code{} : leased.error();
    }};
    expect_cancelled_by_close(world);
    thread.join();
    EXPECT_EQ(seen, Errc::closed);
    world.end();
}

// rule 40: destruction is a close (rule 43).
TEST(CloseCancel, Rule40DestructionCancelsConnects) {
    Ledger ledger;
    asio::io_context io;
    GatedOpener::State script{ledger, io.get_executor()};
    script.mode = Mode::slow;
    Got got;
    {
        weir::Pool<Conn> pool{io.get_executor(), GatedOpener{script}};
        pool.async_acquire(got.handler());
        ASSERT_TRUE(run_until(io, [&] { return script.in_flight() == 1; }));
    }
    EXPECT_TRUE(run_dry(io));
    EXPECT_TRUE(got.failed_with(Errc::closed)) << got.ec.message();
    EXPECT_EQ(script.cancelled, 1);
    EXPECT_EQ(script.in_flight(), 0);
}

// rule 40, and a trap of Asio 1.26: a coroutine cancelled before its first step ends the program.
TEST(CloseCancel, Rule40SurvivesAConnectThatHasNotTakenItsFirstStep) {
    for (int steps = 0; steps != 6; ++steps) {
        Gated<> world{{.size = at_most(1)}};
        world.script.mode = Mode::slow;
        Got got;
        world.pool.async_acquire(got.handler());
        for (int i = 0; i != steps; ++i) world.io.poll_one();
        world.pool.close(0s);
        ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
        EXPECT_TRUE(got.failed_with(Errc::closed)) << got.ec.message();
        ASSERT_TRUE(run_until(world.io, [&] { return world.pool.stats().open == 0; })) << "gate shut, not cancelled";
        world.end();
    }
}

// rule 40: a plain connector is told by its token, wherever it runs.
TEST(CloseCancel, Rule40TellsPlainConnectorsByTheirToken) {
    Ledger ledger;
    auto state = std::make_shared<BlockingOpener::State>(ledger);
    state->mode = Mode::slow;
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
    expect_clean_end(pool, io);
    thread.join();
    EXPECT_EQ(own, Errc::closed);
    EXPECT_TRUE(got.failed_with(Errc::closed)) << got.ec.message();
    EXPECT_EQ(state->cancelled, 2);
    EXPECT_EQ(ledger.opened(), 0);
}

// rule 38: between the stop of the token and the dismissal of those who wait a connector may have failed already, and
// its error is not what they get. Here it has, since the stop does not return before.
TEST(CloseCancel, Rule38AConnectThatFailsBecauseItWasToldToStopEndsInClosed) {
    Ledger ledger;
    asio::io_context io;
    weir::Pool<Conn> pool{io.get_executor(), [&](weir::ConnectContext const& context) {
                              while (!context.lifetime.stopped()) std::this_thread::yield();
                              return boost::system::result<Conn>{asio::error::operation_aborted};
                          }};
    Got got;
    pool.async_acquire(got.handler());
    std::stop_callback const after_the_failure{
        pool.lifetime().stop_token(), [&] { EXPECT_TRUE(wait_until([&] { return pool.stats().connecting == 0; })); }};
    expect_clean_end(pool, io);
    EXPECT_TRUE(got.failed_with(Errc::closed)) << got.ec.message();
}

// rule 40: one that ignores it delays the close to the deadline and no further.
TEST(CloseCancel, Rule40AConnectorThatIgnoresItDelaysToTheDeadline) {
    Gated<> world{{.size = at_most(1)}};
    world.script.mode = Mode::never;
    Got got;
    world.pool.async_acquire(got.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return world.script.in_flight() == 1; }));
    Ended ended;
    auto const begun = Clock::now();
    world.pool.async_close_for(10ms, ended.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return ended.done(); }));
    EXPECT_EQ(ended.ec, Errc::timed_out);
    EXPECT_GE(Clock::now() - begun, 10ms);
    EXPECT_EQ(world.script.in_flight(), 1);
    world.end();
}

// ---- hooks

// Recycles at a gate.
struct SlowRecycle {
    Ledger* ledger;
    Gate* gate;
    std::atomic<int>* begun;
    std::atomic<int>* cancelled;

    asio::awaitable<Conn> connect() { co_return Conn{*ledger}; }
    asio::awaitable<bool> recycle(Conn&) {
        ++*begun;
        bool passed = false;
        try {
            co_await gate->pass();
            passed = true;
        } catch (boost::system::system_error const&) {
            ++*cancelled;
        }
        co_return passed;
    }
    void close(Conn& conn) { conn.closed(); }
};

struct RecyclingWorld {
    Ledger ledger;
    asio::io_context io;
    Gate gate{io.get_executor()};
    std::atomic<int> begun{0};
    std::atomic<int> cancelled{0};
    weir::Pool<Conn> pool{io.get_executor(), SlowRecycle{&ledger, &gate, &begun, &cancelled}, {.size = at_most(1)}};

    Lease take() {
        Got got;
        pool.async_acquire(got.handler());
        EXPECT_TRUE(run_until(io, [&] { return got.done(); }));
        EXPECT_TRUE(got.succeeded()) << got.ec.message();
        return std::move(got.lease);
    }
};

// rule 40: a recycle hook under way; what it says then does not matter, the resource is closed.
TEST(CloseCancel, Rule40CancelsARecycleUnderWay) {
    RecyclingWorld world;
    world.take().release();
    ASSERT_TRUE(run_until(world.io, [&] { return world.begun == 1; }));
    EXPECT_EQ(world.pool.stats().leased, 1u) << "until the hook ends the slot counts as leased";
    expect_clean_end(world.pool, world.io);
    EXPECT_EQ(world.cancelled, 1);
    EXPECT_TRUE(world.ledger.all_closed_once());
}

// rule 40: none starts afterwards: a late return is closed without asking the hook (rule 22: a closing pool is first).
TEST(CloseCancel, Rule40StartsNoRecycleAfterwards) {
    RecyclingWorld world;
    Lease held = world.take();
    EXPECT_FALSE(world.pool.close(0s));
    held.release();
    expect_clean_end(world.pool, world.io);
    EXPECT_EQ(world.begun, 0);
    EXPECT_TRUE(world.ledger.all_closed_once());
}

/// Closes at a gate.
struct Polite {
    Ledger* ledger;
    Gate* gate;
    int* cancelled;
    asio::awaitable<Conn> connect() { co_return Conn{*ledger}; }
    asio::awaitable<void> close(Conn& conn) {
        try {
            co_await gate->pass();
            conn.closed();
        } catch (boost::system::system_error const&) {
            ++*cancelled;
        }
    }
};

struct CloseGoodbyes : testing::Test {
    Ledger ledger;
    asio::io_context io;
    Gate gate{io.get_executor()};
    int cancelled = 0;
    weir::Pool<Conn> pool{io.get_executor(), Polite{&ledger, &gate, &cancelled}};
    Got got;

    void SetUp() override {
        pool.async_acquire(got.handler());
        ASSERT_TRUE(run_until(io, [&] { return got.done(); }));
    }
    void close_and_expect_it_to_be_said() {
        pool.close(0s);
        poll(io);
        EXPECT_EQ(pool.stats().closing, 1u);
        gate.open();
        expect_clean_end(pool, io);
        EXPECT_EQ(cancelled, 0);
        EXPECT_TRUE(ledger.all_closed_once());
    }
};

// rule 40: the goodbye itself is said to the end.
TEST_F(CloseGoodbyes, Rule40LetsGoodbyesOfTheCloseEnd) {
    got.lease.release();
    close_and_expect_it_to_be_said();
}

// rule 40
TEST_F(CloseGoodbyes, Rule40LetsGoodbyesThatHadBegunBeforeItEnd) {
    got.lease.discard();
    poll(io);
    close_and_expect_it_to_be_said();
}

// rule 42: the alarm cancels what is over its time while a close cancels all; each is asked once. For ThreadSanitizer.
TEST(CloseCancel, Rule42ACloseMeetsConnectsThatAreOverTheirTime) {
    for (int round = 0; round != 60; ++round) {
        Ledger ledger;
        asio::io_context io;
        weir::Pool<Conn> pool{io.get_executor(),
                              [&]() -> asio::awaitable<Conn> {
                                  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
                                  asio::steady_timer timer{io, 4ms};
                                  co_await timer.async_wait(asio::use_awaitable);
                                  co_return Conn{ledger};
                              },
                              {.connect = {.timeout = 1ms}}};
        // Whose lease is given back at once: on a busy machine a connect may end before it is found to be late.
        for (int i = 0; i != 4; ++i) pool.async_acquire([](boost::system::error_code, Lease const&) {});
        Runner const runner{io};
        std::this_thread::sleep_until(Clock::now() + 900us + std::chrono::microseconds{round * 5});
        EXPECT_TRUE(pool.close(patience));
        EXPECT_TRUE(ledger.all_gone());
    }
}

}  // namespace
