// A thread in line, and chains of those to deliver to.

#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <vector>
#include <weir/detail/waiter.hpp>

namespace weir::detail {
namespace {

using namespace std::chrono_literals;
using time_point = Waiter::time_point;
using std::chrono::steady_clock;

constexpr auto for_ever = time_point::max();

TEST(SyncWaiter, TakesADeliverThatCameBefore) {
    SyncWaiter waiter{for_ever};
    waiter.deliver();
    EXPECT_TRUE(waiter.wait(for_ever));
}

TEST(SyncWaiter, TakesADeliverThatCameBeforeEvenWhenItsTimeIsUp) {
    SyncWaiter waiter{time_point{}};
    waiter.deliver();
    EXPECT_TRUE(waiter.wait(time_point{}));
}

TEST(SyncWaiter, IsToldThatItsTimeIsUp) {
    SyncWaiter waiter{time_point{}};
    EXPECT_FALSE(waiter.wait(time_point{}));
    auto const deadline = steady_clock::now() + 5ms;
    EXPECT_FALSE(waiter.wait(deadline));
    EXPECT_GE(steady_clock::now(), deadline);
}

TEST(SyncWaiter, TakesEachDeliverOnce) {
    SyncWaiter waiter{for_ever};
    waiter.deliver();
    EXPECT_TRUE(waiter.wait(for_ever));
    EXPECT_FALSE(waiter.wait(time_point{})) << "with patience it may be summoned again";
    waiter.deliver();
    EXPECT_TRUE(waiter.wait(for_ever));
}

// rule 24: a giver may find the waiter gone the moment it was told, so it touches it no more. The sanitizers see it.
TEST(SyncWaiter, MayBeDestroyedAsSoonAsItWasToldTo) {
    for (int round = 0; round != 200; ++round) {
        auto waiter = std::make_unique<SyncWaiter>(for_ever);
        SlotBase slot;
        std::thread giver{[&slot, to = waiter.get()] {
            to->granted = &slot;
            to->deliver();
        }};
        EXPECT_TRUE(waiter->wait(for_ever));
        EXPECT_EQ(waiter->granted, &slot);
        waiter.reset();
        giver.join();
    }
}

TEST(SyncWaiter, TheEndOfTimeIsADeadlineTooFarForAnyClock) {
    SyncWaiter waiter{for_ever};
    std::thread giver{[&] { waiter.deliver(); }};
    EXPECT_TRUE(waiter.wait(for_ever));
    giver.join();
}

TEST(WaiterChain, DeliversInTheOrderOfItsMaking) {
    SyncWaiter a{for_ever}, b{for_ever}, c{for_ever};
    WaiterChain chain;
    EXPECT_TRUE(chain.empty());
    EXPECT_EQ(chain.pop(), nullptr);
    chain.push(a);
    chain.push(b);
    EXPECT_EQ(chain.pop(), &a);
    chain.push(c);
    EXPECT_EQ(chain.pop(), &b);
    EXPECT_EQ(chain.pop(), &c);
    EXPECT_TRUE(chain.empty());
    chain.push(a);
    EXPECT_EQ(chain.pop(), &a);
    EXPECT_EQ(chain.pop(), nullptr);
}

}  // namespace
}  // namespace weir::detail
