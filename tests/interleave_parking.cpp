// The races of a return that has seen no waiter and has not yet parked its resource. The other two
// points of the trace are in interleave.cpp.

#include "support/interleaved.hpp"

#include <future>
#include <gtest/gtest.h>
#include <memory>
#include <thread>

namespace weir::test {
namespace {

template <class Store>
struct Parking : Interleaved<Store> {};
TYPED_TEST_SUITE(Parking, Stores);

// rule 11
TYPED_TEST(Parking, Rule11AWaiterThatComesBeforeTheParkingIsServed) {
    typename TestFixture::Pool pool{this->connector, this->options(1)};
    auto lease = pool.acquire();
    std::future<boost::system::result<Lease<FakeConn>>> waiter;
    this->points.before_idle_push.once([&] { waiter = wait_in_line(pool); });
    lease.release();
    ASSERT_TRUE(waiter.valid());
    EXPECT_EQ(this->points.before_idle_push.visits(), 1);
    auto served = waiter.get();
    ASSERT_TRUE(served) << "slept beside an idle one";
    EXPECT_EQ((*served)->id(), 1u);
    served->release();
    expect_drained(pool, this->connector);
}

// rule 11
TYPED_TEST(Parking, Rule11OfTwoReturnsAndOneWaiterOneServesAndOneParks) {
    typename TestFixture::Pool pool{this->connector, this->options(2)};
    auto one = pool.acquire();
    auto two = pool.acquire();
    std::future<boost::system::result<Lease<FakeConn>>> waiter;
    this->points.before_idle_push.once([&] {
        waiter = wait_in_line(pool);
        this->elsewhere([&] { two.release(); });
    });
    one.release();
    ASSERT_TRUE(waiter.valid());
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ(pool.stats().idle, 1u);
    EXPECT_EQ(pool.stats().leased, 1u);
    served->release();
    EXPECT_EQ(this->connector.calls(Hook::connect), 2u);
    expect_drained(pool, this->connector);
}

// rule 13, rule 11
TYPED_TEST(Parking, Rule13AWaiterThatComesAndLeavesBeforeTheParkingTakesNothing) {
    typename TestFixture::Pool pool{this->connector, this->options(1)};
    auto lease = pool.acquire();
    this->points.before_idle_push.once(
        [&] { this->elsewhere([&] { EXPECT_EQ(pool.try_acquire_for(1ms).error(), Errc::timed_out); }); });
    lease.release();
    EXPECT_EQ(pool.stats().idle, 1u);
    EXPECT_EQ(pool.stats().waiting, 0u);
    auto const next = pool.try_acquire();
    ASSERT_TRUE(next);
    EXPECT_EQ((*next)->id(), 1u);
}

// rule 38, rule 39
TYPED_TEST(Parking, Rule39AfterACloseNothingIsParked) {
    typename TestFixture::Pool pool{this->connector, this->options(1)};
    auto lease = pool.acquire();
    this->points.before_idle_push.once([&] { this->elsewhere([&] { EXPECT_FALSE(pool.close(0s)); }); });
    lease.release();
    EXPECT_EQ(this->points.before_idle_push.visits(), 1);
    EXPECT_EQ(pool.stats().idle, 0u);
    EXPECT_EQ(pool.stats().closed_drained, 1u);
    expect_drained(pool, this->connector);
}

// rule 24, rule 43
TYPED_TEST(Parking, Rule24APoolDestroyedBeforeTheParking) {
    auto pool = std::make_unique<typename TestFixture::Pool>(this->connector, this->options(1));
    auto lease = pool->acquire();
    this->points.before_idle_push.once([&] { this->elsewhere([&] { pool.reset(); }); });
    lease.release();
    EXPECT_FALSE(pool);
    expect_settled(this->connector);
}

// rule 30: a sweep between the two has nothing to take, and takes nothing.
TYPED_TEST(Parking, Rule30ASweepBeforeTheParkingLeavesItAlone) {
    typename TestFixture::Pool pool{this->connector, this->options(1)};
    auto lease = pool.acquire();
    this->points.before_idle_push.once([&] { this->elsewhere([&] { pool.sweep(); }); });
    lease.release();
    EXPECT_EQ(pool.stats().idle, 1u);
    EXPECT_EQ(this->connector.closed(), 0u);
    expect_drained(pool, this->connector);
}

// rule 29: two returns that find room for one idle one.
TYPED_TEST(Parking, Rule29MaxIdleHoldsWhenTwoReturnAtOnce) {
    auto options = this->options(2);
    options.idle.max_idle = 1;
    typename TestFixture::Pool pool{this->connector, std::move(options)};
    auto one = pool.acquire();
    auto two = pool.acquire();
    this->points.before_idle_push.once([&] { this->elsewhere([&] { two.release(); }); });
    one.release();
    EXPECT_EQ(pool.stats().idle, 1u);
    EXPECT_EQ(pool.stats().closed_excess, 1u);
    expect_drained(pool, this->connector);
}

// rule 24: another return between the two.
TYPED_TEST(Parking, Rule24TwoReturnsThatParkAtOnceAreBothThere) {
    typename TestFixture::Pool pool{this->connector, this->options(2)};
    auto one = pool.acquire();
    auto two = pool.acquire();
    this->points.before_idle_push.once([&] {
        this->elsewhere([&] { two.release(); });
        EXPECT_EQ(pool.stats().idle, 1u);
    });
    one.release();
    EXPECT_EQ(pool.stats().idle, 2u);
    auto const a = pool.acquire();
    auto const b = pool.acquire();
    EXPECT_NE(a->id(), b->id());
    EXPECT_EQ(this->connector.calls(Hook::connect), 2u);
}

}  // namespace
}  // namespace weir::test
