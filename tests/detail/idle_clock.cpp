// Ages without a clock. Times are passed in, so nothing here waits.

#include <chrono>
#include <gtest/gtest.h>
#include <weir/detail/idle_clock.hpp>
#include <weir/policy/clock.hpp>
#include <weir/testing/manual_clock.hpp>

namespace weir::detail {
namespace {

using namespace std::chrono_literals;
using weir::testing::ManualClock;
using Coarse = IdleClock<SteadyClock>;
using Exact = IdleClock<ManualClock>;
using time_point = Coarse::time_point;
using duration = Coarse::duration;

constexpr time_point begin{10h};

/// One that runs since `begin`.
struct Running : Coarse {
    explicit Running(duration ttl) : Coarse{ttl} { start(begin); }
};

TEST(IdleClock, RunsOnlyOnceItIsStarted) {
    Coarse clock{8s};
    EXPECT_TRUE(clock.ages());
    EXPECT_FALSE(clock.runs());
    EXPECT_EQ(clock.next_round(), time_point::max());
    clock.start(begin);
    EXPECT_TRUE(clock.runs());
    EXPECT_EQ(clock.next_round(), begin + clock.period());
    clock.stop();
    EXPECT_FALSE(clock.runs());
}

// rule 34
TEST(IdleClock, Rule34NothingAgesWhereNothingCanExpire) {
    EXPECT_FALSE((Coarse{0s}.ages()));
    EXPECT_FALSE((Coarse{duration::max()}.ages()));
    SlotBase slot;
    Coarse const never{duration::max()};
    never.stamp(slot);
    EXPECT_TRUE(never.is_fresh(slot));
    EXPECT_FALSE(never.is_expired(slot));
}

// rule 28: at the latest min(ttl/8, 1 s) late, which is two periods.
TEST(IdleClock, Rule28ThePeriodIsASixteenthOfTheTimeToLiveWithinBounds) {
    EXPECT_EQ((Coarse{160ms}.period()), 10ms);
    EXPECT_EQ((Coarse{8s}.period()), 500ms);
    EXPECT_EQ((Coarse{5min}.period()), 500ms);
    EXPECT_EQ((Coarse{1ms}.period()), 500us);
}

// rule 28
TEST(IdleClock, Rule28NothingExpiresBeforeItsTimeAndNothingMuchLater) {
    for (duration const ttl : {16ms, 160ms, 8000ms, 60'000ms}) {
        for (int phase = 0; phase != 8; ++phase) {
            Running clock{ttl};
            duration const period = clock.period();
            // It comes back some time after a round, and is stamped with that round's time.
            auto const parked = begin + period * phase / 8;
            SlotBase slot;
            clock.stamp(slot);
            auto round = begin;
            while (!clock.is_expired(slot)) {
                EXPECT_EQ(clock.is_fresh(slot), !clock.is_expired(slot));
                round += period;
                clock.advance(round);
                ASSERT_LT(round, parked + 2 * ttl);
            }
            EXPECT_FALSE(clock.is_fresh(slot));
            EXPECT_GE(round, parked + ttl) << "closed before its time";
            EXPECT_LE(round, parked + ttl + std::min<duration>(ttl / 8, 1s)) << "closed too late";
        }
    }
}

TEST(IdleClock, WhatWasParkedWhileItStoodAgesFromItsNextStart) {
    Running clock{8s};
    SlotBase slot;
    clock.stamp(slot);
    clock.stop();
    clock.start(begin + 1h);
    EXPECT_FALSE(clock.is_expired(slot));
    clock.advance(begin + 1h + 8s);
    EXPECT_FALSE(clock.is_expired(slot));
    clock.advance(begin + 1h + 8s + clock.period());
    EXPECT_TRUE(clock.is_expired(slot));
}

TEST(IdleClock, ANewStampIsANewLife) {
    Running clock{8s};
    SlotBase slot;
    clock.stamp(slot);
    clock.advance(begin + 1min);
    EXPECT_TRUE(clock.is_expired(slot));
    clock.stamp(slot);
    EXPECT_TRUE(clock.is_fresh(slot));
    EXPECT_FALSE(clock.is_expired(slot));
}

TEST(IdleClock, TheNextRoundCanBeBroughtForward) {
    Running clock{8s};
    clock.next_round_in(50ms, begin + 3s);
    EXPECT_EQ(clock.next_round(), begin + 3s + 50ms);
}

// rule 28
TEST(IdleClock, Rule28AClockThatIsCheapIsReadAndAgesAreExact) {
    Exact clock{8s};
    SlotBase slot;
    clock.stamp(slot);
    ManualClock::advance(8s - 1ns);
    EXPECT_TRUE(clock.is_fresh(slot));
    EXPECT_FALSE(clock.is_expired(slot));
    ManualClock::advance(1ns);
    EXPECT_FALSE(clock.is_fresh(slot));
    EXPECT_TRUE(clock.is_expired(slot));
}

TEST(IdleClock, TheSteadyClocksStartMeansNothingToAClockThatIsRead) {
    Exact clock{8s};
    SlotBase slot;
    clock.stamp(slot);
    ManualClock::advance(8s);
    clock.start(begin + 24h);
    EXPECT_TRUE(clock.is_expired(slot));
}

}  // namespace
}  // namespace weir::detail
