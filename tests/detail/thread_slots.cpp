// A slot for each thread: whose is whose, robberies, and slots that are to stay empty.

#include <algorithm>
#include <array>
#include <functional>
#include <gtest/gtest.h>
#include <semaphore>
#include <span>
#include <thread>
#include <utility>
#include <vector>
#include <weir/detail/thread_slots.hpp>

namespace weir::detail {
namespace {

using Items = std::vector<void*>;

std::array<char, 256> things;
void* thing(std::size_t number) { return &things.at(number); }

void give(ThreadSlots& slots, std::size_t first, std::size_t count) {
    ASSERT_NE(slots.own(), nullptr);
    for (std::size_t i = 0; i != count; ++i) ASSERT_TRUE(slots.put(thing(first + i)));
}

Items drain(ThreadSlots& slots) {
    Items result;
    while (void* const item = slots.take()) result.push_back(item);
    return result;
}

Items rob(ThreadSlots& slots) {
    std::array<void*, ThreadSlot::capacity> loot{};
    Items result(slots.rob(loot));
    std::copy_n(loot.begin(), result.size(), result.begin());
    return result;
}

void on_another_thread(std::function<void()> action) { std::thread{std::move(action)}.join(); }

struct SlotsOfThreads : ::testing::Test {
    void SetUp() override {
        if (!has_heavy_fence()) GTEST_SKIP() << "the system has no heavy fence, so there are no slots";
    }

    ThreadSlots slots;
};

TEST_F(SlotsOfThreads, HoldNothingBeforeTheirThreadHasOne) {
    EXPECT_EQ(slots.take(), nullptr);
    EXPECT_FALSE(slots.put(thing(0)));
    EXPECT_NE(slots.own(), nullptr);
    EXPECT_EQ(slots.own(), slots.own());
    EXPECT_TRUE(slots.put(thing(0)));
    EXPECT_EQ(slots.take(), thing(0));
}

TEST_F(SlotsOfThreads, AreEachTheirThreadsOwn) {
    give(slots, 0, 2);
    on_another_thread([&] {
        EXPECT_EQ(slots.take(), nullptr);
        give(slots, 10, 3);
        EXPECT_EQ(slots.size(), 5u);
    });
    EXPECT_EQ(drain(slots), (Items{thing(1), thing(0)}));
    EXPECT_EQ(slots.size(), 3u);
    EXPECT_EQ(slots.reused(), 2u);
    on_another_thread([&] { EXPECT_EQ(slots.own()->take(), thing(12)) << "it has the number of the one before"; });
}

TEST_F(SlotsOfThreads, AreRobbedWholeAndNeverByTheirOwner) {
    give(slots, 0, 3);
    EXPECT_EQ(rob(slots), Items{}) << "from itself";
    on_another_thread([&] {
        slots.own();
        EXPECT_EQ(rob(slots), (Items{thing(0), thing(1), thing(2)}));
        EXPECT_EQ(rob(slots), Items{});
    });
    EXPECT_EQ(drain(slots), Items{});
    EXPECT_FALSE(slots.put(thing(0))) << "it is used again at once";
}

TEST_F(SlotsOfThreads, AreRobbedByOneWhoHasNone) {
    give(slots, 0, 1);
    on_another_thread([&] { EXPECT_EQ(rob(slots), Items{thing(0)}); });
}

TEST_F(SlotsOfThreads, AreEmptiedUnlessWhoTakesItCannot) {
    give(slots, 0, 3);
    Items taken;
    slots.empty([&](auto items) {
        taken.assign(items.begin(), items.end());
        return false;
    });
    EXPECT_EQ(taken.size(), 3u);
    EXPECT_EQ(slots.size(), 3u);
    slots.empty([&](auto) { return true; });
    EXPECT_EQ(slots.size(), 0u);
    EXPECT_TRUE(slots.own()->usable());
    EXPECT_EQ(drain(slots), Items{});
    EXPECT_TRUE(slots.put(thing(9)));
}

TEST_F(SlotsOfThreads, StayEmptyWhileTheyAreBarredThoseToComeToo) {
    give(slots, 0, 2);
    on_another_thread([&] { give(slots, 10, 2); });
    Items taken;
    slots.bar([&](auto items) {
        taken.insert(taken.end(), items.begin(), items.end());
        return true;
    });
    std::sort(taken.begin(), taken.end());
    EXPECT_EQ(taken, (Items{thing(0), thing(1), thing(10), thing(11)}));
    auto const expect_barred = [&] {
        ASSERT_NE(slots.own(), nullptr);
        EXPECT_FALSE(slots.own()->usable());
        EXPECT_FALSE(slots.put(thing(5)));
        EXPECT_EQ(slots.take(), nullptr);
    };
    expect_barred();
    std::binary_semaphore open{0};
    std::binary_semaphore seen{0};
    std::thread newcomer{[&] {
        std::thread{expect_barred}.join();  // not the one whose number is free
        expect_barred();
        seen.release();
        open.acquire();
        EXPECT_TRUE(slots.own()->usable());
        EXPECT_TRUE(slots.put(thing(20)));
    }};
    seen.acquire();
    slots.unbar();
    open.release();
    newcomer.join();
    EXPECT_TRUE(slots.own()->usable());
    EXPECT_EQ(drain(slots), Items{});
    EXPECT_EQ(slots.size(), 1u);
}

TEST_F(SlotsOfThreads, HoldNothingThatIsToBeSeenToFirst) {
    ThreadSlots some{ThreadSlots::Puts::nowhere};
    ASSERT_NE(some.own(), nullptr);
    EXPECT_FALSE(some.put(thing(0)));
    EXPECT_TRUE(some.own()->put(thing(0)));
    EXPECT_EQ(some.take(), thing(0));
}

// In a library that has thread numbers of its own this thread's number is somebody else's.
TEST_F(SlotsOfThreads, AreLeftAloneByCodeWithOtherNumbers) {
    int other_numbers = 0;
    ThreadSlots foreign{ThreadSlots::Puts::into_slots, &other_numbers};
    ask_thread_number();
    EXPECT_EQ(foreign.own(), nullptr);
    EXPECT_EQ(foreign.take(), nullptr);
    EXPECT_FALSE(foreign.put(thing(0)));
    EXPECT_EQ(rob(foreign), Items{});
    foreign.bar([](auto) { return true; });
    foreign.unbar();
}

}  // namespace
}  // namespace weir::detail
