// The races that matter, made to happen on purpose: while an acquirer is about to wait, and while a
// returner is about to deliver. The third point, before parking, is in interleave_parking.cpp.

#include "support/interleaved.hpp"

#include <atomic>
#include <barrier>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <chrono>
#include <cstdint>
#include <future>
#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <vector>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::steady_clock;

TYPED_TEST_SUITE(Interleaved, Stores);

// ---- an acquirer has decided to wait, and nobody can see it yet

// rule 11
TYPED_TEST(Interleaved, Rule11AReturnBeforeTheWaiterIsSeenReachesIt) {
    typename TestFixture::Pool pool{this->connector, this->options(1)};
    auto lease = pool.acquire();
    this->points.before_enqueue.once([&] { this->elsewhere([&] { lease.release(); }); });
    auto const served = pool.try_acquire_for(generous);
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 1u);
    EXPECT_EQ(this->points.before_enqueue.visits(), 1);
    EXPECT_EQ(pool.stats().waiting, 0u);
}

// rule 11
TYPED_TEST(Interleaved, Rule11RoomThatAppearsBeforeTheWaiterIsSeenReachesIt) {
    typename TestFixture::Pool pool{this->connector, this->options(1)};
    auto lease = pool.acquire();
    this->points.before_enqueue.once([&] { this->elsewhere([&] { lease.discard(); }); });
    auto served = pool.try_acquire_for(generous);
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 2u);
    this->points.before_enqueue.once([&] {
        this->elsewhere([&] {
            auto conn = served->detach();
            this->connector.close(conn);
        });
    });
    auto again = pool.try_acquire_for(generous);
    ASSERT_TRUE(again);
    EXPECT_EQ((*again)->id(), 3u);
    EXPECT_EQ(this->points.before_enqueue.visits(), 2);
    again->release();
    expect_drained(pool, this->connector);
}

// rule 11, rule 18
TYPED_TEST(Interleaved, Rule11AConnectThatFailsBeforeTheWaiterIsSeenLeavesItsRoomToIt) {
    typename TestFixture::Pool pool{this->connector, this->options(1)};
    this->connector.gate(Hook::connect, Gate::never);
    auto first = acquire_elsewhere(pool);
    EXPECT_TRUE(this->connector.await_blocked(Hook::connect, 1));
    this->points.before_enqueue.once([&] {
        this->connector.pass(Hook::connect, Gate::error);
        EXPECT_FALSE(first.get());
        this->connector.gate(Hook::connect, Gate::ok);
    });
    auto served = pool.try_acquire_for(generous);
    ASSERT_TRUE(served);
    EXPECT_EQ(this->points.before_enqueue.visits(), 1);
    served->release();
    expect_drained(pool, this->connector);
}

// rule 11, rule 44
TYPED_TEST(Interleaved, Rule11AnAsyncWaiterTooIsReachedByAReturnBeforeItIsSeen) {
    typename TestFixture::Pool pool{this->io.get_executor(), this->connector, this->options(1)};
    auto lease = pool.acquire();
    this->points.before_enqueue.once([&] { this->elsewhere([&] { lease.release(); }); });
    int served = 0;
    pool.async_acquire_for(generous, [&](error_code ec, Lease<FakeConn> given) {
        EXPECT_FALSE(ec);
        served += given ? 1 : 0;
    });
    EXPECT_EQ(served, 0);
    this->io.run();
    EXPECT_EQ(served, 1);
    expect_drained(pool, this->connector);
}

// rule 11: the deadline passes as well. Whoever notices first, the resource is not lost.
TYPED_TEST(Interleaved, Rule11AReturnAndTheDeadlineBeforeTheWaiterIsSeen) {
    typename TestFixture::Pool pool{this->connector, this->options(1)};
    auto lease = pool.acquire();
    steady_clock::time_point deadline;
    this->points.before_enqueue.once([&] {
        this->elsewhere([&] { lease.release(); });
        this->until(deadline + 5ms);
    });
    for (std::uint64_t early = 0;; ++early) {
        deadline = steady_clock::now() + 20ms;
        auto const result = pool.try_acquire_until(deadline);
        if (!result) {
            EXPECT_EQ(result.error(), Errc::timed_out);
        }
        if (this->points.before_enqueue.visits() == 0) continue;  // its time was up before it asked
        EXPECT_EQ(pool.stats().idle, result ? 0u : 1u);
        EXPECT_EQ(pool.stats().timed_out, early + (result ? 0u : 1u));
        break;
    }
    EXPECT_EQ(this->points.before_enqueue.visits(), 1);
    EXPECT_EQ(pool.stats().waiting, 0u);
    expect_drained(pool, this->connector);
}

// rule 13
TYPED_TEST(Interleaved, Rule13TheDeadlineAloneBeforeTheWaiterIsSeen) {
    typename TestFixture::Pool pool{this->connector, this->options(1, 1)};
    auto lease = pool.acquire();
    auto const deadline = steady_clock::now() + 5ms;
    this->points.before_enqueue.once([&] { this->until(deadline + 5ms); });
    EXPECT_EQ(pool.try_acquire_until(deadline).error(), Errc::timed_out);
    EXPECT_EQ(pool.stats().waiting, 0u);
    // Nothing of it is left to eat a hand-off or a place in line.
    auto waiter = wait_in_line(pool);
    lease.release();
    EXPECT_TRUE(waiter.get());
    expect_drained(pool, this->connector);
}

// rule 8
TYPED_TEST(Interleaved, Rule8MaxWaitersIsStrictWhenAllDecideAtOnce) {
    constexpr int acquirers = 6;
    typename TestFixture::Pool pool{this->connector, this->options(1, 2)};
    auto lease = pool.acquire();
    std::barrier all_here{acquirers};
    this->points.before_enqueue.always([&] { all_here.arrive_and_wait(); });
    std::atomic<int> rejected{0};
    std::atomic<int> served{0};
    std::vector<std::thread> threads;
    for (int i = 0; i != acquirers; ++i) {
        threads.emplace_back([&] {
            auto const result = pool.try_acquire_for(generous);
            if (result) {
                ++served;
            } else if (result.error() == Errc::too_many_waiters) {
                ++rejected;
            }
        });
    }
    EXPECT_TRUE(eventually([&] { return rejected == acquirers - 2; }));
    EXPECT_EQ(pool.stats().waiting, 2u);
    lease.release();
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(served, 2);
    EXPECT_EQ(pool.stats().waited, 2u);
    EXPECT_EQ(pool.stats().rejected, acquirers - 2u);
    expect_drained(pool, this->connector);
}

// rule 38: closing comes between deciding to wait and waiting.
TYPED_TEST(Interleaved, Rule38AClosedPoolIsNotWaitedFor) {
    typename TestFixture::Pool pool{this->connector, this->options(1)};
    auto lease = pool.acquire();
    this->points.before_enqueue.once([&] { this->elsewhere([&] { EXPECT_FALSE(pool.close(0s)); }); });
    auto const result = pool.try_acquire_for(generous);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), Errc::closed);
    EXPECT_EQ(pool.stats().waiting, 0u);
    lease.release();
    expect_drained(pool, this->connector);
}

// ---- a returner has taken a waiter out of the queue, and not yet delivered

// rule 9
TYPED_TEST(Interleaved, Rule9ANewcomerBetweenClaimAndDeliveryGetsNothing) {
    typename TestFixture::Pool pool{this->connector, this->options(1)};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    this->points.after_claim.once([&] {
        this->elsewhere([&] {
            EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
            EXPECT_EQ(pool.try_acquire_for(0s).error(), Errc::timed_out);
            EXPECT_TRUE(pool.acquire_idle().empty());
        });
    });
    lease.release();
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 1u);
    EXPECT_EQ(this->points.after_claim.visits(), 1);
    EXPECT_EQ(this->connector.calls(Hook::connect), 1u);
    served->release();
    expect_drained(pool, this->connector);
}

// rule 9, rule 13
TYPED_TEST(Interleaved, Rule13ADeadlineAfterTheClaimIsTooLate) {
    typename TestFixture::Pool pool{this->connector, this->options(1)};
    for (bool is_claimed = false; !is_claimed;) {
        auto lease = pool.acquire();
        auto const before = pool.stats().timed_out;
        // Generous towards the waiter getting into line, and the claim comes right after: in time, or there is none.
        auto const deadline = steady_clock::now() + 100ms;
        auto waiter = std::async(std::launch::async, [&] { return pool.try_acquire_until(deadline); });
        EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 1 || steady_clock::now() > deadline; }));
        this->points.after_claim.once([&] { this->until(deadline + 20ms); });
        lease.release();
        auto served = waiter.get();
        is_claimed = this->points.after_claim.visits() == 1;
        if (!is_claimed) continue;
        ASSERT_TRUE(served) << "a claimed waiter timed out";
        EXPECT_EQ(pool.stats().timed_out, before);
        EXPECT_EQ(pool.stats().leased, 1u);
    }
    expect_drained(pool, this->connector);
}

// rule 13
TYPED_TEST(Interleaved, Rule13ACancellationAfterTheClaimIsTooLate) {
    typename TestFixture::Pool pool{this->io.get_executor(), this->connector, this->options(1)};
    auto lease = pool.acquire();
    asio::cancellation_signal cancel;
    int calls = 0;
    error_code got = asio::error::operation_aborted;
    pool.async_acquire(asio::bind_cancellation_slot(cancel.slot(), [&](error_code ec, Lease<FakeConn> given) {
        ++calls;
        got = ec;
        EXPECT_TRUE(given);
    }));
    this->points.after_claim.once([&] { cancel.emit(asio::cancellation_type::terminal); });
    lease.release();
    this->io.run();
    EXPECT_EQ(this->points.after_claim.visits(), 1);
    EXPECT_EQ(calls, 1);
    EXPECT_FALSE(got) << got.message();
    EXPECT_EQ(pool.stats().cancelled, 0u);
    expect_drained(pool, this->connector);
}

// rule 38
TYPED_TEST(Interleaved, Rule38AWaiterClaimedBeforeTheCloseKeepsItsResource) {
    typename TestFixture::Pool pool{this->connector, this->options(1)};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    this->points.after_claim.once([&] { this->elsewhere([&] { EXPECT_FALSE(pool.close(0s)); }); });
    lease.release();
    auto served = waiter.get();
    ASSERT_TRUE(served);
    { auto const use = (*served)->use(); }
    EXPECT_EQ(this->connector.closed(), 0u);
    served->release();
    EXPECT_EQ(pool.stats().closed_drained, 1u);
    expect_drained(pool, this->connector);
}

// rule 24, rule 43: the pool goes away under a return.
TYPED_TEST(Interleaved, Rule24APoolDestroyedBetweenClaimAndDelivery) {
    auto pool =
        std::make_unique<typename TestFixture::Pool>(this->io.get_executor(), this->connector, this->options(1));
    auto lease = pool->acquire();
    int served = 0;
    pool->async_acquire([&](error_code ec, Lease<FakeConn> given) {
        EXPECT_FALSE(ec) << ec.message();
        served += given ? 1 : 0;
    });
    this->points.after_claim.once([&] { this->elsewhere([&] { pool.reset(); }); });
    lease.release();
    EXPECT_FALSE(pool);
    this->io.run();
    EXPECT_EQ(served, 1);
    expect_settled(this->connector);
}

// rule 9
TYPED_TEST(Interleaved, Rule9ASecondReturnWhileTheFirstDeliversServesTheSecondWaiter) {
    typename TestFixture::Pool pool{this->connector, this->options(2)};
    auto one = pool.acquire();
    auto two = pool.acquire();
    auto first = wait_in_line(pool);
    auto second = wait_in_line(pool);
    this->points.after_claim.once([&] {
        this->elsewhere([&] { two.release(); });
        // The first return stands still, the second one has gone by.
        auto served = second.get();
        ASSERT_TRUE(served);
        EXPECT_EQ((*served)->id(), 2u);
    });
    one.release();
    auto served = first.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 1u);
    served->release();
    expect_drained(pool, this->connector);
}

}  // namespace
}  // namespace weir::test
