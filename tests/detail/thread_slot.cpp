// A thread's own slot, its owner and its visitors, step by step. Both at once: stress/object_pool.cpp, model/slot.pml.

#include <array>
#include <atomic>
#include <cstdint>
#include <gtest/gtest.h>
#include <span>
#include <vector>
#include <weir/detail/thread_slot.hpp>

namespace weir::detail {
namespace {

using Items = std::vector<void*>;
using Barring = ThreadSlot::Barring;

std::array<char, 64> things;

void* thing(std::size_t number) { return &things.at(number); }

Items few(std::size_t count, std::size_t first = 0) {
    Items result;
    for (std::size_t i = 0; i != count; ++i) result.push_back(thing(first + i));
    return result;
}

Items drain(ThreadSlot& slot) {
    Items result;
    while (void* const item = slot.take()) result.push_back(item);
    return result;
}

void fill(ThreadSlot& slot, std::size_t count) {
    for (void* const item : few(count)) ASSERT_TRUE(slot.put(item));
}

Items contents(ThreadSlot const& slot) {
    auto const all = slot.contents();
    return {all.begin(), all.end()};
}

/// The slot's first word, as its owner leaves it in the midst of a step.
struct Mark {
    explicit Mark(ThreadSlot& slot) : top{reinterpret_cast<std::atomic<std::uintptr_t>&>(slot)} { top |= 1; }
    ~Mark() { top &= ~std::uintptr_t{1}; }
    std::atomic<std::uintptr_t>& top;
};

TEST(ThreadSlot, LendsTheLatestFirst) {
    ThreadSlot slot;
    EXPECT_EQ(slot.take(), nullptr);
    fill(slot, 3);
    EXPECT_EQ(slot.size(), 3u);
    EXPECT_EQ(drain(slot), (Items{thing(2), thing(1), thing(0)}));
    EXPECT_EQ(slot.size(), 0u);
    EXPECT_EQ(slot.reused(), 3u);
}

TEST(ThreadSlot, RefusesWhatItHasNoRoomForAndIsLeftAsItWas) {
    ThreadSlot slot;
    fill(slot, ThreadSlot::capacity);
    EXPECT_FALSE(slot.put(thing(60)));
    EXPECT_EQ(slot.size(), ThreadSlot::capacity);
    EXPECT_EQ(slot.take(), thing(ThreadSlot::capacity - 1));
    EXPECT_TRUE(slot.put(thing(60)));
    EXPECT_EQ(slot.take(), thing(60));
}

TEST(ThreadSlot, SpillsTheColdestHalf) {
    ThreadSlot slot;
    fill(slot, ThreadSlot::capacity);
    std::array<void*, ThreadSlot::capacity> into{};
    auto const count = slot.spill(into);
    EXPECT_EQ(count, (ThreadSlot::capacity + 1) / 2);
    EXPECT_EQ(Items(into.begin(), into.begin() + static_cast<std::ptrdiff_t>(count)), few(count));
    EXPECT_EQ(contents(slot), few(ThreadSlot::capacity - count, count));
}

TEST(ThreadSlot, OneThatIsNobodysIsEmptyAndFull) {
    ThreadSlot slot{ThreadSlot::Nobodys{}};
    EXPECT_EQ(slot.take(), nullptr);
    EXPECT_FALSE(slot.put(thing(0)));
    EXPECT_FALSE(slot.usable());
    EXPECT_EQ(slot.size(), 0u);
    EXPECT_FALSE(slot.claim());
}

TEST(ThreadSlot, ItsOwnerGoesElsewhereWhileThereIsAVisitor) {
    ThreadSlot slot;
    fill(slot, 2);
    ASSERT_TRUE(slot.claim());
    EXPECT_EQ(slot.take(), nullptr);
    EXPECT_FALSE(slot.put(thing(5)));
    std::array<void*, ThreadSlot::capacity> into{};
    EXPECT_EQ(slot.spill(into), 0u);
    EXPECT_FALSE(slot.usable());
    EXPECT_TRUE(slot.is_quiet());
    EXPECT_EQ(contents(slot), few(2));
    slot.leave_as_it_was();
    EXPECT_TRUE(slot.usable());
    EXPECT_EQ(drain(slot), (Items{thing(1), thing(0)}));
}

TEST(ThreadSlot, HasOneVisitorAtATime) {
    ThreadSlot slot;
    ASSERT_TRUE(slot.claim());
    EXPECT_FALSE(slot.claim());
    EXPECT_EQ(slot.bar(), Barring::wait);
    slot.leave_as_it_was();
    EXPECT_TRUE(slot.claim());
}

TEST(ThreadSlot, TellsAVisitorThatItsOwnerIsAtWork) {
    ThreadSlot slot;
    fill(slot, 2);
    {
        Mark const at_work{slot};
        ASSERT_TRUE(slot.claim());
        EXPECT_FALSE(slot.is_quiet());
        EXPECT_EQ(slot.size(), 2u) << "the mark counts as an object";
    }
    EXPECT_TRUE(slot.is_quiet());
    EXPECT_EQ(contents(slot), few(2));
}

// Invariant 2: what the owner knows of the top is not what there is.
TEST(ThreadSlot, GivesItsOwnerNothingThatAVisitorTook) {
    ThreadSlot slot;
    fill(slot, 3);
    ASSERT_TRUE(slot.claim());
    slot.leave_empty();
    EXPECT_EQ(slot.size(), 0u);
    EXPECT_EQ(slot.take(), nullptr);
    EXPECT_FALSE(slot.put(thing(5))) << "before its owner knows that it is empty";
    EXPECT_TRUE(slot.usable());
    EXPECT_EQ(slot.take(), nullptr);
    EXPECT_TRUE(slot.put(thing(5)));
    EXPECT_EQ(drain(slot), Items{thing(5)});
}

std::size_t rest_after_a_robbery(ThreadSlot& slot) {
    EXPECT_TRUE(slot.claim());
    slot.leave_robbed();
    std::size_t turns = 0;
    while (!slot.usable()) ++turns;
    return turns;
}

TEST(ThreadSlot, IsLeftAloneEverLongerWhenItIsRobbedAgainAndAgain) {
    ThreadSlot slot;
    std::size_t const first = rest_after_a_robbery(slot);
    EXPECT_GT(first, 0u);
    EXPECT_EQ(rest_after_a_robbery(slot), 2 * first);
    EXPECT_EQ(rest_after_a_robbery(slot), 4 * first);
    std::size_t last = 0;
    for (int i = 0; i != 20; ++i) last = rest_after_a_robbery(slot);
    EXPECT_EQ(rest_after_a_robbery(slot), last) << "without end";
    // Much use in between, and it was worth its while.
    for (std::size_t i = 0; i != 1000 * last; ++i) slot.count_reuse();
    EXPECT_EQ(rest_after_a_robbery(slot), first);
}

TEST(ThreadSlot, StaysEmptyWhileItIsBarred) {
    ThreadSlot slot;
    fill(slot, 2);
    ASSERT_EQ(slot.bar(), Barring::claimed);
    EXPECT_EQ(contents(slot), few(2));
    slot.leave_barred();
    EXPECT_EQ(slot.bar(), Barring::done);
    EXPECT_FALSE(slot.claim());
    EXPECT_FALSE(slot.usable());
    EXPECT_FALSE(slot.put(thing(5)));
    EXPECT_EQ(slot.size(), 0u);
    slot.unbar();
    EXPECT_EQ(slot.take(), nullptr);
    EXPECT_TRUE(slot.usable());
    EXPECT_EQ(drain(slot), Items{});
    EXPECT_TRUE(slot.put(thing(5)));
}

TEST(ThreadSlot, IsBarredAtOnceWhenItIsEmptyAnyway) {
    ThreadSlot slot;
    ASSERT_TRUE(slot.claim());
    slot.leave_empty();
    EXPECT_EQ(slot.bar(), Barring::done);
    EXPECT_FALSE(slot.usable());
    slot.unbar();
    EXPECT_TRUE(slot.usable());
}

}  // namespace
}  // namespace weir::detail
