// Who waits by when his time is up.

#include <algorithm>
#include <chrono>
#include <deque>
#include <gtest/gtest.h>
#include <random>
#include <vector>
#include <weir/detail/deadlines.hpp>
#include <weir/detail/waiter.hpp>

namespace weir::detail {
namespace {

using namespace std::chrono_literals;
using time_point = Waiter::time_point;

struct Handler final : Waiter {
    explicit Handler(time_point by) : Waiter{Kind::handler, by} {}
    void deliver() noexcept override {}
};

std::vector<Waiter*> in_order(Deadlines<Waiter>& deadlines) {
    std::vector<Waiter*> order;
    while (Waiter* const first = deadlines.first()) {
        EXPECT_EQ(deadlines.next(), first->deadline);
        order.push_back(first);
        deadlines.erase(*first);
    }
    return order;
}

TEST(Deadlines, AreNoneAtFirst) {
    Deadlines<Waiter> deadlines;
    EXPECT_EQ(deadlines.first(), nullptr);
    EXPECT_EQ(deadlines.next(), time_point::max());
}

TEST(Deadlines, KeepNoTreeOfThoseWhoHaveAsMuchTimeAsOthersBeforeThem) {
    Deadlines<Waiter> deadlines;
    Handler a{time_point{1s}}, b{time_point{1s}}, c{time_point{2s}};
    for (auto* one : {&a, &b, &c}) deadlines.insert(*one);
    for (auto* one : {&a, &b, &c}) EXPECT_FALSE(one->by_deadline.is_linked());
    EXPECT_EQ(in_order(deadlines), (std::vector<Waiter*>{&a, &b, &c}));
}

TEST(Deadlines, FindWhoeverComesFirstThoughOthersCameBefore) {
    Deadlines<Waiter> deadlines;
    Handler slow{time_point{9s}}, fast{time_point{3s}}, faster{time_point{1s}}, next{time_point{9s}};
    for (auto* one : {&slow, &fast, &faster, &next}) deadlines.insert(*one);
    EXPECT_EQ(in_order(deadlines), (std::vector<Waiter*>{&faster, &fast, &slow, &next}));
}

TEST(Deadlines, LoseAnybodyFromAnywhere) {
    Deadlines<Waiter> deadlines;
    Handler slow{time_point{9s}}, fast{time_point{1s}}, next{time_point{9s}}, nobody{time_point{1s}};
    for (auto* one : {&slow, &fast, &next}) deadlines.insert(*one);
    deadlines.erase(nobody);
    deadlines.erase(slow);
    deadlines.erase(fast);
    EXPECT_FALSE(slow.in_turn.is_linked());
    EXPECT_FALSE(fast.by_deadline.is_linked());
    EXPECT_EQ(in_order(deadlines), (std::vector<Waiter*>{&next}));
}

TEST(Deadlines, AreInOrderHoweverTheyCameAndWent) {
    std::mt19937 random{7};
    std::uniform_int_distribution<int> times{0, 20};
    std::deque<Handler> all;
    std::vector<Handler*> in;
    Deadlines<Waiter> deadlines;
    for (int i = 0; i < 2'000; ++i) {
        if (!in.empty() && times(random) < 8) {
            auto const at = in.begin() + static_cast<std::ptrdiff_t>(random() % in.size());
            deadlines.erase(**at);
            in.erase(at);
        } else {
            in.push_back(&all.emplace_back(time_point{std::chrono::seconds{i / 40 + times(random)}}));
            deadlines.insert(*in.back());
        }
        auto const least =
            std::min_element(in.begin(), in.end(), [](Handler* a, Handler* b) { return a->deadline < b->deadline; });
        ASSERT_EQ(deadlines.next(), least == in.end() ? time_point::max() : (*least)->deadline);
        ASSERT_EQ(deadlines.first() != nullptr, !in.empty());
    }
    auto const order = in_order(deadlines);
    EXPECT_EQ(order.size(), in.size());
    EXPECT_TRUE(
        std::is_sorted(order.begin(), order.end(), [](Waiter* a, Waiter* b) { return a->deadline < b->deadline; }));
}

}  // namespace
}  // namespace weir::detail
