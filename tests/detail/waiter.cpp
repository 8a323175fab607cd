// A thread in line, and chains of those to deliver to.

#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <vector>
#include <weir/detail/sync_waiter.hpp>

namespace weir::detail {
namespace {

using namespace std::chrono_literals;
using time_point = Waiter::time_point;
using std::chrono::steady_clock;

constexpr auto for_ever = time_point::max();

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
