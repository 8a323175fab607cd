// Patience: newcomers may take what is idle while the front waiter can wait. Nobody is forgotten for that.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/points.hpp"
#include "support/waiters.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <future>
#include <gtest/gtest.h>
#include <vector>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::steady_clock;

struct PoolPatience : ::testing::Test {
    using Pool = FakePool<testing::Interleave>;

    FakeConnector connector;
    Points points;
    asio::io_context io;

    Pool::Options patient(steady_clock::duration patience, std::size_t high = 1) const {
        return {.size = {.high = high}, .wait = {.patience = patience}, .trace = points.trace()};
    }
};

// rule 9
TEST_F(PoolPatience, Rule9NewcomersMayTakeWhatIsIdle) {
    Pool pool{io.get_executor(), connector, patient(1h)};
    for (int round = 0; round != 20; ++round) {
        auto lease = pool.acquire();
        bool served = false;
        pool.async_acquire([&](error_code ec, Lease<FakeConn> given) { served = !ec && given; });
        lease.release();
        // The waiter must first wake up, which takes its context, and the newcomer is here already.
        auto newcomer = pool.try_acquire();
        ASSERT_TRUE(newcomer);
        EXPECT_EQ(pool.stats().waiting, 1u) << "who was overtaken still stands in line";
        newcomer->release();
        io.restart();
        io.run();
        EXPECT_TRUE(served) << "nobody else wanted it, and the waiter was not woken";
    }
    expect_drained(pool, connector);
}

// rule 9
TEST_F(PoolPatience, Rule9WithPatienceSpentItIsHandedOver) {
    Pool pool{io.get_executor(), connector, patient(1ms)};
    auto lease = pool.acquire();
    bool served = false;
    pool.async_acquire([&](error_code ec, Lease<FakeConn> given) { served = !ec && given; });
    auto const spent = steady_clock::now() + 20ms;
    EXPECT_TRUE(eventually([&] { return steady_clock::now() > spent; }));
    lease.release();
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted) << "overtook a waiter out of patience";
    io.run();
    EXPECT_TRUE(served);
    expect_drained(pool, connector);
}

// rule 9: the waiter is overtaken until its patience ends, then it is served though newcomers never stop.
TEST_F(PoolPatience, Rule9NobodyWaitsLongerThanItsPatienceAndATurn) {
    Pool pool{connector, patient(20ms)};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    EXPECT_TRUE(eventually([&] {
        if (lease) lease.release();
        if (auto newcomer = pool.try_acquire()) lease = std::move(*newcomer);
        return waiter.wait_for(0s) == std::future_status::ready;
    }));
    lease.release();
    EXPECT_TRUE(waiter.get());
    EXPECT_EQ(pool.stats().timed_out, 0u);
    expect_drained(pool, connector);
}

// rule 11
TEST_F(PoolPatience, Rule11NoWaiterSleepsBesideAnIdleOne) {
    Pool pool{connector, patient(1h)};
    for (int i = 0; i != 50; ++i) {
        auto lease = pool.acquire();
        auto waiter = wait_in_line(pool);
        lease.release();
        EXPECT_TRUE(waiter.get());
    }
    expect_drained(pool, connector);
}

// rule 11
TEST_F(PoolPatience, Rule11TwoReturnsWakeTwoWaiters) {
    Pool pool{connector, patient(1h, 2)};
    for (int i = 0; i != 20; ++i) {
        auto a = pool.acquire();
        auto b = pool.acquire();
        // The first to be served keeps what it got, so the second needs a wake-up of its own.
        auto first = wait_in_line(pool);
        auto second = wait_in_line(pool);
        a.release();
        b.release();
        auto one = first.get();
        auto two = second.get();
        ASSERT_TRUE(one && two);
    }
    expect_drained(pool, connector);
}

// rule 11
TEST_F(PoolPatience, Rule11AReturnBeforeTheWaiterIsSeenReachesIt) {
    Pool pool{connector, patient(1h)};
    auto lease = pool.acquire();
    points.before_enqueue.once([&] { lease.release(); });
    EXPECT_TRUE(pool.try_acquire_for(generous));
    EXPECT_EQ(points.before_enqueue.visits(), 1);
}

// rule 11
TEST_F(PoolPatience, Rule11AWaiterThatComesBeforeTheParkingIsServed) {
    Pool pool{connector, patient(1h)};
    auto lease = pool.acquire();
    std::future<boost::system::result<Lease<FakeConn>>> waiter;
    points.before_idle_push.once([&] { waiter = wait_in_line(pool); });
    lease.release();
    ASSERT_TRUE(waiter.valid());
    EXPECT_TRUE(waiter.get());
    expect_drained(pool, connector);
}

// rule 11, rule 23
TEST_F(PoolPatience, Rule11AFreedSlotServesAWaiterToo) {
    Pool pool{connector, patient(1h)};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    lease.discard();
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 2u);
    served->release();
    expect_drained(pool, connector);
}

// rule 12
TEST_F(PoolPatience, Rule12ExpiredWaitersInFrontEatNoWakeUp) {
    Pool pool{io.get_executor(), connector, patient(1h)};
    auto lease = pool.acquire();
    int timed_out = 0;
    for (int i = 0; i != 100; ++i) {
        pool.async_acquire_for(5ms, [&](error_code ec, Lease<FakeConn>) { timed_out += ec == Errc::timed_out; });
    }
    auto const dead = steady_clock::now() + 10ms;
    auto const waited = pool.stats().waited;
    auto live = acquire_elsewhere(pool);
    EXPECT_TRUE(eventually([&] { return pool.stats().waited == waited + 1; }));
    EXPECT_TRUE(eventually([&] { return steady_clock::now() > dead; }));
    lease.release();
    EXPECT_TRUE(live.get()) << "a dead waiter was woken instead";
    io.run();
    EXPECT_EQ(timed_out, 100);
    expect_drained(pool, connector);
}

// rule 13, rule 11: the first of two is woken and leaves; the resource is still there for the second.
TEST_F(PoolPatience, Rule13AWokenWaiterThatIsCancelledPassesItOn) {
    Pool pool{io.get_executor(), connector, patient(1h)};
    auto lease = pool.acquire();
    asio::cancellation_signal cancel;
    int calls = 0;
    pool.async_acquire(asio::bind_cancellation_slot(cancel.slot(), [&](error_code, Lease<FakeConn>) { ++calls; }));
    auto second = wait_in_line(pool);
    lease.release();
    cancel.emit(asio::cancellation_type::terminal);
    // Served or cancelled, the first one ends here; a lease it got it has dropped.
    io.run();
    EXPECT_EQ(calls, 1);
    EXPECT_TRUE(second.get()) << "the wake-up went with the cancelled one";
    expect_drained(pool, connector);
}

// rule 38
TEST_F(PoolPatience, Rule38ACloseEndsThePatientToo) {
    Pool pool{connector, patient(1h)};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    EXPECT_FALSE(pool.close(0s));
    EXPECT_EQ(waiter.get().error(), Errc::closed);
    lease.release();
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
