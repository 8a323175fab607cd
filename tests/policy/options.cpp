// The options of a pool: one member per slot, in the order of the contract, whatever the order of the policies.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/points.hpp"
#include "support/recorder.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <gtest/gtest.h>
#include <type_traits>
#include <weir/testing/manual_clock.hpp>
#include <weir/weir.hpp>

namespace weir::test {
namespace {

using Everything = FakePool<testing::Interleave, LockedQueue, DiscardOnDrop, testing::ManualClock, Recorder, NoSettings,
                            NoUpkeep, ConnectOnce, Fifo, KeepIdle, Unbounded>;

static_assert(std::is_same_v<FakePool<>::value_type, FakeConn>);
static_assert(std::is_same_v<FakePool<>::executor_type, boost::asio::any_io_executor>);
static_assert(!std::is_copy_constructible_v<FakePool<>> && !std::is_move_constructible_v<FakePool<>>);
static_assert(!std::is_copy_assignable_v<FakePool<>> && !std::is_move_assignable_v<FakePool<>>);
static_assert(std::is_default_constructible_v<FakePool<>::Options>);
static_assert(!std::is_convertible_v<FakeConnector, FakePool<>>, "the constructor is explicit");
static_assert(noexcept(std::declval<FakePool<> const&>().closed()));
static_assert(noexcept(std::declval<FakePool<> const&>().get_executor()));
static_assert(
    std::is_same_v<decltype(std::declval<FakePool<>&>().try_acquire()), boost::system::result<Lease<FakeConn>>>);

TEST(Options, StandInTheOrderOfTheContract) {
    FakeConnector connector;
    Points points;
    Everything pool{connector,
                    {.size = {},
                     .idle = {},
                     .wait = {.timeout = 1s, .patience = 0s},
                     .connect = {.timeout = 1s, .max_concurrent = 3},
                     .upkeep = {},
                     .drop = {},
                     .observer = {},
                     .trace = points.trace()}};
    { auto const lease = pool.acquire(); }
    EXPECT_EQ(pool.stats().closed_discarded, 1u) << "DiscardOnDrop was lost among the others";
    pool.acquire().release();
    EXPECT_EQ(points.before_idle_push.visits(), 1);
    expect_drained(pool, connector);
}

TEST(Options, PoliciesComeInAnyOrder) {
    FakeConnector connector;
    FakePool<DropIdle, LockedStack> one{connector};
    FakePool<LockedStack, DropIdle> other{connector};
    one.acquire().release();
    other.acquire().release();
    EXPECT_EQ(one.stats().closed_idle, 1u);
    EXPECT_EQ(other.stats().closed_idle, 1u);
    expect_drained(one, connector);
    expect_drained(other, connector);
}

TEST(Options, AnyExecutorServes) {
    FakeConnector connector;
    boost::asio::thread_pool threads{1};
    FakePool<> pool{threads.get_executor(), connector};
    EXPECT_EQ(pool.get_executor(), FakePool<>::executor_type{threads.get_executor()});
    EXPECT_TRUE(pool.acquire());
    expect_drained(pool, connector);
    threads.join();
}

TEST(Options, WithoutAnExecutorThePoolHasOneOfItsOwn) {
    FakeConnector connector;
    FakePool<> pool{connector};
    EXPECT_TRUE(pool.get_executor());
    EXPECT_TRUE(pool.acquire());
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
