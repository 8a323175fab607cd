// The points of the trace: when they are passed, and what may be done there.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/points.hpp"
#include "support/waiters.hpp"

#include <gtest/gtest.h>
#include <type_traits>
#include <weir/policy/trace.hpp>
#include <weir/testing/interleave.hpp>

namespace weir::test {
namespace {

static_assert(std::is_same_v<NoTrace::policy_slot, slot::Trace>);
static_assert(std::is_same_v<testing::Interleave::policy_slot, slot::Trace>);
static_assert(std::is_same_v<decltype(FakePool<>::Options::trace), NoTrace>);

using Traced = FakePool<testing::Interleave>;

TEST(Interleave, EmptyPointsAreNotCalled) {
    FakeConnector connector;
    Traced pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    lease.release();
    EXPECT_TRUE(waiter.get());
    expect_drained(pool, connector);
}

TEST(Interleave, EachPointIsPassedOnItsOwnPath) {
    FakeConnector connector;
    Points points;
    Traced pool{connector, {.size = {.high = 1}, .trace = points.trace()}};
    auto lease = pool.acquire();
    EXPECT_EQ(points.before_enqueue.visits(), 0);
    auto waiter = wait_in_line(pool);
    EXPECT_EQ(points.before_enqueue.visits(), 1);
    EXPECT_EQ(points.before_idle_push.visits(), 0);
    lease.release();
    EXPECT_EQ(points.after_claim.visits(), 1);
    EXPECT_EQ(points.before_idle_push.visits(), 0) << "handed over, not parked";
    waiter.get()->release();
    EXPECT_EQ(points.after_claim.visits(), 1);
    EXPECT_EQ(points.before_idle_push.visits(), 1);
    pool.acquire().discard();
    EXPECT_EQ(points.before_idle_push.visits(), 1) << "closed, not parked";
    expect_drained(pool, connector);
}

// rule 48
TEST(Interleave, Rule48ThePointsMayCallThePool) {
    FakeConnector connector;
    Points points;
    Traced pool{connector, {.size = {.high = 1}, .trace = points.trace()}};
    int calls = 0;
    auto const call = [&] {
        ++calls;
        (void)pool.stats();
        (void)pool.try_acquire();
        (void)pool.acquire_idle();
        pool.sweep();
    };
    auto lease = pool.acquire();
    points.before_enqueue.once(call);
    points.after_claim.once(call);
    auto waiter = wait_in_line(pool);
    lease.release();
    auto served = waiter.get();
    ASSERT_TRUE(served);
    points.before_idle_push.once(call);
    served->release();
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(pool.stats().idle, 1u);
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
