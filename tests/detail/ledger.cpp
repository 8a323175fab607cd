// The accounts. Numbers in, numbers out.

#include <gtest/gtest.h>
#include <vector>
#include <weir/detail/ledger.hpp>

namespace weir::detail {
namespace {

using namespace std::chrono_literals;

/// As the core does it, one after another.
void open(Ledger& ledger, int count = 1) {
    for (int i = 0; i != count; ++i) {
        ledger.reserve();
        ledger.connected(1ms);
    }
}
void close(Ledger& ledger, Cause cause) {
    ledger.begin_close();
    ledger.closed(cause);
}

TEST(Ledger, BeginsWithNothing) {
    Ledger const ledger{{.low = 1, .high = 2}, std::nullopt};
    EXPECT_EQ(ledger.low(), 1u);
    EXPECT_EQ(ledger.high(), 2u);
    EXPECT_EQ(ledger.open(), 0u);
    EXPECT_TRUE(ledger.has_room());
    auto const stats = ledger.snapshot(0, 0, 0);
    EXPECT_EQ(stats.high, 2u);
    EXPECT_EQ(stats.open, 0u);
    EXPECT_EQ(stats.leased, 0u);
}

// rule 15
TEST(Ledger, Rule15OpeningsCountBeforeTheyAreOpen) {
    Ledger ledger{{.high = 2}, std::nullopt};
    ledger.reserve();
    ledger.reserve();
    EXPECT_EQ(ledger.open(), 2u);
    EXPECT_FALSE(ledger.has_room());
    ledger.vacate_connecting();
    EXPECT_TRUE(ledger.has_room());
    EXPECT_EQ(ledger.connecting(), 1u);
}

// rule Z: closings count until they are closed
TEST(Ledger, ClosingsKeepTheirRoom) {
    Ledger ledger{{.high = 1}, std::nullopt};
    open(ledger);
    ledger.begin_close();
    EXPECT_FALSE(ledger.has_room());
    EXPECT_EQ(ledger.live(), 0u);
    EXPECT_EQ(ledger.closing(), 1u);
    ledger.closed(Cause::idle);
    EXPECT_TRUE(ledger.has_room());
    EXPECT_EQ(ledger.closing(), 0u);
}

// rule 26
TEST(Ledger, Rule26ADetachedOneFreesItsRoomAtOnce) {
    Ledger ledger{{.high = 1}, std::nullopt};
    open(ledger);
    ledger.detached();
    EXPECT_TRUE(ledger.has_room());
    EXPECT_EQ(ledger.counts.detached, 1u);
}

// rule 20
TEST(Ledger, Rule20MaxConcurrentBoundsConnectsInFlight) {
    Ledger ledger{{.high = 5}, 2};
    open(ledger, 2);
    EXPECT_TRUE(ledger.has_room()) << "what is connected is in flight no more";
    ledger.reserve();
    ledger.reserve();
    EXPECT_FALSE(ledger.has_room());
    ledger.connected(1ms);
    EXPECT_TRUE(ledger.has_room());
    ledger.reserve();
    EXPECT_FALSE(ledger.has_room());
    ledger.vacate_connecting();
    EXPECT_TRUE(ledger.has_room());
}

// rule 8
TEST(Ledger, Rule8MaxWaitersIsABoundZeroAndNoneIncluded) {
    Ledger const two{{.high = 1, .max_waiters = 2}, std::nullopt};
    EXPECT_TRUE(two.may_wait(0));
    EXPECT_TRUE(two.may_wait(1));
    EXPECT_FALSE(two.may_wait(2));
    Ledger const none{{.high = 1, .max_waiters = 0}, std::nullopt};
    EXPECT_FALSE(none.may_wait(0));
    Ledger const unbounded{{.high = 1}, std::nullopt};
    EXPECT_TRUE(unbounded.may_wait(1'000'000));
}

// rule 50
TEST(Ledger, Rule50EveryCloseHasOneCause) {
    Ledger ledger{{.high = 100}, std::nullopt};
    std::vector<Cause> const causes{Cause::idle,   Cause::age,   Cause::unhealthy, Cause::discarded,
                                    Cause::excess, Cause::stale, Cause::drained};
    open(ledger, 28);
    for (std::size_t i = 0; i != causes.size(); ++i)
        for (std::size_t k = 0; k <= i; ++k) close(ledger, causes[i]);
    EXPECT_EQ(ledger.open(), 0u);
    auto const s = ledger.snapshot(0, 0, 0);
    EXPECT_EQ(s.closed_idle, 1u);
    EXPECT_EQ(s.closed_age, 2u);
    EXPECT_EQ(s.closed_unhealthy, 3u);
    EXPECT_EQ(s.closed_discarded, 4u);
    EXPECT_EQ(s.closed_excess, 5u);
    EXPECT_EQ(s.closed_stale, 6u);
    EXPECT_EQ(s.closed_drained, 7u);
    EXPECT_EQ(s.connected, 28u);
}

// rule 50
TEST(Ledger, Rule50TheGaugesOfASnapshotAddUp) {
    Ledger ledger{{.low = 1, .high = 9}, std::nullopt};
    open(ledger, 6);
    ledger.reserve();
    ledger.begin_close();
    auto const s = ledger.snapshot(2, 4, 77);
    EXPECT_EQ(s.open, 7u);
    EXPECT_EQ(s.connecting, 1u);
    EXPECT_EQ(s.closing, 1u);
    EXPECT_EQ(s.idle, 2u);
    EXPECT_EQ(s.leased, 3u);
    EXPECT_EQ(s.waiting, 4u);
    EXPECT_EQ(s.acquired, 77u);
    EXPECT_EQ(s.open, s.connecting + s.idle + s.leased + s.closing);
}

TEST(Ledger, SumsTheTimesOfConnectsThatSucceeded) {
    Ledger ledger{{.high = 3}, std::nullopt};
    ledger.reserve();
    ledger.reserve();
    ledger.connected(2ms);
    ledger.vacate_connecting();
    ledger.reserve();
    ledger.connected(3ms);
    EXPECT_EQ(ledger.snapshot(0, 0, 0).connect_time, 5ms);
    EXPECT_EQ(ledger.snapshot(0, 0, 0).connected, 2u);
}

}  // namespace
}  // namespace weir::detail
