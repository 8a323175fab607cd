// The line.

#include <chrono>
#include <deque>
#include <gtest/gtest.h>
#include <vector>
#include <weir/detail/wait_queue.hpp>

namespace weir::detail {
namespace {

using namespace std::chrono_literals;
using Place = Waiter::Place;
using Kind = Waiter::Kind;
using time_point = Waiter::time_point;

struct Anyone final : Waiter {
    explicit Anyone(Kind k = Kind::thread, time_point by = time_point::max()) : Waiter{k, by} {}
    void deliver() noexcept override {}
};

std::vector<Waiter*> in_order(WaitQueue<>& queue) {
    std::vector<Waiter*> order;
    while (!queue.empty()) {
        order.push_back(&queue.front());
        queue.remove(queue.front());
    }
    return order;
}

TEST(WaitQueue, IsEmptyAtFirst) {
    WaitQueue queue;
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.connecting() + queue.waiting(), 0u);
    EXPECT_EQ(queue.draining(), nullptr);
    EXPECT_EQ(queue.next_deadline(), time_point::max());
    EXPECT_EQ(queue.first_expired(time_point::max()), nullptr);
}

// rule 9
TEST(WaitQueue, Rule9FirstComeFirstServedThreadsAndHandlersAlike) {
    WaitQueue queue;
    Anyone a{Kind::thread};
    Anyone b{Kind::handler, time_point{5s}};
    Anyone c{Kind::thread};
    Anyone d{Kind::handler, time_point{1s}};
    for (auto* one : {&a, &b, &c, &d}) queue.join(*one, Place::waiting);
    EXPECT_EQ(queue.waiting(), 4u);
    EXPECT_EQ(in_order(queue), (std::vector<Waiter*>{&a, &b, &c, &d}));
}

// rule 16: a connect is started for the first who has none, so those stand in front of the others.
TEST(WaitQueue, Rule16ThoseWhoseConnectWasStartedStandInFront) {
    WaitQueue queue;
    Anyone a, b, c;
    queue.join(a, Place::connecting);
    queue.join(b, Place::waiting);
    EXPECT_EQ(&queue.front(), &a);
    EXPECT_EQ(&queue.front_waiting(), &b);
    queue.join(c, Place::waiting);
    queue.promote();
    EXPECT_EQ(queue.connecting(), 2u);
    EXPECT_EQ(queue.waiting(), 1u);
    EXPECT_EQ(b.place, Place::connecting);
    EXPECT_EQ(&queue.front_waiting(), &c);
    EXPECT_EQ(in_order(queue), (std::vector<Waiter*>{&a, &b, &c}));
}

TEST(WaitQueue, PromotionKeepsADeadline) {
    WaitQueue queue;
    Anyone a{Kind::handler, time_point{3s}};
    queue.join(a, Place::waiting);
    queue.promote();
    EXPECT_EQ(queue.next_deadline(), time_point{3s});
    queue.remove(a);
    EXPECT_EQ(queue.next_deadline(), time_point::max());
}

// rule 13
TEST(WaitQueue, Rule13WhoeverLeavesLeavesNoTrace) {
    WaitQueue queue;
    Anyone a, b, c;
    Anyone connecting{Kind::handler, time_point{1s}};
    for (auto* one : {&a, &b, &c}) queue.join(*one, Place::waiting);
    queue.join(connecting, Place::connecting);
    queue.remove(b);
    EXPECT_EQ(b.place, Place::nowhere);
    EXPECT_FALSE(b.in_line.is_linked());
    EXPECT_EQ(queue.waiting(), 2u);
    queue.remove(connecting);
    EXPECT_EQ(queue.connecting(), 0u);
    EXPECT_FALSE(connecting.in_turn.is_linked());
    EXPECT_EQ(in_order(queue), (std::vector<Waiter*>{&a, &c}));
    queue.join(b, Place::waiting);
    EXPECT_EQ(in_order(queue), (std::vector<Waiter*>{&b}));
}

// rule 12
TEST(WaitQueue, Rule12FourThousandDeadOnesLeaveFromAnywhere) {
    WaitQueue queue;
    std::deque<Anyone> dead;
    for (int i = 0; i != 4'000; ++i) queue.join(dead.emplace_back(Kind::handler, time_point{1s}), Place::waiting);
    Anyone live{Kind::handler, time_point{9s}};
    queue.join(live, Place::waiting);
    for (std::size_t i = 1; i < dead.size(); i += 2) queue.remove(dead[i]);  // cancelled
    int expired = 0;
    while (Waiter* const waiter = queue.first_expired(time_point{1s})) {
        queue.remove(*waiter);
        ++expired;
    }
    EXPECT_EQ(expired, 2'000);
    EXPECT_EQ(&queue.front(), &live);
    EXPECT_EQ(queue.waiting(), 1u);
    queue.remove(live);
}

TEST(WaitQueue, TheFirstDeadlineIsKnownWhateverTheOrderOfComing) {
    WaitQueue queue;
    Anyone late{Kind::handler, time_point{9s}};
    Anyone soon{Kind::handler, time_point{2s}};
    Anyone middle{Kind::handler, time_point{5s}};
    for (auto* one : {&late, &soon, &middle}) queue.join(*one, Place::waiting);
    EXPECT_EQ(queue.next_deadline(), time_point{2s});
    EXPECT_EQ(queue.first_expired(time_point{2s} - 1ns), nullptr);
    EXPECT_EQ(queue.first_expired(time_point{2s}), &soon);
    queue.remove(soon);
    EXPECT_EQ(queue.next_deadline(), time_point{5s});
    EXPECT_EQ(&queue.front(), &late) << "a deadline is no place in line";
    queue.remove(late);
    queue.remove(middle);
}

TEST(WaitQueue, ThreadsWatchTheirDeadlinesThemselves) {
    WaitQueue queue;
    Anyone thread{Kind::thread, time_point{1s}};
    Anyone for_ever{Kind::handler};
    queue.join(thread, Place::waiting);
    queue.join(for_ever, Place::waiting);
    EXPECT_EQ(queue.next_deadline(), time_point::max());
    EXPECT_EQ(queue.first_expired(time_point::max()), nullptr);
    queue.remove(thread);
    queue.remove(for_ever);
}

TEST(WaitQueue, TakesOutTheFirstThatMayNotOpen) {
    WaitQueue queue;
    Anyone a{Kind::handler, time_point{5s}};
    Anyone b{Kind::handler, time_point{3s}};
    Anyone c;
    queue.join(c, Place::connecting);
    for (auto* one : {&a, &b}) queue.join(*one, Place::waiting);
    EXPECT_EQ(&queue.pop_waiting(), &a);
    EXPECT_EQ(a.place, Place::nowhere);
    EXPECT_EQ(queue.waiting(), 1u);
    EXPECT_EQ(queue.next_deadline(), time_point{3s});
    EXPECT_EQ(&queue.pop_waiting(), &b);
    EXPECT_EQ(queue.waiting(), 0u);
    EXPECT_EQ(queue.next_deadline(), time_point::max());
    EXPECT_EQ(in_order(queue), (std::vector<Waiter*>{&c}));
}

TEST(WaitQueue, FindsTheFirstWithoutAConnectOfItsOwn) {
    WaitQueue queue;
    SlotBase slot;
    Anyone a, b, c;
    for (auto* one : {&a, &b, &c}) queue.join(*one, Place::connecting);
    a.attempt = &slot;
    EXPECT_EQ(queue.first_without_attempt(), &b);
    b.attempt = &slot;
    c.attempt = &slot;
    EXPECT_EQ(queue.first_without_attempt(), nullptr);
    for (auto* one : {&a, &b, &c}) queue.remove(*one);
}

TEST(WaitQueue, WhoWaitsForTheEndOfACloseIsNotInLine) {
    WaitQueue queue;
    Anyone closer{Kind::handler, time_point{4s}};
    queue.join(closer, Place::draining);
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.waiting() + queue.connecting(), 0u);
    EXPECT_EQ(queue.draining(), &closer);
    EXPECT_EQ(queue.next_deadline(), time_point{4s}) << "it has a time all the same";
    queue.remove(closer);
    EXPECT_EQ(queue.draining(), nullptr);
}

TEST(WaitQueue, VisitsAllAndAVisitMayTakeOut) {
    WaitQueue queue;
    Anyone a, b, c, d;
    queue.join(a, Place::waiting);
    queue.join(b, Place::connecting);
    queue.join(c, Place::draining);
    queue.join(d, Place::waiting);
    std::vector<Waiter*> seen;
    queue.for_each([&](Waiter& waiter) {
        seen.push_back(&waiter);
        queue.remove(waiter);
    });
    EXPECT_EQ(seen, (std::vector<Waiter*>{&b, &a, &d, &c}));
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.draining(), nullptr);
}

}  // namespace
}  // namespace weir::detail
