// How old and how healthy: NoUpkeep asks for neither.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"

#include <gtest/gtest.h>
#include <type_traits>
#include <weir/policy/upkeep.hpp>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

static_assert(std::is_same_v<NoUpkeep::policy_slot, slot::Upkeep>);
static_assert(std::is_same_v<decltype(FakePool<>::Options::upkeep), NoUpkeep>);

TEST(NoUpkeep, NeitherAgesNorWearsOutAResource) {
    FakeConnector connector;
    FakePool<testing::ManualClock, KeepIdle> pool{connector};
    for (int i = 0; i != 100; ++i) {
        pool.acquire().release();
        testing::ManualClock::advance(24h);
        pool.sweep();
    }
    EXPECT_EQ(connector.opened(), 1u);
    EXPECT_EQ(pool.stats().closed_age, 0u);
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
