// Sums of times that must not overflow.

#include <chrono>
#include <gtest/gtest.h>
#include <weir/detail/deadline.hpp>

namespace weir::detail {
namespace {

using namespace std::chrono_literals;
using time_point = std::chrono::steady_clock::time_point;
using duration = std::chrono::steady_clock::duration;

constexpr time_point now{1h};

TEST(Deadline, IsTheSum) {
    EXPECT_EQ(after(now, 5ms), now + 5ms);
    EXPECT_EQ(after(now, 0s), now);
}

// rule 5: a deadline already past is a deadline.
TEST(Deadline, Rule5MayLieInThePast) { EXPECT_EQ(after(now, -5ms), now - 5ms); }

TEST(Deadline, IsTheEndOfTimeWhereTheSumWouldBePastIt) {
    EXPECT_EQ(after(now, duration::max()), time_point::max());
    EXPECT_EQ(after(now, duration::max() - 1min), time_point::max());
    EXPECT_EQ(after(time_point::max(), 1ns), time_point::max());
    EXPECT_EQ(after(now, time_point::max() - now), time_point::max());
    EXPECT_EQ(after(now, time_point::max() - now - 1ns), time_point::max() - 1ns);
}

}  // namespace
}  // namespace weir::detail
