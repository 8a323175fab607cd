// The vocabulary of numbers: what every gauge and counter means, and that a snapshot is one.
// rule 50 (and rule 8, rule 26 for what is counted as what)

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <weir/stats.hpp>
#include <weir/testing/manual_clock.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using weir::Errc;

weir::Watermark at_most(std::size_t high) { return {.low = 0, .high = high}; }

template <class Pool>
weir::Stats snapshot(Pool const& pool) {
    weir::Stats const stats = pool.stats();
    EXPECT_EQ(stats.open, stats.connecting + stats.idle + stats.leased + stats.closing);
    EXPECT_LE(stats.open, stats.high);
    return stats;
}

TEST(Stats, BeginsWithNothingButItsLimit) {
    Loop<> world{{.size = at_most(7)}};
    weir::Stats const s = snapshot(world.pool);
    EXPECT_EQ(s.high, 7u);
    EXPECT_EQ(s.open + s.connecting + s.idle + s.leased + s.closing + s.waiting, 0u);
    EXPECT_EQ(s.acquired + s.waited + s.timed_out + s.cancelled + s.rejected, 0u);
    EXPECT_EQ(s.connected + s.connect_failed + s.settings_applied + s.settings_reset, 0u);
    EXPECT_EQ(s.closed_idle + s.closed_age + s.closed_unhealthy + s.closed_discarded, 0u);
    EXPECT_EQ(s.closed_excess + s.closed_stale + s.closed_drained + s.detached, 0u);
    EXPECT_EQ(s.wait_time, std::chrono::steady_clock::duration::zero());
    EXPECT_EQ(s.connect_time, std::chrono::steady_clock::duration::zero());
    world.end();
}

TEST(Stats, GaugesFollowAResourceThroughItsLife) {
    Gated<> world{{.size = at_most(2)}};
    world.script.mode = Mode::slow;
    Got got;
    world.pool.async_acquire(got.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return world.script.in_flight() == 1; }));
    weir::Stats s = snapshot(world.pool);
    EXPECT_EQ(s.connecting, 1u);
    EXPECT_EQ(s.open, 1u);
    EXPECT_EQ(s.waiting, 0u) << "its own connect is in flight: that is no waiter (rule 8)";
    EXPECT_EQ(s.waited, 0u);

    world.script.gate.open();
    ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
    s = snapshot(world.pool);
    EXPECT_EQ(s.leased, 1u);
    EXPECT_EQ(s.connecting, 0u);
    EXPECT_EQ(s.connected, 1u);
    EXPECT_EQ(s.acquired, 1u);

    got.lease.release();
    s = snapshot(world.pool);
    EXPECT_EQ(s.idle, 1u);
    EXPECT_EQ(s.leased, 0u);

    world.end();
    s = snapshot(world.pool);
    EXPECT_EQ(s.open, 0u);
    EXPECT_EQ(s.closed_drained, 1u);
}

// rule 50: waits are counted when they begin, their ends each as what they are, their time whatever their outcome.
TEST(Stats, Rule50CountsEveryEndOfAWait) {
    Loop<> world{{.size = {.low = 0, .high = 1, .max_waiters = 3}}};
    Lease held = world.take();
    asio::cancellation_signal signal;
    asio::cancellation_signal makes_room;
    Got granted;
    Got expired;
    Got cancelled;
    Got first;
    Got rejected;
    world.pool.async_acquire(granted.handler());
    world.pool.async_acquire(asio::bind_cancellation_slot(signal.slot(), cancelled.handler()));
    world.pool.async_acquire(asio::bind_cancellation_slot(makes_room.slot(), first.handler()));
    world.pool.async_acquire(rejected.handler());
    weir::Stats s = snapshot(world.pool);
    EXPECT_EQ(s.waiting, 3u);
    EXPECT_EQ(s.waited, 3u) << "counted when they begin";
    EXPECT_EQ(s.rejected, 1u) << "counted as rejected and not as waited (rule 8)";

    makes_room.emit(asio::cancellation_type::terminal);
    world.pool.async_acquire_for(50ms, expired.handler());
    EXPECT_EQ(snapshot(world.pool).waited, 4u);
    ASSERT_TRUE(run_until(world.io, [&] { return expired.done(); }));
    s = snapshot(world.pool);
    EXPECT_EQ(s.timed_out, 1u);
    EXPECT_EQ(s.cancelled, 1u);
    EXPECT_GE(s.wait_time, 50ms);
    signal.emit(asio::cancellation_type::terminal);
    auto const after_cancel = snapshot(world.pool);
    EXPECT_EQ(after_cancel.cancelled, 2u);
    EXPECT_GE(after_cancel.wait_time, s.wait_time + 40ms);
    held.release();
    ASSERT_TRUE(run_until(world.io, [&] { return granted.done(); }));
    s = snapshot(world.pool);
    EXPECT_GE(s.wait_time, after_cancel.wait_time + 40ms);
    EXPECT_EQ(s.acquired, 2u);
    EXPECT_EQ(s.waited, 4u);
    EXPECT_EQ(s.waiting, 0u);
    granted.lease.release();
    world.end();
}

// rule 50: an idle hit waits for nothing and is not counted so.
TEST(Stats, Rule50AnIdleHitIsNoWait) {
    Loop<> world;
    for (int i = 0; i != 5; ++i) world.take().release();
    weir::Stats const s = snapshot(world.pool);
    EXPECT_EQ(s.acquired, 5u);
    EXPECT_EQ(s.connected, 1u);
    EXPECT_EQ(s.waited, 0u);
    EXPECT_EQ(s.wait_time, 0ns);
    EXPECT_GT(s.connect_time, 0ns);
    world.end();
}

TEST(Stats, CountsFailedAttempts) {
    Gated<> world;
    world.script.mode = Mode::error;
    for (int i = 0; i != 3; ++i) {
        Got got;
        world.pool.async_acquire(got.handler());
        ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
        EXPECT_EQ(got.ec, refused());
    }
    weir::Stats const s = snapshot(world.pool);
    EXPECT_EQ(s.connect_failed, 3u);
    EXPECT_EQ(s.connected, 0u);
    EXPECT_EQ(s.acquired, 0u);
    EXPECT_EQ(s.connect_time, 0ns) << "the sum is of what was opened";
    world.end();
}

// rule 50: every close has exactly one cause.
TEST(Stats, Rule50EveryCloseHasOneCause) {
    auto causes = [](weir::Stats const& s) {
        return s.closed_idle + s.closed_age + s.closed_unhealthy + s.closed_discarded + s.closed_excess +
               s.closed_stale + s.closed_drained + s.detached;
    };
    {
        Loop<weir::DropIdle> world;
        world.take().release();
        EXPECT_TRUE(run_until(world.io, [&] { return world.pool.stats().open == 0; }));
        EXPECT_EQ(snapshot(world.pool).closed_idle, 1u);
        EXPECT_EQ(causes(world.pool.stats()), 1u);
        world.end();
    }
    {
        Loop<> world{{.idle = {.ttl = 1h, .max_idle = 1}}};
        Lease a = world.take();
        Lease b = world.take();
        a.release();
        b.release();
        EXPECT_TRUE(run_until(world.io, [&] { return world.pool.stats().open == 1; }));
        EXPECT_EQ(snapshot(world.pool).closed_excess, 1u);
        world.end();
        EXPECT_EQ(world.pool.stats().closed_drained, 1u);
        EXPECT_EQ(causes(world.pool.stats()), 2u);
    }
    {
        Loop<> world;
        Lease discarded = world.take();
        Lease detached = world.take();
        Lease late = world.take();
        Lease late_and_broken = world.take();
        discarded.discard();
        { detached.detach().closed(); }
        EXPECT_FALSE(world.pool.close(0s));
        late.release();
        late_and_broken.discard();
        world.end();
        weir::Stats const s = snapshot(world.pool);
        EXPECT_EQ(s.closed_discarded, 1u);
        EXPECT_EQ(s.detached, 1u);
        EXPECT_EQ(s.closed_drained, 2u) << "anything after closing began is drained";
        EXPECT_EQ(causes(s), s.connected);
    }
}

TEST(Stats, Rule50AnExpiredIdleOneIsClosedAsIdle) {
    Loop<weir::testing::ManualClock> world{{.idle = {.ttl = 10s}}};
    world.take().release();
    weir::testing::ManualClock::advance(11s);
    world.pool.sweep();
    EXPECT_TRUE(run_until(world.io, [&] { return world.pool.stats().open == 0; }));
    EXPECT_EQ(snapshot(world.pool).closed_idle, 1u);
    world.end();
}

// rule 50: snapshots are consistent while everything moves.
TEST(Stats, Rule50SnapshotsAreConsistentUnderLoad) {
    Ledger ledger;
    weir::Pool<Conn> pool{PlainOpener{ledger}, {.size = at_most(3)}};
    std::atomic<bool> stop{false};
    std::vector<std::thread> users;
    for (int t = 0; t != 3; ++t) {
        users.emplace_back([&, t] {
            for (int i = 0; !stop; ++i) {
                auto lease = pool.try_acquire_for(1min);
                if (!lease) continue;
                if ((i + t) % 16 == 0) lease->discard();
            }
        });
    }
    weir::Stats last = pool.stats();
    for (int i = 0; i != 20'000 && !HasFailure(); ++i) {
        weir::Stats const now = snapshot(pool);
        EXPECT_LE(now.waiting, 3u);
        EXPECT_GE(now.acquired, last.acquired);
        EXPECT_GE(now.connected, last.connected);
        EXPECT_GE(now.closed_discarded, last.closed_discarded);
        EXPECT_LE(now.closed_discarded, now.connected);
        last = now;
    }
    stop = true;
    for (std::thread& user : users) user.join();
    EXPECT_TRUE(pool.close(patience));
    weir::Stats const end = snapshot(pool);
    EXPECT_EQ(end.open, 0u);
    EXPECT_EQ(end.connected, end.closed_discarded + end.closed_drained);
    EXPECT_EQ(end.connected, static_cast<std::uint64_t>(ledger.opened()));
    EXPECT_TRUE(ledger.all_closed_once());
}

}  // namespace
