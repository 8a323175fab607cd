// Cancelling an acquire: every type, at every moment, and what it must not cost anybody else.
// rule 12, rule 13, rule 17, rule 44

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <weir/testing/interleave.hpp>

#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using asio::cancellation_type;
using weir::Errc;
using weir::testing::Interleave;

error_code const aborted = asio::error::operation_aborted;

weir::Watermark one(std::optional<std::size_t> max_waiters = std::nullopt) {
    return {.low = 0, .high = 1, .max_waiters = max_waiters};
}

// An acquire and the signal that cancels it.
struct Cancellable : Got {
    asio::cancellation_signal signal;

    auto handler() { return asio::bind_cancellation_slot(signal.slot(), Got::handler()); }
};

class EveryCancellationType : public testing::TestWithParam<cancellation_type> {};

INSTANTIATE_TEST_SUITE_P(Cancellation, EveryCancellationType,
                         testing::Values(cancellation_type::terminal, cancellation_type::partial,
                                         cancellation_type::total, cancellation_type::all));

// ---- one acquire, every type, every moment

// rule 13, rule 44: at once and without a trace, before anybody polls anything.
TEST_P(EveryCancellationType, Rule13EndsAQueuedAcquireAtOnce) {
    Loop<> world{{.size = one(1)}};
    Lease held = world.take();
    Cancellable waiter;
    world.pool.async_acquire(waiter.handler());
    ASSERT_EQ(world.pool.stats().waiting, 1u);
    waiter.signal.emit(GetParam());
    EXPECT_EQ(world.pool.stats().waiting, 0u);
    EXPECT_EQ(world.pool.stats().cancelled, 1u);
    EXPECT_EQ(waiter.calls, 0) << "called from inside emit()";

    Got next;  // its place under max_waiters is free
    world.pool.async_acquire(next.handler());
    EXPECT_EQ(world.pool.stats().waiting, 1u);

    ASSERT_TRUE(run_until(world.io, [&] { return waiter.done(); }));
    EXPECT_TRUE(waiter.failed_with(aborted));
    held.release();
    ASSERT_TRUE(run_until(world.io, [&] { return next.done(); }));
    EXPECT_TRUE(next.succeeded());
    next.lease.release();
    world.end();
    EXPECT_EQ(waiter.calls, 1);
}

// rule 44: a slot remembers nothing; what is emitted before the launch concerns nobody.
TEST_P(EveryCancellationType, Rule44BeforeTheLaunchConcernsNobody) {
    Loop<> world{{.size = one()}};
    Cancellable waiter;
    auto operation = world.pool.async_acquire(asio::deferred);
    waiter.signal.emit(GetParam());
    std::move(operation)(waiter.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return waiter.done(); }));
    EXPECT_TRUE(waiter.succeeded());
    waiter.lease.release();
    world.end();
}

// rule 13: after the grant it has lost the race.
TEST_P(EveryCancellationType, Rule13LosesToAGrant) {
    Loop<> world{{.size = one()}};
    Lease held = world.take();
    Cancellable waiter;
    world.pool.async_acquire(waiter.handler());
    held.release();
    waiter.signal.emit(GetParam());
    ASSERT_TRUE(run_until(world.io, [&] { return waiter.done(); }));
    EXPECT_TRUE(waiter.succeeded());
    EXPECT_EQ(world.pool.stats().cancelled, 0u);
    waiter.lease.release();
    world.end();
    EXPECT_EQ(waiter.calls, 1);
}

// rule 13: the same for an idle hit, granted within the initiation.
TEST_P(EveryCancellationType, Rule13LosesToAnIdleHit) {
    Loop<> world{{.size = one()}};
    world.take().release();
    Cancellable hit;
    world.pool.async_acquire(hit.handler());
    hit.signal.emit(GetParam());
    ASSERT_TRUE(run_until(world.io, [&] { return hit.done(); }));
    EXPECT_TRUE(hit.succeeded());
    hit.lease.release();
    world.end();
}

TEST_P(EveryCancellationType, Rule44AfterTheCompletionConcernsNobody) {
    Loop<> world{{.size = one()}};
    Cancellable first;
    world.pool.async_acquire(first.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return first.done(); }));
    first.signal.emit(GetParam());
    EXPECT_FALSE(has_work(world.io));
    ASSERT_TRUE(first.succeeded());
    EXPECT_EQ(world.pool.stats().leased, 1u);

    Cancellable second;  // the slot is free for the next operation, and the signal reaches that one only
    world.pool.async_acquire(second.handler());
    first.signal.emit(GetParam());
    EXPECT_EQ(world.pool.stats().waiting, 1u);
    second.signal.emit(GetParam());
    EXPECT_EQ(world.pool.stats().waiting, 0u);
    first.lease.release();
    world.end();
    EXPECT_TRUE(second.failed_with(aborted));
}

// rule 17: the caller is free at once; the slot stays with the connect, whose result nobody needs: it becomes idle.
TEST_P(EveryCancellationType, Rule17FreesTheCallerOfAConnectAtOnce) {
    Gated<> world{{.size = one()}};
    world.script.mode = Mode::never;
    Cancellable owner;
    world.pool.async_acquire(owner.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return world.script.in_flight() == 1; }));
    owner.signal.emit(GetParam());
    ASSERT_TRUE(run_until(world.io, [&] { return owner.done(); }));
    EXPECT_TRUE(owner.failed_with(aborted));
    EXPECT_EQ(world.pool.stats().connecting, 1u);
    EXPECT_EQ(world.pool.stats().open, 1u);
    EXPECT_EQ(world.script.in_flight(), 1);
    world.script.gate.open();
    EXPECT_TRUE(run_until(world.io, [&] { return world.pool.stats().idle == 1; }));
    EXPECT_EQ(world.ledger.opened(), 1);
    world.end();
}

TEST(Cancellation, Rule44NoneIsNoCancellation) {
    Loop<> world{{.size = one()}};
    Lease held = world.take();
    Cancellable waiter;
    world.pool.async_acquire(waiter.handler());
    waiter.signal.emit(cancellation_type::none);
    poll(world.io);
    EXPECT_EQ(waiter.calls, 0);
    EXPECT_EQ(world.pool.stats().waiting, 1u);
    held.release();
    ASSERT_TRUE(run_until(world.io, [&] { return waiter.done(); }));
    EXPECT_TRUE(waiter.succeeded());
    waiter.lease.release();
    world.end();
}

// ---- connects whose owner has left

// rule 17: the result goes to the next waiter.
TEST(Cancellation, Rule17GivesTheConnectOfALeaverToTheNextWaiter) {
    Gated<> world{{.size = one()}};
    world.script.mode = Mode::slow;
    Cancellable owner;
    Got waiter;
    world.pool.async_acquire(owner.handler());
    world.pool.async_acquire(waiter.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return world.script.in_flight() == 1; }));
    EXPECT_EQ(world.pool.stats().waiting, 1u);
    owner.signal.emit(cancellation_type::terminal);
    poll(world.io);
    EXPECT_TRUE(owner.failed_with(aborted));
    EXPECT_EQ(world.script.cancelled, 0) << "the connect belongs to the pool";
    world.script.gate.open();
    ASSERT_TRUE(run_until(world.io, [&] { return waiter.done(); }));
    EXPECT_TRUE(waiter.succeeded());
    EXPECT_EQ(world.ledger.opened(), 1);
    waiter.lease.release();
    world.end();
}

// rule 17: where nothing stays idle, it is closed.
TEST(Cancellation, Rule17ClosesTheConnectOfALeaverThatNobodyMayKeep) {
    Gated<weir::DropIdle> world{{.size = one()}};
    world.script.mode = Mode::slow;
    Cancellable owner;
    world.pool.async_acquire(owner.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return world.script.in_flight() == 1; }));
    owner.signal.emit(cancellation_type::total);
    world.script.gate.open();
    EXPECT_TRUE(run_until(world.io, [&] { return world.pool.stats().open == 0; }));
    EXPECT_TRUE(owner.failed_with(aborted));
    EXPECT_EQ(world.ledger.closed(), 1);
    world.end();
}

// rule 17 with a plain connector, which blocks a thread that the caller does not wait for; rule 18: its failure
// answers nobody.
TEST(Cancellation, Rule17LeavesAPlainConnectBehind) {
    Ledger ledger;
    auto state = std::make_shared<BlockingOpener::State>(ledger);
    state->mode = Mode::never;
    asio::io_context io;
    weir::Pool<Conn> pool{io.get_executor(), BlockingOpener{state}, {.size = one()}};
    Cancellable owner;
    pool.async_acquire(owner.handler());
    ASSERT_TRUE(wait_until([&] { return state->begun == 1; }));
    owner.signal.emit(cancellation_type::terminal);
    ASSERT_TRUE(run_until(io, [&] { return owner.done(); }));
    EXPECT_TRUE(owner.failed_with(aborted));
    EXPECT_EQ(pool.stats().connecting, 1u);
    state->open_gate();
    EXPECT_TRUE(run_until(io, [&] { return pool.stats().idle == 1; }));
    expect_clean_end(pool, io);
    EXPECT_TRUE(ledger.all_closed_once());
}

// ---- races decided by the trace

// rule 13: the returner has claimed the waiter and not yet delivered; the cancellation comes too late.
TEST(Cancellation, Rule13LosesToAClaimNotYetDelivered) {
    Cancellable waiter;
    Loop<Interleave> world{
        {.size = one(), .trace = {.after_claim = [&] { waiter.signal.emit(cancellation_type::all); }}}};
    Lease held = world.take();
    world.pool.async_acquire(waiter.handler());
    held.release();
    ASSERT_TRUE(run_until(world.io, [&] { return waiter.done(); }));
    EXPECT_TRUE(waiter.succeeded());
    EXPECT_EQ(world.pool.stats().cancelled, 0u);
    waiter.lease.release();
    world.end();
    EXPECT_EQ(waiter.calls, 1);
}

// rule 13: emitted before anybody can see the waiter, it may come too early or in time, but the handler runs once.
TEST(Cancellation, Rule13BeforeTheQueueEndsExactlyOnce) {
    Cancellable waiter;
    bool armed = false;
    Loop<Interleave> world{{.size = one(), .trace = {.before_enqueue = [&] {
                                               if (std::exchange(armed, false))
                                                   waiter.signal.emit(cancellation_type::all);
                                           }}}};
    Lease held = world.take();
    armed = true;
    world.pool.async_acquire(waiter.handler());
    EXPECT_FALSE(armed) << "before_enqueue was never reached";
    poll(world.io);
    held.release();
    ASSERT_TRUE(run_until(world.io, [&] { return waiter.done(); }));
    EXPECT_TRUE(waiter.succeeded() || waiter.failed_with(aborted));
    waiter.lease.release();
    EXPECT_EQ(world.pool.stats().idle, 1u);
    world.end();
    EXPECT_EQ(waiter.calls, 1);
}

// ---- the dead in front of the living

// rule 12
TEST(Cancellation, Rule12FourThousandCancelledInFrontOfOneEatNoHandOff) {
    constexpr std::size_t crowd = 4'000;
    Loop<> world{{.size = one()}};
    Lease held = world.take();
    std::deque<Cancellable> dead(crowd);
    for (Cancellable& waiter : dead) world.pool.async_acquire(waiter.handler());
    Got living;
    world.pool.async_acquire(living.handler());
    EXPECT_EQ(world.pool.stats().waiting, crowd + 1);
    for (Cancellable& waiter : dead) waiter.signal.emit(cancellation_type::partial);
    EXPECT_EQ(world.pool.stats().waiting, 1u);
    held.release();  // one return, before any of the dead has been told
    EXPECT_EQ(world.pool.stats().waiting, 0u);
    EXPECT_EQ(world.pool.stats().leased, 1u);
    ASSERT_TRUE(run_until(world.io, [&] { return living.done(); }));
    EXPECT_TRUE(living.succeeded());
    EXPECT_TRUE(run_dry(world.io));
    for (Cancellable& waiter : dead) ASSERT_TRUE(waiter.failed_with(aborted));
    EXPECT_EQ(world.pool.stats().cancelled, crowd);
    living.lease.release();
    world.end();
}

// rule 12: expired, whether or not anybody has noticed yet: the context that could notice does not run.
TEST(Cancellation, Rule12FourThousandExpiredInFrontOfOneEatNoHandOff) {
    constexpr std::size_t crowd = 4'000;
    Loop<> world{{.size = one()}};
    Lease held = world.take();
    std::deque<Got> dead(crowd);
    for (Got& waiter : dead) world.pool.async_acquire_for(1ms, waiter.handler());
    auto const all_expired = Clock::now() + 1ms;
    Got living;
    world.pool.async_acquire_for(1min, living.handler());
    std::this_thread::sleep_until(all_expired);
    held.release();
    ASSERT_TRUE(run_until(world.io, [&] { return living.done(); }));
    EXPECT_TRUE(living.succeeded());
    EXPECT_EQ(world.pool.stats().waiting, 0u);
    EXPECT_TRUE(run_dry(world.io));
    for (Got& waiter : dead) ASSERT_TRUE(waiter.failed_with(Errc::timed_out)) << waiter.ec.message();
    EXPECT_EQ(world.pool.stats().timed_out, crowd);
    living.lease.release();
    world.end();
}

// rule 13: leaving from the middle keeps the order of the others.
TEST(Cancellation, Rule13LeavesTheOrderOfTheOthersAlone) {
    Loop<> world{{.size = one()}};
    Lease held = world.take();
    std::deque<Cancellable> line(9);
    for (Cancellable& waiter : line) world.pool.async_acquire(waiter.handler());
    for (std::size_t i : {std::size_t{4}, std::size_t{0}, std::size_t{8}, std::size_t{3}})
        line[i].signal.emit(cancellation_type::all);
    held.release();
    for (std::size_t i : {std::size_t{1}, std::size_t{2}, std::size_t{5}, std::size_t{6}, std::size_t{7}}) {
        ASSERT_TRUE(run_until(world.io, [&] { return line[i].done(); })) << i;
        ASSERT_TRUE(line[i].succeeded()) << i;
        line[i].lease.release();
    }
    world.end();
}

// ---- coroutines

// rule 44: a coroutine lets terminal through by default, total when it says so; the pool answers to both.
TEST(Cancellation, Rule44ReachesACoroutine) {
    for (bool total : {false, true}) {
        Loop<> world{{.size = one()}};
        Lease held = world.take();
        asio::cancellation_signal signal;
        error_code seen;
        bool ended = false;
        auto body = [&]() -> asio::awaitable<void> {
            if (total) co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
            co_await asio::this_coro::throw_if_cancelled(false);
            try {
                Lease lease = co_await world.pool.async_acquire(asio::use_awaitable);
            } catch (boost::system::system_error const& e) {
                seen = e.code();
            }
        };
        asio::co_spawn(world.io, body(),
                       asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr) { ended = true; }));
        ASSERT_TRUE(run_until(world.io, [&] { return world.pool.stats().waiting == 1; }));
        signal.emit(total ? cancellation_type::total : cancellation_type::terminal);
        ASSERT_TRUE(run_until(world.io, [&] { return ended; }));
        EXPECT_EQ(seen, aborted);
        held.release();
        EXPECT_EQ(world.pool.stats().idle, 1u);
        world.end();
    }
}

}  // namespace
