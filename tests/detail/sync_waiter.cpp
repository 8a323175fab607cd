// A thread in line, awake and asleep.

#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <weir/detail/sync_waiter.hpp>

namespace weir::detail {
namespace {

using namespace std::chrono_literals;
using time_point = Waiter::time_point;
using std::chrono::steady_clock;

constexpr auto for_ever = time_point::max();

// The argument says whether it is next in line, and so stays awake at first.
class SyncWaiting : public testing::TestWithParam<bool> {
protected:
    SyncWaiter& make(time_point deadline) {
        waiter_ = std::make_unique<SyncWaiter>(deadline);
        waiter_->is_next = GetParam();
        return *waiter_;
    }
    void destroy() { waiter_.reset(); }

    Vigil vigil;

private:
    std::unique_ptr<SyncWaiter> waiter_;
};
INSTANTIATE_TEST_SUITE_P(Behind, SyncWaiting, testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Next, SyncWaiting, testing::Values(true));

TEST_P(SyncWaiting, TakesADeliverThatCameBefore) {
    SyncWaiter& waiter = make(for_ever);
    waiter.deliver();
    EXPECT_TRUE(waiter.wait(for_ever, &vigil));
}

TEST_P(SyncWaiting, TakesADeliverThatCameBeforeEvenWhenItsTimeIsUp) {
    SyncWaiter& waiter = make(time_point{});
    waiter.deliver();
    EXPECT_TRUE(waiter.wait(time_point{}, &vigil));
}

TEST_P(SyncWaiting, IsToldThatItsTimeIsUp) {
    SyncWaiter& waiter = make(time_point{});
    EXPECT_FALSE(waiter.wait(time_point{}, &vigil));
    auto const deadline = steady_clock::now() + 5ms;
    EXPECT_FALSE(waiter.wait(deadline, &vigil));
    EXPECT_GE(steady_clock::now(), deadline);
}

TEST_P(SyncWaiting, TakesEachDeliverOnce) {
    SyncWaiter& waiter = make(for_ever);
    waiter.deliver();
    EXPECT_TRUE(waiter.wait(for_ever, &vigil));
    EXPECT_FALSE(waiter.wait(time_point{}, &vigil)) << "with patience it may be summoned again";
    waiter.deliver();
    EXPECT_TRUE(waiter.wait(for_ever, &vigil));
}

TEST_P(SyncWaiting, TakesADeliverWhileItSleeps) {
    SyncWaiter& waiter = make(for_ever);
    std::thread giver{[&] {
        std::this_thread::sleep_for(2ms);  // it is asleep by then, mostly
        waiter.deliver();
    }};
    EXPECT_TRUE(waiter.wait(for_ever, &vigil));
    EXPECT_FALSE(waiter.wait(time_point{}, &vigil)) << "that one has been taken";
    giver.join();
}

// rule 24: a giver may find the waiter gone the moment it was told, so it touches it no more. The sanitizers see it.
TEST_P(SyncWaiting, MayBeDestroyedAsSoonAsItWasTold) {
    for (int round = 0; round != 200; ++round) {
        SyncWaiter& waiter = make(for_ever);
        SlotBase slot;
        std::thread giver{[&] {
            waiter.granted = &slot;
            waiter.deliver();
        }};
        EXPECT_TRUE(waiter.wait(for_ever, &vigil));
        EXPECT_EQ(waiter.granted, &slot);
        destroy();
        giver.join();
    }
}

// rule 13: the deliver and the deadline race; whichever wins, the deliver is taken once and nobody is touched after it.
TEST_P(SyncWaiting, TakesADeliverThatComesWithItsDeadline) {
    for (int round = 0; round != 200; ++round) {
        SyncWaiter& waiter = make(for_ever);
        SlotBase slot;
        auto const deadline = steady_clock::now() + 60us;
        std::thread giver{[&] {
            while (steady_clock::now() < deadline) {
            }
            waiter.granted = &slot;
            waiter.deliver();
        }};
        if (!waiter.wait(deadline, &vigil)) waiter.wait();
        EXPECT_EQ(waiter.granted, &slot);
        destroy();
        giver.join();
    }
}

TEST(Vigil, RestsAfterFourInVainAndTriesAgainAfterFifteenWaits) {
    if (std::thread::hardware_concurrency() == 1) GTEST_SKIP() << "one processor: it never pays";
    Vigil vigil;
    for (int i = 0; i != 4; ++i) {
        ASSERT_TRUE(vigil.pays()) << i;
        vigil.ended(false);
    }
    for (int i = 0; i != 16; ++i) ASSERT_FALSE(vigil.pays()) << i;
    ASSERT_TRUE(vigil.pays());
    vigil.ended(false);
    for (int i = 0; i != 16; ++i) ASSERT_FALSE(vigil.pays()) << i;
    ASSERT_TRUE(vigil.pays());
    vigil.ended(true);
    for (int i = 0; i != 3; ++i) {
        ASSERT_TRUE(vigil.pays()) << "one that is served makes good for three that are not";
        vigil.ended(false);
    }
    EXPECT_TRUE(vigil.pays());
}

TEST(Vigil, IsKeptOnlyByTheNextInLine) {
    Vigil vigil;
    for (int i = 0; i != 8; ++i) {
        SyncWaiter waiter{time_point{}};
        EXPECT_FALSE(waiter.wait(time_point{}, &vigil));
    }
    EXPECT_EQ(vigil.pays(), std::thread::hardware_concurrency() != 1) << "nobody has kept one in vain";
}

TEST(Vigil, SeesASignEvenWhenItsTimeIsUp) {
    EXPECT_TRUE(Vigil::watch(time_point{}, Vigil::slow, [] { return true; }));
    EXPECT_FALSE(Vigil::watch(time_point{}, Vigil::slow, [] { return false; }));
    int looks = 0;
    EXPECT_TRUE(Vigil::watch(for_ever, Vigil::quick, [&] { return ++looks == 100; }));
}

}  // namespace
}  // namespace weir::detail
