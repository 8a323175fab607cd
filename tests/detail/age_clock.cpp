// Ages without a clock. Times are passed in, so nothing here waits.

#include <algorithm>
#include <chrono>
#include <gtest/gtest.h>
#include <weir/detail/age_clock.hpp>
#include <weir/policy/clock.hpp>
#include <weir/testing/manual_clock.hpp>

namespace weir::detail {
namespace {

using namespace std::chrono_literals;
using weir::testing::ManualClock;
using Coarse = AgeClock<SteadyClock>;
using Exact = AgeClock<ManualClock>;
using time_point = Coarse::time_point;
using duration = Coarse::duration;

constexpr time_point begin{10h};

/// One that runs since `begin`.
struct Running : Coarse {
    explicit Running(duration ttl) : Coarse{ttl} { start(begin); }
};

template <class Clock>
bool is_expired(Clock const& clock, SlotBase const& slot, time_point now) {
    return clock.judge(slot, true, clock.read(now)) == Verdict::expired;
}

TEST(AgeClock, RunsOnlyOnceItIsStarted) {
    Coarse clock{8s};
    EXPECT_TRUE(clock.ages(true));
    EXPECT_FALSE(clock.runs());
    EXPECT_EQ(clock.next_round(), time_point::max());
    clock.start(begin);
    EXPECT_TRUE(clock.runs());
    EXPECT_EQ(clock.next_round(), begin + clock.period());
    clock.stop();
    EXPECT_FALSE(clock.runs());
}

// rule 34
TEST(AgeClock, Rule34NothingAgesWhereNothingCanExpire) {
    EXPECT_FALSE((Coarse{8s}.ages(false)));
    EXPECT_FALSE((Coarse{0s}.ages(true)));
    EXPECT_FALSE((Coarse{duration::max()}.ages(true)));
    SlotBase slot;
    Coarse const never{duration::max()};
    never.stamp(slot);
    EXPECT_TRUE(never.is_fresh(slot));
    EXPECT_FALSE(is_expired(never, slot, begin + 24h));
}

// rule 28: at the latest min(ttl/8, 1 s) late, which is two periods.
TEST(AgeClock, Rule28ThePeriodIsASixteenthOfTheTimeToLiveWithinBounds) {
    EXPECT_EQ((Coarse{160ms}.period()), 10ms);
    EXPECT_EQ((Coarse{8s}.period()), 500ms);
    EXPECT_EQ((Coarse{5min}.period()), 500ms);
    EXPECT_EQ((Coarse{1ms}.period()), 500us);
}

// rule 28
TEST(AgeClock, Rule28NothingExpiresBeforeItsTimeAndNothingMuchLater) {
    for (duration const ttl : {16ms, 160ms, 8000ms, 60'000ms}) {
        for (int phase = 0; phase != 8; ++phase) {
            Running clock{ttl};
            duration const period = clock.period();
            // It comes back some time after a round, and is stamped with that round's time.
            auto const parked = begin + period * phase / 8;
            SlotBase slot;
            clock.stamp(slot);
            auto round = begin;
            while (!is_expired(clock, slot, round)) {
                EXPECT_TRUE(clock.is_fresh(slot));
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

TEST(AgeClock, WhatWasParkedWhileItStoodAgesFromItsNextStart) {
    Running clock{8s};
    SlotBase slot;
    clock.stamp(slot);
    clock.stop();
    clock.start(begin + 1h);
    EXPECT_FALSE(is_expired(clock, slot, begin + 1h));
    EXPECT_FALSE(is_expired(clock, slot, begin + 1h + 8s));
    EXPECT_TRUE(is_expired(clock, slot, begin + 1h + 8s + clock.period()));
}

TEST(AgeClock, ANewStampIsANewLife) {
    Running clock{8s};
    SlotBase slot;
    clock.stamp(slot);
    clock.advance(begin + 1min);
    EXPECT_TRUE(is_expired(clock, slot, begin + 1min));
    clock.stamp(slot);
    EXPECT_TRUE(clock.is_fresh(slot));
    EXPECT_FALSE(is_expired(clock, slot, begin + 1min));
}

TEST(AgeClock, TheNextRoundCanBeBroughtForward) {
    Running clock{8s};
    clock.next_round_in(50ms, begin + 3s);
    EXPECT_EQ(clock.next_round(), begin + 3s + 50ms);
}

// rule 28
TEST(AgeClock, Rule28AClockThatIsCheapIsReadAndAgesAreExact) {
    Exact clock{8s};
    SlotBase slot;
    clock.stamp(slot);
    ManualClock::advance(8s - 1ns);
    EXPECT_TRUE(clock.is_fresh(slot));
    EXPECT_FALSE(is_expired(clock, slot, begin));
    ManualClock::advance(1ns);
    EXPECT_FALSE(clock.is_fresh(slot));
    EXPECT_TRUE(is_expired(clock, slot, begin));
}

TEST(AgeClock, TheSteadyClocksStartMeansNothingToAClockThatIsRead) {
    Exact clock{8s};
    SlotBase slot;
    clock.stamp(slot);
    ManualClock::advance(8s);
    clock.start(begin + 24h);
    EXPECT_TRUE(is_expired(clock, slot, begin));
}

// ---- with upkeep

struct UpkeepClock : ::testing::Test {
    Random random{1};
    SlotBase slot;
};

// rule 31
TEST_F(UpkeepClock, Rule31AnAgeIsDrawnOnceWithinItsJitter) {
    Exact clock{duration::max(), {.max_age = 100h, .age_jitter = 0.25}};
    duration least = 100h;
    duration most = 0h;
    for (int i = 0; i != 2'000; ++i) {
        clock.born(slot, begin, random);
        auto const age = duration{slot.dies_at.load()} - ManualClock::now().time_since_epoch();
        least = std::min(least, age);
        most = std::max(most, age);
    }
    EXPECT_GE(least, 75h);
    EXPECT_LT(least, 76h);
    EXPECT_LE(most, 100h);
    EXPECT_GT(most, 99h);
}

// rule 31: 64-bit throughout. In 32 bits of milliseconds this would be over in 25 days.
TEST_F(UpkeepClock, Rule31AYearIsAYearAndForEverIsForEver) {
    Exact year{duration::max(), {.max_age = 24h * 365}};
    year.born(slot, begin, random);
    ManualClock::advance(24h * 364);
    EXPECT_TRUE(year.stamp_young(slot));
    ManualClock::advance(24h);
    EXPECT_FALSE(year.stamp_young(slot));
    Exact for_ever{duration::max(), {.max_age = duration::max()}};
    for_ever.born(slot, begin, random);
    EXPECT_TRUE(for_ever.stamp_young(slot));
}

// rule 32: a check may come early by a period, never late.
TEST_F(UpkeepClock, Rule32ACoarseClockChecksSoonerRatherThanLater) {
    Coarse clock{duration::max(), {.check_after_idle = 16s}};
    clock.start(begin);
    clock.stamp(slot);
    EXPECT_TRUE(clock.is_fresh(slot));
    clock.advance(begin + 15s);
    EXPECT_TRUE(clock.is_fresh(slot));
    clock.advance(begin + 15'500ms);
    EXPECT_FALSE(clock.is_fresh(slot)) << "the word may be half a second behind";
    EXPECT_EQ(clock.judge(slot, true, clock.read(begin + 15'500ms)), Verdict::unchecked);
}

// rule 34
TEST_F(UpkeepClock, Rule34AfterAJumpNoAgeIsTrustedUntilACheck) {
    Coarse clock{8s, {.check_every = 1h}};
    clock.start(begin);
    clock.born(slot, begin, random);
    clock.stamp(slot);
    auto const later = begin + 10 * clock.period() + 4s;
    clock.advance(later);
    EXPECT_EQ(clock.judge(slot, true, clock.read(later)), Verdict::unchecked);
    EXPECT_TRUE(clock.is_due(slot, clock.read(later)));
    clock.checked(slot, later);
    EXPECT_EQ(clock.judge(slot, true, clock.read(later)), Verdict::expired);
    EXPECT_FALSE(clock.is_due(slot, clock.read(later)));
}

// rule 34: where there is nothing to check with, the age is all there is.
TEST_F(UpkeepClock, Rule34WithoutChecksAJumpIsTime) {
    Coarse clock{8s};
    clock.start(begin);
    clock.stamp(slot);
    clock.advance(begin + 1h);
    EXPECT_TRUE(is_expired(clock, slot, begin + 1h));
}

// rule 33
TEST_F(UpkeepClock, Rule33AnOverdueLeaseIsReportedOnce) {
    Exact clock{duration::max(), {.overdue_after = 1min}};
    auto const at = [&] { return clock.read(begin); };
    EXPECT_EQ(clock.report_overdue(slot, at()), 0s) << "not lent";
    clock.begin_lease(slot);
    ManualClock::advance(59s);
    EXPECT_EQ(clock.report_overdue(slot, at()), 0s);
    ManualClock::advance(1s);
    EXPECT_EQ(clock.report_overdue(slot, at()), 1min);
    EXPECT_EQ(clock.report_overdue(slot, at()), 0s);
    EXPECT_TRUE(clock.end_lease(slot));
    clock.begin_lease(slot);
    EXPECT_FALSE(clock.end_lease(slot));
}

}  // namespace
}  // namespace weir::detail
