// Contexts and pools that end in any order, with waiters, grants and connects on the way.
// rule 43 (and rule 46 for what is dropped on the way, rule 24 for what comes back late)

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using weir::Errc;

constexpr weir::Watermark one{.low = 0, .high = 1};

// ---- the pool's own context first

// rule 43: its waiters are destroyed uncalled; the pool lives on and is none the worse.
TEST(Contexts, Rule43ThePoolsContextDiesUnderWaiters) {
    Ledger ledger;
    Alive alive;
    auto io = std::make_optional<asio::io_context>();
    weir::Pool<Conn> pool{io->get_executor(), PlainOpener{ledger}, {.size = one}};
    Lease held = pool.acquire();
    for (int i = 0; i != 3; ++i) pool.async_acquire(alive.handler());
    ASSERT_EQ(pool.stats().waiting, 3u);
    io.reset();
    EXPECT_EQ(alive.handlers(), 0);
    EXPECT_EQ(alive.calls, 0);
    EXPECT_EQ(pool.stats().waiting, 0u);
    held.release();
    EXPECT_EQ(pool.stats().idle, 1u) << "given to a waiter that is dead";
    pool.acquire().release();
    EXPECT_TRUE(pool.close(patience));
    EXPECT_TRUE(ledger.all_closed_once());
}

// rule 43: the same with a grant on its way, timers armed and a lease inside a pending handler.
TEST(Contexts, Rule43ThePoolsContextDiesUnderAGrant) {
    Ledger ledger;
    Alive alive;
    auto io = std::make_optional<asio::io_context>();
    weir::Pool<Conn> pool{io->get_executor(), PlainOpener{ledger}, {.size = {.low = 0, .high = 2}}};
    Lease carried = pool.acquire();
    Lease held = pool.acquire();
    pool.async_acquire_for(1min, alive.handler());
    pool.async_acquire_for(1min, alive.handler());
    held.release();
    asio::post(*io, [lease = std::move(carried)]() mutable { lease.release(); });
    EXPECT_EQ(pool.stats().leased, 2u);
    io.reset();
    EXPECT_EQ(alive.handlers(), 0);
    EXPECT_EQ(alive.calls, 0);
    EXPECT_EQ(pool.stats().leased, 0u) << "a lease in a pending handler was lost";
    EXPECT_EQ(pool.stats().waiting, 0u);
    EXPECT_TRUE(pool.close(patience));
    EXPECT_TRUE(ledger.all_closed_once());
}

// rule 43: the same with an awaitable connect in flight; its slot is not lost.
TEST(Contexts, Rule43ThePoolsContextDiesUnderAConnect) {
    Ledger ledger;
    Alive alive;
    bool connecting = false;
    auto io = std::make_optional<asio::io_context>();
    weir::Pool<Conn> pool{io->get_executor(),
                          [&]() -> asio::awaitable<Conn> {
                              connecting = true;
                              asio::steady_timer never{co_await asio::this_coro::executor, Clock::time_point::max()};
                              co_await never.async_wait(asio::use_awaitable);
                              co_return Conn{ledger};
                          },
                          {.size = one}};
    pool.async_acquire(alive.handler());
    pool.async_acquire(alive.handler());
    ASSERT_TRUE(run_until(*io, [&] { return connecting; }));
    io.reset();
    EXPECT_EQ(alive.handlers(), 0);
    EXPECT_EQ(alive.calls, 0);
    EXPECT_TRUE(pool.close(patience));
    EXPECT_EQ(pool.stats().open, 0u);
    EXPECT_EQ(ledger.opened(), 0);
}

// rule 43: and when the connect had not taken its first step.
TEST(Contexts, Rule43ThePoolsContextDiesBeforeAConnectBegins) {
    Ledger ledger;
    Alive alive;
    auto io = std::make_optional<asio::io_context>();
    weir::Pool<Conn> pool{io->get_executor(), Opener{ledger}, {.size = one}};
    pool.async_acquire(alive.handler());
    EXPECT_EQ(pool.stats().open, 1u);
    io.reset();
    EXPECT_EQ(alive.handlers() + alive.calls, 0);
    EXPECT_TRUE(pool.close(patience));
    EXPECT_EQ(ledger.opened(), 0);
}

// rule 43: a waiter with a context of its own is not held up by the death of the pool's.
TEST(Contexts, Rule43AWaiterElsewhereSurvivesThePoolsContext) {
    Ledger ledger;
    Alive alive;
    asio::io_context other;
    auto io = std::make_optional<asio::io_context>();
    weir::Pool<Conn> pool{io->get_executor(), PlainOpener{ledger}, {.size = one}};
    Lease held = pool.acquire();
    pool.async_acquire(alive.handler());
    error_code blocked = Errc::closed;
    std::thread thread{[&] {
        auto leased = pool.try_acquire_for(patience);
        blocked = leased ? error_code{} : leased.error();
    }};
    ASSERT_TRUE(wait_until([&] { return pool.stats().waiting == 2; }));
    io.reset();
    EXPECT_EQ(pool.stats().waiting, 1u);
    held.release();
    thread.join();
    EXPECT_FALSE(blocked) << blocked.message();
    EXPECT_TRUE(pool.close(patience));
    EXPECT_TRUE(ledger.all_closed_once());
}

// rule 43: nor is who asks after it, whether or not anything of the pool ever ran there.
TEST(Contexts, Rule43WhoAsksElsewhereAfterThePoolsContextHasDied) {
    for (bool const asks_before : {false, true}) {
        Ledger ledger;
        Got first;
        Got second;
        asio::io_context other;
        auto io = std::make_optional<asio::io_context>();
        weir::Pool<Conn> pool{io->get_executor(), PlainOpener{ledger}, {.size = one}};
        Lease held = pool.acquire();
        if (asks_before) pool.async_acquire(asio::bind_executor(other, first.handler()));
        io.reset();
        pool.async_acquire(asio::bind_executor(other, second.handler()));
        held.release();
        if (asks_before) {
            ASSERT_TRUE(run_until(other, [&] { return first.done(); }));
            first.lease.release();
        }
        ASSERT_TRUE(run_until(other, [&] { return second.done(); }));
        EXPECT_TRUE(second.succeeded());
        second.lease.release();
        EXPECT_TRUE(pool.close(patience));
        EXPECT_TRUE(ledger.all_closed_once());
    }
}

// ---- the pool first

// Runs what is posted on a thread that has ended when it goes on here.
struct Elsewhere {
    template <class Function>
    void execute(Function function) const {
        std::thread{std::move(function)}.join();
    }
    static constexpr asio::execution::blocking_t query(asio::execution::blocking_t) noexcept {
        return asio::execution::blocking.never;
    }
    bool operator==(Elsewhere const&) const noexcept = default;
};

// rule 43: a handler that owns the pool may be done before the function that began the operation is.
TEST(Contexts, Rule43AHandlerEndsThePoolUnderTheCallThatBeganIt) {
    using Pool = weir::Pool<int, weir::KeepIdle>;
    asio::io_context io;
    auto pool = std::make_unique<Pool>(
        io.get_executor(), [] { return 0; }, Pool::Options{.size = {.high = 2}});
    auto& called = *pool;
    { weir::Lease<int> const both[]{called.acquire(), called.acquire()}; }
    bool done = false;
    // One is closed in there, and with it the wait has ended; what is left to do is to set the alarm for its deadline.
    called.async_resize_for(1, 1min,
                            asio::bind_executor(Elsewhere{}, [&done, pool = std::move(pool)](error_code ec) mutable {
                                pool.reset();
                                done = !ec;
                            }));
    EXPECT_TRUE(done);
}

// rule 43: destruction fails the waiters and waits for nothing.
TEST(Contexts, Rule43ThePoolDiesUnderWaiters) {
    Ledger ledger;
    asio::io_context io;
    Got first;
    Got second;
    Lease held;
    {
        weir::Pool<Conn> pool{io.get_executor(), PlainOpener{ledger}, {.size = one}};
        held = pool.acquire();
        pool.async_acquire(first.handler());
        pool.async_acquire_for(1min, second.handler());
    }
    EXPECT_EQ(first.calls + second.calls, 0) << "called from inside the destructor";
    EXPECT_TRUE(run_dry(io));
    EXPECT_TRUE(first.failed_with(Errc::closed));
    EXPECT_TRUE(second.failed_with(Errc::closed));
    EXPECT_EQ(ledger.alive(), 1);
    held.release();
    EXPECT_TRUE(wait_until([&] { return ledger.alive() == 0; }));
    EXPECT_TRUE(ledger.all_closed_once());
    EXPECT_EQ(poll(io), 0u);
}

struct CountsTimeouts : weir::Silent {
    int* count = nullptr;
    void timed_out() noexcept { ++*count; }
};

// rule 43: with nothing open that would keep what is behind the pool, who has been told keeps what he is to tell.
TEST(Contexts, Rule43ThePoolDiesUnderAWaiterWhoseTimeIsUp) {
    Ledger ledger;
    asio::io_context io;
    Got got;
    int timeouts = 0;
    {
        weir::Pool<Conn, CountsTimeouts>::Options options{.size = one};
        options.observer.count = &timeouts;
        weir::Pool<Conn, CountsTimeouts> pool{io.get_executor(), PlainOpener{ledger}, options};
        pool.resize(0);
        pool.async_acquire_for(1ms, got.handler());
        ASSERT_TRUE(wait_until([&] { return pool.stats().timed_out == 1; }));
        EXPECT_TRUE(pool.close());  // who told him is done with it
    }
    EXPECT_TRUE(run_dry(io));
    EXPECT_TRUE(got.failed_with(Errc::timed_out));
    EXPECT_EQ(timeouts, 1);
}

// rule 43: and when the context never runs again, the failed handlers are destroyed uncalled.
TEST(Contexts, Rule43ThePoolThenItsContextDieUnderWaiters) {
    Ledger ledger;
    Alive alive;
    Lease held;
    {
        asio::io_context io;
        weir::Pool<Conn> pool{io.get_executor(), PlainOpener{ledger}, {.size = one}};
        held = pool.acquire();
        for (int i = 0; i != 3; ++i) pool.async_acquire(alive.handler());
    }
    EXPECT_EQ(alive.handlers() + alive.calls, 0);
    EXPECT_EQ(ledger.alive(), 1);
    held.release();  // the core outlives pool and context
    EXPECT_TRUE(wait_until([&] { return ledger.alive() == 0; }));
    EXPECT_TRUE(ledger.all_closed_once());
}

// rule 43: idle resources of a destroyed pool are closed, with nobody asking.
TEST(Contexts, Rule43ThePoolDiesOverIdleResources) {
    Ledger ledger;
    {
        weir::Pool<Conn> pool{PlainOpener{ledger}};
        Lease a = pool.acquire();
        Lease b = pool.acquire();
    }
    EXPECT_TRUE(wait_until([&] { return ledger.alive() == 0; }));
    EXPECT_TRUE(ledger.all_closed_once());
}

// rule 43: an async_close that is outstanding ends at the real end, though the pool is gone.
TEST(Contexts, Rule43ThePoolDiesUnderAnAsyncClose) {
    Ledger ledger;
    asio::io_context io;
    Ended ended;
    Lease held;
    {
        weir::Pool<Conn> pool{io.get_executor(), PlainOpener{ledger}, {.size = one}};
        held = pool.acquire();
        pool.async_close_for(patience, ended.handler());
    }
    poll(io);
    EXPECT_EQ(ended.calls, 0);
    held.release();
    EXPECT_TRUE(run_dry(io));
    EXPECT_EQ(ended.calls, 1);
    EXPECT_FALSE(ended.ec) << ended.ec.message();
    EXPECT_TRUE(ledger.all_closed_once());
}

// rule 43: a plain connect in flight ends with nobody left to use it.
TEST(Contexts, Rule43ThePoolDiesUnderAPlainConnect) {
    Ledger ledger;
    auto state = std::make_shared<BlockingOpener::State>(ledger);
    state->mode = Mode::never;
    asio::io_context io;
    Got got;
    {
        weir::Pool<Conn> pool{io.get_executor(), BlockingOpener{state}};
        pool.async_acquire(got.handler());
        ASSERT_TRUE(wait_until([&] { return state->begun == 1; }));
    }
    ASSERT_TRUE(run_until(io, [&] { return got.done(); }));
    EXPECT_TRUE(got.failed_with(Errc::closed));
    state->open_gate();
    EXPECT_TRUE(wait_until([&] { return ledger.opened() == 1 && ledger.alive() == 0; }));
    EXPECT_TRUE(ledger.all_closed_once());
    EXPECT_TRUE(run_dry(io));
}

// ---- closed first

// rule 38: once a close has reported the end, no thread of the pool touches the context: it may go.
TEST(Contexts, Rule38AfterTheEndOfACloseTheContextMayGo) {
    for (int i = 0; i != 50; ++i) {
        Ledger ledger;
        auto io = std::make_optional<asio::io_context>();
        weir::Pool<Conn> pool{io->get_executor(), PlainOpener{ledger}};
        EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);  // its connect is on its way on a worker
        if (i % 2 == 0) poll(*io);
        EXPECT_TRUE(pool.close(patience));
        io.reset();
        EXPECT_TRUE(ledger.all_closed_once());
    }
}

// rule 38: the same where another thread runs the context until the very end.
TEST(Contexts, Rule38AfterTheEndOfACloseTheContextMayStop) {
    for (int i = 0; i != 50; ++i) {
        Ledger ledger;
        auto io = std::make_optional<asio::io_context>();
        weir::Pool<Conn> pool{io->get_executor(), Opener{ledger}};
        {
            Runner running{*io};
            pool.acquire().release();
            EXPECT_EQ(pool.try_acquire_for(1min).value()->number(), 0);
            EXPECT_TRUE(pool.close(patience));
        }
        io.reset();
        EXPECT_TRUE(ledger.all_closed_once());
    }
}

// ---- from inside

// rule 43: destroyed within a handler of its own, which holds a lease of it.
TEST(Contexts, Rule43ThePoolDiesWithinItsOwnHandler) {
    Ledger ledger;
    asio::io_context io;
    auto pool =
        std::make_unique<weir::Pool<Conn>>(io.get_executor(), Opener{ledger}, weir::Pool<Conn>::Options{.size = one});
    Got waiter;
    bool called = false;
    pool->async_acquire([&](error_code ec, Lease lease) {
        EXPECT_FALSE(ec);
        pool.reset();
        EXPECT_TRUE(lease);
        EXPECT_EQ(lease->number(), 0);
        called = true;
    });
    pool->async_acquire(waiter.handler());
    EXPECT_TRUE(run_dry(io));
    EXPECT_TRUE(called);
    EXPECT_TRUE(waiter.failed_with(Errc::closed));
    EXPECT_TRUE(wait_until([&] { return ledger.alive() == 0; }));
    EXPECT_TRUE(ledger.all_closed_once());
}

// rule 43: with a loop of its own, which ends with it, and maybe before who has posted the handler is back. What is torn
// down under him is the loop's event: ThreadSanitizer sees it.
TEST(Contexts, Rule43ThePoolAndItsOwnLoopDieWithinAHandler) {
    for (int i = 0; i != 20; ++i) {
        Ledger ledger;
        auto pool = std::make_unique<weir::Pool<Conn>>(PlainOpener{ledger}, weir::Pool<Conn>::Options{.size = one});
        auto& called = *pool;
        std::atomic<bool> done{false};
        Lease held = called.acquire();
        bool const is_idle = i % 2 == 0;
        if (is_idle) held.release();
        called.async_acquire([&done, pool = std::move(pool)](error_code ec, Lease lease) mutable {
            pool.reset();
            done = !ec && lease;
        });
        held.release();
        EXPECT_TRUE(wait_until([&] { return done && ledger.alive() == 0; }));
        EXPECT_TRUE(ledger.all_closed_once());
    }
}

// rule 43: destroyed by the coroutine that waited for its close.
TEST(Contexts, Rule43ThePoolDiesAfterItsOwnAsyncClose) {
    Ledger ledger;
    asio::io_context io;
    auto pool = std::make_unique<weir::Pool<Conn>>(io.get_executor(), Opener{ledger});
    bool ended = false;
    auto body = [&]() -> asio::awaitable<void> {
        Lease lease = co_await pool->async_acquire(asio::use_awaitable);
        lease.release();
        co_await pool->async_close(asio::use_awaitable);
        pool.reset();
        ended = true;
    };
    asio::co_spawn(io, body(), asio::detached);
    EXPECT_TRUE(run_dry(io));
    EXPECT_TRUE(ended);
    EXPECT_TRUE(ledger.all_closed_once());
}

// rule 48: an operation that is dropped uncalled, by whatever it was under way in, fails that connect and no other.
TEST(Contexts, Rule48AConnectWhoseOperationIsDroppedFailsAlone) {
    Ledger ledger;
    asio::io_context io;
    int calls = 0;
    auto const drop = [](auto handler) { auto const dropped = std::move(handler); };
    weir::Pool<Conn> pool{io.get_executor(), [&]() -> asio::awaitable<Conn> {
                              if (++calls == 1)
                                  co_await asio::async_initiate<asio::use_awaitable_t<> const&, void()>(
                                      drop, asio::use_awaitable);
                              co_return Conn{ledger};
                          }};
    Got first;
    pool.async_acquire(first.handler());
    ASSERT_TRUE(run_until(io, [&] { return first.done(); }));
    EXPECT_TRUE(first.failed_with(asio::error::operation_aborted)) << first.ec.message();
    Got second;
    pool.async_acquire(second.handler());
    ASSERT_TRUE(run_until(io, [&] { return second.done(); }));
    EXPECT_TRUE(second.succeeded()) << second.ec.message();
    second.lease.release();
    expect_clean_end(pool, io);
    EXPECT_TRUE(ledger.all_gone());
}

// rule 43: a connector that has ended has opened something, also when the context dies before the pool hears of it.
TEST(Contexts, Rule43WhatWasOpenedBeforeTheContextDiedIsClosed) {
    for (int steps = 0; steps != 8; ++steps) {
        Ledger ledger;
        {
            auto io = std::make_unique<asio::io_context>();
            weir::Pool<Conn> pool{io->get_executor(), [&]() -> asio::awaitable<Conn> { co_return Conn{ledger}; }};
            Got got;
            pool.async_acquire(got.handler());
            for (int i = 0; i != steps; ++i) io->poll_one();
            io.reset();
            got.lease.release();
        }
        EXPECT_TRUE(wait_until([&] { return ledger.alive() == 0; })) << "after " << steps << " steps";
    }
}

}  // namespace
