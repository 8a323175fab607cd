// Every completion token and every way tokens are wrapped and combined behaves alike.
// rule 46 (with rule 13, rule 44 and rule 47 where a token touches them)

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/system/system_error.hpp>

#include <array>
#include <future>
#include <memory>
#include <variant>

// g++ 12 with sanitizers takes what Boost constructs in place for a future for uninitialized.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using weir::Errc;

weir::Watermark at_most(std::size_t high) { return {.low = 0, .high = high, .max_waiters = 64}; }

// Runs a coroutine on the world's context to its end and hands on what it throws.
template <class WorldType>
void run(WorldType& world, asio::awaitable<void> body) {
    bool ended = false;
    std::exception_ptr failure;
    asio::co_spawn(world.io, std::move(body), [&](std::exception_ptr e) {
        failure = e;
        ended = true;
    });
    ASSERT_TRUE(run_until(world.io, [&] { return ended; }));
    if (failure) std::rethrow_exception(failure);
}

error_code code_of(std::exception_ptr failure) {
    try {
        std::rethrow_exception(failure);
    } catch (boost::system::system_error const& e) {
        return e.code();
    } catch (...) {
        return {};
    }
}

// ---- callbacks

// rule 46
TEST(AsyncTokens, Rule46TakesAHandlerThatCanOnlyBeMoved) {
    Loop<> world{{.size = at_most(1)}};
    int calls = 0;
    auto handler = [&, only = std::make_unique<int>(7)](error_code ec, Lease lease) {
        EXPECT_FALSE(ec);
        EXPECT_TRUE(lease);
        calls += *only;
    };
    world.pool.async_acquire(std::move(handler));  // an opening
    ASSERT_TRUE(run_until(world.io, [&] { return calls == 7; }));
    Lease held = world.take();
    world.pool.async_acquire(  // a wait
        [&, only = std::make_unique<int>(7)](error_code ec, Lease) { calls += ec ? 0 : *only; });
    held.release();
    ASSERT_TRUE(run_until(world.io, [&] { return calls == 14; }));
    world.end();
}

// rule 46: nothing is asked of a handler but to be called once, as an rvalue.
TEST(AsyncTokens, Rule46CallsAHandlerOnceAsAnRvalue) {
    struct Once {
        int& calls;
        void operator()(error_code, Lease) && { ++calls; }
    };
    Loop<> world;
    int calls = 0;
    world.pool.async_acquire(Once{calls});
    ASSERT_TRUE(run_until(world.io, [&] { return calls != 0; }));
    EXPECT_TRUE(run_dry(world.io));
    EXPECT_EQ(calls, 1);
    world.end();
}

// ---- use_future

// rule 46
TEST(AsyncTokens, Rule46CompletesAFuture) {
    Loop<> world{{.size = at_most(1)}};
    std::future<Lease> first = world.pool.async_acquire(asio::use_future);
    ASSERT_TRUE(run_until(world.io, [&] { return first.wait_for(0s) == std::future_status::ready; }));
    Lease lease = first.get();
    EXPECT_TRUE(lease);
    std::future<Lease> second = world.pool.async_acquire_for(1ms, asio::use_future);
    ASSERT_TRUE(run_until(world.io, [&] { return second.wait_for(0s) == std::future_status::ready; }));
    try {
        (void)second.get();
        FAIL() << "expected timed_out";
    } catch (boost::system::system_error const& e) {
        EXPECT_EQ(e.code(), Errc::timed_out);
    }
    lease.release();
    std::future<void> closed = world.pool.async_close(asio::use_future);
    ASSERT_TRUE(run_until(world.io, [&] { return closed.wait_for(0s) == std::future_status::ready; }));
    EXPECT_NO_THROW(closed.get());
    world.end();
}

// ---- coroutines

// rule 46
TEST(AsyncTokens, Rule46CompletesAnAwaitable) {
    Loop<> world{{.size = at_most(1)}};
    run(world, [](auto& pool) -> asio::awaitable<void> {
        Lease lease = co_await pool.async_acquire(asio::use_awaitable);
        EXPECT_TRUE(lease);
        std::exception_ptr failure;
        try {
            Lease second = co_await pool.async_acquire_for(1ms, asio::use_awaitable);
            ADD_FAILURE() << "leased the same resource twice";
        } catch (...) {
            failure = std::current_exception();
        }
        EXPECT_EQ(code_of(failure), Errc::timed_out);
        lease.release();
        co_await pool.async_close(asio::use_awaitable);
        EXPECT_EQ(pool.stats().open, 0u);
    }(world.pool));
    world.end();
}

// rule 46: `deferred` is the default token, and a coroutine awaits it as it is.
TEST(AsyncTokens, Rule46AwaitsTheDefaultToken) {
    Loop<> world{{.size = at_most(1)}};
    run(world, [](auto& pool) -> asio::awaitable<void> {
        Lease lease = co_await pool.async_acquire();
        EXPECT_TRUE(lease);
        lease.release();
        Lease timed = co_await pool.async_acquire_for(1min);
        EXPECT_TRUE(timed);
        timed.release();
        co_await pool.async_close_for(1min);
        EXPECT_TRUE(pool.closed());
    }(world.pool));
    world.end();
}

// rule 46
TEST(AsyncTokens, Rule46CompletesATuple) {
    Loop<> world{{.size = at_most(1)}};
    run(world, [](auto& pool) -> asio::awaitable<void> {
        auto [ec, lease] = co_await pool.async_acquire(asio::as_tuple(asio::use_awaitable));
        EXPECT_FALSE(ec);
        EXPECT_TRUE(lease);
        auto [late, nothing] = co_await pool.async_acquire_for(1ms, asio::as_tuple(asio::deferred));
        EXPECT_EQ(late, Errc::timed_out);
        EXPECT_FALSE(nothing);
        lease.release();
        auto [closed] = co_await pool.async_close(asio::as_tuple(asio::use_awaitable));
        EXPECT_FALSE(closed);
    }(world.pool));
    world.end();
}

// rule 46: a deferred operation is launched later, as often as it is given away, and may outlive the call that made it.
TEST(AsyncTokens, Rule46LaunchesADeferredOperationLater) {
    Loop<> world{{.size = at_most(1)}};
    auto operation = world.pool.async_acquire(asio::deferred);
    EXPECT_FALSE(has_work(world.io));
    EXPECT_EQ(world.ledger.opened(), 0);
    Got got;
    std::move(operation)(got.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
    EXPECT_TRUE(got.succeeded());
    got.lease.release();
    world.end();
}

// rule 46: chained by deferred.
TEST(AsyncTokens, Rule46ChainsBehindADeferredOperation) {
    Loop<> world;
    int number = -1;
    auto chain = world.pool.async_acquire(asio::deferred(
        [](error_code ec, Lease lease) { return asio::deferred.values(ec, lease ? lease->number() : -1); }));
    std::move(chain)([&](error_code, int n) { number = n; });
    ASSERT_TRUE(run_until(world.io, [&] { return number == 0; }));
    EXPECT_TRUE(run_until(world.io, [&] { return world.pool.stats().idle == 1; })) << "the chained lease was lost";
    world.end();
}

// ---- bound characteristics

// rule 46, rule 47: an executor, an allocator and a slot bound at once, in either order of nesting.
TEST(AsyncTokens, Rule46HonoursNestedBindings) {
    Loop<> world{{.size = at_most(1)}};
    asio::io_context other;
    asio::cancellation_signal signal;
    Lease held = world.take();
    Got outer;
    Got inner;
    std::allocator<char> const memory;
    world.pool.async_acquire(asio::bind_executor(
        other, asio::bind_allocator(memory, asio::bind_cancellation_slot(signal.slot(), outer.handler()))));
    signal.emit(asio::cancellation_type::terminal);
    poll(world.io);
    EXPECT_EQ(outer.calls, 0);
    ASSERT_TRUE(run_until(other, [&] { return outer.done(); }));
    EXPECT_TRUE(outer.failed_with(asio::error::operation_aborted));

    world.pool.async_acquire(asio::bind_cancellation_slot(
        signal.slot(), asio::bind_allocator(memory, asio::bind_executor(other, inner.handler()))));
    signal.emit(asio::cancellation_type::partial);
    poll(world.io);
    EXPECT_EQ(inner.calls, 0);
    ASSERT_TRUE(run_until(other, [&] { return inner.done(); }));
    EXPECT_TRUE(inner.failed_with(asio::error::operation_aborted));
    held.release();
    world.end();
    EXPECT_TRUE(run_dry(other));
}

// rule 46: a bound executor around a token that is no handler.
TEST(AsyncTokens, Rule46BindsAnExecutorToAFuture) {
    Loop<> world;
    asio::io_context other;
    std::future<Lease> future = world.pool.async_acquire(asio::bind_executor(other, asio::use_future));
    ASSERT_TRUE(run_until(world.io, [&] { return world.pool.stats().leased == 1; }));
    poll(world.io);
    EXPECT_EQ(future.wait_for(0s), std::future_status::timeout) << "completed on the pool's executor";
    ASSERT_TRUE(run_until(other, [&] { return future.wait_for(0s) == std::future_status::ready; }));
    EXPECT_TRUE(future.get());
    EXPECT_TRUE(run_until(world.io, [&] { return world.pool.stats().idle == 1; }));
    world.end();
}

// ---- combinations

// rule 46, rule 13: the loser of `||` is cancelled and leaves no trace; a lease it had been granted goes back.
TEST(AsyncTokens, Rule46LosesToATimerWithoutATrace) {
    using namespace asio::experimental::awaitable_operators;
    Loop<> world{{.size = at_most(1)}};
    Lease held = world.take();
    run(world, [](auto& pool) -> asio::awaitable<void> {
        asio::steady_timer timer{co_await asio::this_coro::executor, 1ms};
        auto winner = co_await (pool.async_acquire(asio::use_awaitable) || timer.async_wait(asio::use_awaitable));
        EXPECT_EQ(winner.index(), 1u);
        EXPECT_EQ(pool.stats().waiting, 0u);
        EXPECT_EQ(pool.stats().cancelled, 1u);
    }(world.pool));
    held.release();
    EXPECT_EQ(world.pool.stats().idle, 1u) << "a dead waiter took the resource";
    world.end();
}

TEST(AsyncTokens, Rule46WinsAgainstATimer) {
    using namespace asio::experimental::awaitable_operators;
    Loop<> world{{.size = at_most(1)}};
    run(world, [](auto& pool) -> asio::awaitable<void> {
        asio::steady_timer timer{co_await asio::this_coro::executor, Clock::time_point::max()};
        auto winner = co_await (pool.async_acquire(asio::use_awaitable) || timer.async_wait(asio::use_awaitable));
        EXPECT_EQ(winner.index(), 0u);
        EXPECT_TRUE(std::get_if<0>(&winner) != nullptr && *std::get_if<0>(&winner));
    }(world.pool));
    world.end();
}

TEST(AsyncTokens, Rule46TwoAcquiresRacingLoseNoResource) {
    using namespace asio::experimental::awaitable_operators;
    Loop<> world{{.size = at_most(2)}};
    {
        Lease a = world.take();
        Lease b = world.take();
    }
    ASSERT_EQ(world.pool.stats().idle, 2u);
    for (int i = 0; i != 50; ++i) {
        run(world, [](auto& pool) -> asio::awaitable<void> {
            auto winner = co_await (pool.async_acquire(asio::use_awaitable) || pool.async_acquire(asio::use_awaitable));
            bool const leased =
                winner.index() == 0 ? static_cast<bool>(std::get<0>(winner)) : static_cast<bool>(std::get<1>(winner));
            EXPECT_TRUE(leased);
        }(world.pool));
        ASSERT_EQ(world.pool.stats().idle, 2u) << "the losing acquire kept its resource in round " << i;
    }
    EXPECT_EQ(world.ledger.opened(), 2);
    world.end();
}

// rule 46: a raw parallel group asks for every kind of cancellation at once.
TEST(AsyncTokens, Rule46LosesInAParallelGroupWithoutATrace) {
    Loop<> world{{.size = at_most(1)}};
    Lease held = world.take();
    asio::steady_timer timer{world.io, 1ms};
    int calls = 0;
    asio::experimental::make_parallel_group(world.pool.async_acquire(asio::deferred), timer.async_wait(asio::deferred))
        .async_wait(asio::experimental::wait_for_one(),
                    [&](std::array<std::size_t, 2> order, error_code acquired, Lease lease, error_code waited) {
                        ++calls;
                        EXPECT_EQ(order[0], 1u);
                        EXPECT_EQ(acquired, asio::error::operation_aborted);
                        EXPECT_FALSE(lease);
                        EXPECT_FALSE(waited);
                    });
    ASSERT_TRUE(run_until(world.io, [&] { return calls == 1; }));
    held.release();
    EXPECT_EQ(world.pool.stats().idle, 1u);
    world.end();
}

TEST(AsyncTokens, Rule46JoinsAcquiresInAParallelGroup) {
    Loop<> world{{.size = at_most(2)}};
    int calls = 0;
    asio::experimental::make_parallel_group(world.pool.async_acquire(asio::deferred),
                                            world.pool.async_acquire(asio::deferred))
        .async_wait(asio::experimental::wait_for_all(),
                    [&](std::array<std::size_t, 2>, error_code first, Lease a, error_code second, Lease b) {
                        ++calls;
                        EXPECT_FALSE(first);
                        EXPECT_FALSE(second);
                        ASSERT_TRUE(a && b);
                        EXPECT_NE(a->number(), b->number());
                    });
    ASSERT_TRUE(run_until(world.io, [&] { return calls == 1; }));
    EXPECT_EQ(world.pool.stats().idle, 2u);
    world.end();
}

}  // namespace
