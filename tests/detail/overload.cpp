#include <weir/detail/overload.hpp>

#include <gtest/gtest.h>

namespace weir::detail {
namespace {

using namespace std::chrono_literals;
using time_point = Overload<>::time_point;

struct OverloadTest : ::testing::Test {
    Overload<> overload{5ms, 100ms};
    time_point const start{1h};

    OverloadTest() { overload.begin(start); }

    // The head is served every millisecond up to then, having waited so long. How many were shed.
    int serve(time_point from, time_point until, Overload<>::duration waited) {
        int shed = 0;
        for (auto now = from; now < until; now += 1ms) shed += overload.sheds(waited, now);
        return shed;
    }
};

TEST_F(OverloadTest, ALongWaitAloneIsNoReason) {
    EXPECT_EQ(serve(start, start + 100ms, 50ms), 0) << "the interval is not over";
}

TEST_F(OverloadTest, ALineThatStandsForAnIntervalSheds) {
    serve(start, start + 100ms, 50ms);
    EXPECT_EQ(serve(start + 100ms, start + 150ms, 50ms), 50);
}

TEST_F(OverloadTest, WhoeverHasNotWaitedTwiceTheTargetStays) {
    serve(start, start + 100ms, 50ms);
    EXPECT_EQ(serve(start + 100ms, start + 150ms, 10ms), 0);
}

TEST_F(OverloadTest, OneShortWaitInAnIntervalMeansThatItDoesNotStand) {
    serve(start, start + 99ms, 50ms);
    EXPECT_FALSE(overload.sheds(5ms, start + 99ms));
    EXPECT_EQ(serve(start + 100ms, start + 190ms, 50ms), 0);
}

TEST_F(OverloadTest, ItEndsWithTheIntervalInWhichTheLineWasShort) {
    serve(start, start + 101ms, 50ms);
    EXPECT_TRUE(overload.sheds(50ms, start + 101ms));
    EXPECT_FALSE(overload.sheds(1ms, start + 150ms));
    EXPECT_TRUE(overload.sheds(50ms, start + 199ms));
    EXPECT_FALSE(overload.sheds(50ms, start + 201ms));
}

TEST_F(OverloadTest, AnEmptyLineForgets) {
    serve(start, start + 101ms, 50ms);
    overload.begin(start + 102ms);
    EXPECT_FALSE(overload.sheds(50ms, start + 103ms));
}

TEST_F(OverloadTest, AHeadThatNobodyServesIsShedAtTheEndOfTheInterval) {
    EXPECT_EQ(overload.next(), start + 100ms);
    EXPECT_TRUE(overload.sheds(100ms, start + 100ms));
    EXPECT_EQ(overload.next(), start + 200ms);
}

}  // namespace
}  // namespace weir::detail
