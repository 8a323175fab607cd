// The time, for who looks often.

#include <chrono>
#include <gtest/gtest.h>
#include <thread>
#include <utility>
#include <weir/detail/recent_time.hpp>

namespace weir::detail {
namespace {

using Clock = std::chrono::steady_clock;

TEST(RecentTime, IsNeverAhead) {
    for (int i = 0; i < 10'000; ++i) {
        auto const recent = recent_time();
        ASSERT_LE(recent, Clock::now());
        auto const in_order = RecentTime::look().in_order();
        ASSERT_LE(in_order, Clock::now());
    }
}

TEST(RecentTime, InOrderNoTwoThingsAreAtOnce) {
    for (auto [i, last] = std::pair{0, RecentTime::look().in_order()}; i < 100'000; ++i) {
        for (int wait = 0; wait < 100; ++wait) asm volatile("" : : : "memory");
        auto const next = RecentTime::look().in_order();
        ASSERT_GT(next, last);
        last = next;
    }
}

TEST(RecentTime, NeverGoesBack) {
    for (auto [i, last] = std::pair{0, recent_time()}; i < 10'000; ++i) {
        auto const next = recent_time();
        ASSERT_GE(next, last);
        last = next;
    }
}

// It hangs where it does not.
TEST(RecentTime, FollowsTheClock) {
    for (int i = 0; i < 100; ++i)
        for (auto const now = Clock::now(); recent_time() <= now;) continue;
}

TEST(RecentTime, IsTheClocksForAThreadThatHasNotLookedYet) {
    auto const before = Clock::now();
    std::thread{[&] { EXPECT_GE(recent_time(), before); }}.join();
}

}  // namespace
}  // namespace weir::detail
