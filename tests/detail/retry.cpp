#include <weir/detail/retry.hpp>

#include <algorithm>
#include <gtest/gtest.h>

namespace weir::detail {
namespace {

using namespace std::chrono_literals;
using time_point = Retry<>::time_point;

struct RetryTest : ::testing::Test {
    Random random{1};
    time_point now{1h};
    Retry<> retry{10ms, 100ms, 0};

    // An attempt that begins as soon as it may, and fails at once. How long that took.
    Retry<>::duration fail() {
        auto const at = retry.failing() ? retry.next() : now;
        auto const waited = at - now;
        now = at;
        EXPECT_TRUE(retry.allows(0, now));
        retry.failed(now, now, random);
        return waited;
    }
};

// rule 19
TEST_F(RetryTest, Rule19DoublesUpToItsMaximum) {
    fail();
    EXPECT_EQ(fail(), 10ms);
    EXPECT_EQ(fail(), 20ms);
    EXPECT_EQ(fail(), 40ms);
    EXPECT_EQ(fail(), 80ms);
    EXPECT_EQ(fail(), 100ms);
    EXPECT_EQ(fail(), 100ms);
}

// rule 19
TEST_F(RetryTest, Rule19AllowsOneAttemptAtATimeWhileItFailsAndNotBeforeItsTime) {
    EXPECT_TRUE(retry.allows(1'000, now));
    fail();
    EXPECT_FALSE(retry.allows(0, now + 9ms));
    EXPECT_TRUE(retry.allows(0, now + 10ms));
    EXPECT_FALSE(retry.allows(1, now + 1h));
}

// rule 19
TEST_F(RetryTest, Rule19ASuccessEndsItAndOpensByAndBy) {
    fail();
    fail();
    retry.succeeded();
    EXPECT_FALSE(retry.failing());
    EXPECT_TRUE(retry.allows(1, now));
    EXPECT_FALSE(retry.allows(2, now));
    retry.succeeded();
    EXPECT_TRUE(retry.allows(3, now));
    EXPECT_FALSE(retry.allows(4, now));
    for (int i = 0; i != 20; ++i) retry.succeeded();
    EXPECT_TRUE(retry.allows(1'000'000, now));
    fail();
    EXPECT_EQ(fail(), 10ms) << "the delay begins anew";
}

// Thirty connects that were in flight when the server went down are one failure.
TEST_F(RetryTest, AttemptsThatBeganBeforeTheLatestFailureCountOnce) {
    auto const began = now;
    now += 1ms;
    for (int i = 0; i != 30; ++i) retry.failed(began, now, random);
    EXPECT_EQ(retry.next(), now + 10ms);
}

// rule 19
TEST(RetryJitter, Rule19ShortensEachDelayByItsPartAtMost) {
    Random random{7};
    Retry<>::duration least = 1h;
    Retry<>::duration most = 0ms;
    for (int i = 0; i != 1'000; ++i) {
        Retry<> retry{1s, 1s, 0.2};
        time_point const now{1h};
        retry.failed(now, now, random);
        least = std::min(least, retry.next() - now);
        most = std::max(most, retry.next() - now);
    }
    EXPECT_GE(least, 800ms);
    EXPECT_LT(least, 820ms);
    EXPECT_LE(most, 1s);
    EXPECT_GT(most, 980ms);
}

}  // namespace
}  // namespace weir::detail
