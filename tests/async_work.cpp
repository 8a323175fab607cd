// What an asynchronous acquire holds while it is outstanding and what a completion does that nobody takes.
// rule 25, rule 45, rule 46

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <algorithm>
#include <memory>
#include <optional>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using weir::Errc;

weir::Watermark one() { return {.low = 0, .high = 1}; }

// ---- work

// rule 45
TEST(AsyncWork, Rule45NeitherContextRunsDryUnderAWaiter) {
    Loop<> world{{.size = one()}};
    asio::io_context other;
    Lease held = world.take();
    Got got;
    world.pool.async_acquire(asio::bind_executor(other, got.handler()));
    EXPECT_TRUE(has_work(world.io)) << "the pool's context may return under a waiter";
    EXPECT_TRUE(has_work(other)) << "the handler's context may return under a waiter";
    held.release();
    ASSERT_TRUE(run_until(other, [&] { return got.done(); }));
    EXPECT_TRUE(run_dry(other));
    EXPECT_TRUE(run_dry(world.io));
    got.lease.release();
    world.end();
}

// rule 45, with the connect in flight on a thread that neither context knows.
TEST(AsyncWork, Rule45NeitherContextRunsDryUnderAPlainConnect) {
    Ledger ledger;
    auto state = std::make_shared<BlockingOpener::State>(ledger);
    state->mode = Mode::never;
    asio::io_context io;
    asio::io_context other;
    weir::Pool<Conn> pool{io.get_executor(), BlockingOpener{state}};
    Got got;
    pool.async_acquire(asio::bind_executor(other, got.handler()));
    ASSERT_TRUE(wait_until([&] {
        poll(io);
        return state->begun == 1;
    }));
    EXPECT_TRUE(has_work(io));
    EXPECT_TRUE(has_work(other));
    state->open_gate();
    ASSERT_TRUE(run_until(other, [&] { return got.done(); }));
    EXPECT_TRUE(got.succeeded());
    got.lease.release();
    expect_clean_end(pool, io);
    EXPECT_TRUE(ledger.all_closed_once());
}

// rule 45: a lease, an idle resource and the maintenance it needs hold no work.
TEST(AsyncWork, Rule45LeasesAndMaintenanceLetRunReturn) {
    Loop<> world{{.idle = {.ttl = 5min}}};
    Lease held = world.take();
    EXPECT_TRUE(run_dry(world.io)) << "a lease keeps run() from returning";
    held.release();
    EXPECT_FALSE(has_work(world.io)) << "an idle resource keeps run() from returning";
    world.pool.sweep();
    EXPECT_FALSE(has_work(world.io)) << "a sweep keeps run() from returning";
    world.end();
}

// rule 45: the work goes with the acquire, whatever its end.
TEST(AsyncWork, Rule45ReleasesItsWorkWithEveryKindOfEnd) {
    Loop<> world{{.size = one()}};
    asio::io_context other;
    Lease held = world.take();

    Got expired;
    world.pool.async_acquire_for(1ms, asio::bind_executor(other, expired.handler()));
    ASSERT_TRUE(run_until(world.io, [&] { return world.pool.stats().waiting == 0; }));
    EXPECT_TRUE(run_dry(other));
    EXPECT_TRUE(run_dry(world.io));
    EXPECT_TRUE(expired.failed_with(Errc::timed_out));

    asio::cancellation_signal signal;
    Got cancelled;
    world.pool.async_acquire(
        asio::bind_executor(other, asio::bind_cancellation_slot(signal.slot(), cancelled.handler())));
    signal.emit(asio::cancellation_type::total);
    EXPECT_TRUE(run_dry(other));
    EXPECT_TRUE(run_dry(world.io));
    EXPECT_TRUE(cancelled.failed_with(asio::error::operation_aborted));

    held.release();
    world.end();
}

// ---- until the handler has run

// rule 46
TEST(AsyncWork, Rule46AGrantedLeaseCountsAsLeasedUntilItsHandlerRuns) {
    Loop<> world{{.size = one()}};
    Lease held = world.take();
    Got got;
    world.pool.async_acquire(got.handler());
    held.release();
    auto const stats = world.pool.stats();
    EXPECT_EQ(stats.leased, 1u);
    EXPECT_EQ(stats.idle, 0u);
    EXPECT_EQ(stats.waiting, 0u);
    EXPECT_EQ(got.calls, 0);
    EXPECT_FALSE(world.pool.try_acquire().has_value()) << "overtook a waiter (rule 9)";
    ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
    EXPECT_TRUE(got.succeeded());
    got.lease.release();
    world.end();
}

// rule 46: a context that ends drops its handlers; the leases in them go back.
TEST(AsyncWork, Rule46ACompletionDroppedUncalledGivesItsLeaseBack) {
    Loop<> world{{.size = one()}};
    auto other = std::make_optional<asio::io_context>();
    Lease held = world.take();
    Got dropped;
    world.pool.async_acquire(asio::bind_executor(*other, dropped.handler()));
    held.release();
    ASSERT_EQ(world.pool.stats().leased, 1u);
    other.reset();
    EXPECT_EQ(dropped.calls, 0);
    EXPECT_EQ(world.pool.stats().idle, 1u);
    EXPECT_EQ(world.pool.stats().leased, 0u);
    world.end();
}

// rule 46: a deferred operation is nothing until it is launched.
TEST(AsyncWork, Rule46ADeferredOperationNeverLaunchedTakesNothing) {
    Loop<> world;
    {
        [[maybe_unused]] auto operation = world.pool.async_acquire();
        [[maybe_unused]] auto timed = world.pool.async_acquire_for(1s);
        EXPECT_FALSE(has_work(world.io));
    }
    EXPECT_EQ(world.ledger.opened(), 0);
    EXPECT_EQ(world.pool.stats().acquired, 0u);
    world.end();
}

// ---- no recursion

// rule 25: 100,000 handlers that release at once, each serving the next, one after another and never nested.
TEST(AsyncWork, Rule25HandlersThatReleaseAtOnceDoNotRecurse) {
    constexpr int crowd = 100'000;
    Loop<> world{{.size = one(), .wait = {.timeout = 1h}}};
    Lease held = world.take();
    int served = 0;
    int depth = 0;
    int deepest = 0;
    for (int i = 0; i != crowd; ++i) {
        world.pool.async_acquire([&](error_code ec, Lease lease) {
            deepest = std::max(deepest, ++depth);
            served += ec ? 0 : 1;
            lease.release();
            --depth;
        });
    }
    EXPECT_EQ(world.pool.stats().waiting, static_cast<std::size_t>(crowd));
    held.release();
    EXPECT_TRUE(run_until(world.io, [&] { return served == crowd; }));
    EXPECT_EQ(deepest, 1);
    EXPECT_EQ(world.ledger.opened(), 1);
    world.end();
}

// rule 25 the other way round: each handler asks again before it releases.
TEST(AsyncWork, Rule25AHandlerThatReacquiresDoesNotRecurse) {
    Loop<> world{{.size = one()}};
    struct Loopback {
        decltype(world)& w;
        int left = 100'000;
        int depth = 0;
        int deepest = 0;
        void next() {
            w.pool.async_acquire([this](error_code ec, Lease lease) {
                deepest = std::max(deepest, ++depth);
                if (!ec && --left > 0) {
                    next();
                    lease.release();
                }
                --depth;
            });
        }
    } loopback{world};
    loopback.next();
    EXPECT_TRUE(run_until(world.io, [&] { return loopback.left == 0; }));
    EXPECT_EQ(loopback.deepest, 1);
    EXPECT_EQ(world.ledger.opened(), 1);
    world.end();
}

// rule 45: with patience a waiter may be summoned in vain, and goes on needing both contexts.
TEST(AsyncWork, Rule45AVainSummonsKeepsTheWork) {
    Ledger ledger;
    asio::io_context pools, own;
    weir::Pool<Conn> pool{pools.get_executor(),
                          [&] { return Conn{ledger}; },
                          {.size = {.low = 0, .high = 1}, .wait = {.timeout = 1h, .patience = 1h}}};
    Lease lease = pool.acquire();
    Got got;
    pool.async_acquire(asio::bind_executor(own, got.handler()));
    EXPECT_TRUE(has_work(pools));
    lease.release();
    lease = pool.try_acquire().value();  // somebody is faster
    poll(own);
    EXPECT_FALSE(got.done());
    EXPECT_TRUE(has_work(pools));
    lease.release();
    ASSERT_TRUE(run_until(own, [&] { return got.done(); }));
    EXPECT_TRUE(got.succeeded()) << got.ec.message();
    got.lease.release();
    expect_clean_end(pool, pools);
}

// rule 20: what lies parked for a patient waiter is what it was owed.
TEST(AsyncWork, Rule20APatientWaiterIsOpenedForOnce) {
    Ledger ledger;
    asio::io_context io;
    weir::Pool<Conn> pool{io.get_executor(), [&] { return Conn{ledger}; }, {.wait = {.timeout = 1h, .patience = 1h}}};
    Got got;
    pool.async_acquire(got.handler());
    weir::Stats stats;
    ASSERT_TRUE(wait_until([&] { return (stats = pool.stats()).idle > 0; }));
    EXPECT_EQ(stats.open, 1u);
    ASSERT_TRUE(run_until(io, [&] { return got.done(); }));
    got.lease.release();
    expect_clean_end(pool, io);
    EXPECT_EQ(ledger.opened(), 1);
}

// rule 20: a connect whose acquirer has left is for the next who comes.
TEST(AsyncWork, Rule20AConnectThatNobodyClaimsIsAdopted) {
    Ledger ledger;
    auto state = std::make_shared<BlockingOpener::State>(ledger);
    state->mode = Mode::never;
    asio::io_context io;
    weir::Pool<Conn> pool{io.get_executor(), BlockingOpener{state}};
    for (int i = 0; i != 5; ++i) {
        Got hasty;
        pool.async_acquire_for(1ms, hasty.handler());
        ASSERT_TRUE(run_until(io, [&] { return hasty.done(); }));
        EXPECT_TRUE(hasty.failed_with(Errc::timed_out)) << hasty.ec.message();
    }
    EXPECT_EQ(pool.stats().open, 1u);
    Got got;
    pool.async_acquire(got.handler());
    EXPECT_EQ(pool.stats().waiting, 0u) << "a connect is under way for it";
    state->open_gate();
    ASSERT_TRUE(run_until(io, [&] { return got.done(); }));
    EXPECT_TRUE(got.succeeded()) << got.ec.message();
    got.lease.release();
    expect_clean_end(pool, io);
    EXPECT_EQ(ledger.opened(), 1);
}

}  // namespace
