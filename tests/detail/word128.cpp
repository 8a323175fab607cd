// The 128-bit word. What it must do on both processors, with every way of doing it.

#include "support/sanitizers.hpp"

#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <limits>
#include <memory>
#include <new>
#include <thread>
#include <vector>
#include <weir/detail/word128.hpp>

namespace weir::detail {
namespace {

using Value = Word128::Value;

constexpr std::uint64_t all_ones = std::numeric_limits<std::uint64_t>::max();

TEST(Word128, HoldsWhatItWasMadeWith) {
    Word128 const word{{1, 2}};
    EXPECT_EQ(word.load(), (Value{1, 2}));
    EXPECT_EQ(word.load_high(), 2u);
}

TEST(Word128, IsSetWhenBothHalvesAreAsExpected) {
    Word128 word{{1, 2}};
    Value expected{1, 2};
    EXPECT_TRUE(word.compare_exchange(expected, {3, 4}));
    EXPECT_EQ(word.load(), (Value{3, 4}));
    EXPECT_EQ(expected, (Value{1, 2}));
}

TEST(Word128, AFailureChangesNothingAndReportsWhatIsThere) {
    Word128 word{{1, 2}};
    for (Value const wrong : {Value{1, 3}, Value{0, 2}, Value{2, 1}, Value{0, 0}}) {
        Value expected = wrong;
        EXPECT_FALSE(word.compare_exchange(expected, {7, 8}));
        EXPECT_EQ(expected, (Value{1, 2})) << wrong.low << ' ' << wrong.high;
        EXPECT_EQ(word.load(), (Value{1, 2}));
    }
}

TEST(Word128, AFailureGivesTheNextTryItsExpectation) {
    Word128 word{{1, 2}};
    Value expected{};
    EXPECT_FALSE(word.compare_exchange(expected, {5, 6}));
    EXPECT_TRUE(word.compare_exchange(expected, {5, 6}));
    EXPECT_EQ(word.load(), (Value{5, 6}));
}

TEST(Word128, EveryBitCountsInTheComparison) {
    Word128 word{{0, 0}};
    for (unsigned bit = 0; bit != 64; ++bit) {
        Value low{std::uint64_t{1} << bit, 0};
        EXPECT_FALSE(word.compare_exchange(low, {1, 1})) << bit;
        Value high{0, std::uint64_t{1} << bit};
        EXPECT_FALSE(word.compare_exchange(high, {1, 1})) << bit;
    }
    EXPECT_EQ(word.load(), (Value{0, 0}));
}

TEST(Word128, EveryBitIsStored) {
    for (unsigned bit = 0; bit != 64; ++bit) {
        std::uint64_t const one = std::uint64_t{1} << bit;
        Word128 word{{0, 0}};
        Value expected{};
        ASSERT_TRUE(word.compare_exchange(expected, {one, ~one}));
        EXPECT_EQ(word.load(), (Value{one, ~one})) << bit;
        expected = {one, ~one};
        ASSERT_TRUE(word.compare_exchange(expected, {all_ones, all_ones}));
        EXPECT_EQ(word.load(), (Value{all_ones, all_ones})) << bit;
    }
}

TEST(Word128, DoesNotTouchItsNeighbours) {
    struct Row {
        Word128 before{{all_ones, all_ones}};
        Word128 word{{0, 0}};
        Word128 after{{all_ones, all_ones}};
    } row;
    Value expected{};
    EXPECT_TRUE(row.word.compare_exchange(expected, {0, 1}));
    EXPECT_EQ(row.before.load(), (Value{all_ones, all_ones}));
    EXPECT_EQ(row.after.load(), (Value{all_ones, all_ones}));
}

TEST(Word128, IsAlignedWhereverItLies) {
    auto const on_heap = std::make_unique<Word128>(Value{});
    struct Inside {
        char c = 0;
        Word128 word{{}};
    } inside;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(on_heap.get()) % 16, 0u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&inside.word) % 16, 0u);
}

// The sanitizer of undefined behaviour would end the program a step earlier, and with its own words.
#if !WEIR_TEST_UNDER_ASAN
TEST(Word128DeathTest, AnAllocatorThatDoesNotAlignEndsTheProgramAtOnce) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    alignas(16) std::byte room[48];
    EXPECT_DEATH(::new (static_cast<void*>(room + 8)) Word128(Value{}), "");
}
#endif

TEST(Word128, ThreadsThatIncrementBothHalvesLoseNoIncrement) {
    constexpr std::uint64_t increments = 20'000;
    constexpr std::uint64_t threads = 4;
    Word128 word{{0, all_ones}};
    std::vector<std::thread> running;
    for (std::uint64_t i = 0; i != threads; ++i) {
        running.emplace_back([&] {
            for (std::uint64_t k = 0; k != increments; ++k) {
                Value seen = word.load();
                while (!word.compare_exchange(seen, {seen.low + 1, seen.high - 3})) {
                }
            }
        });
    }
    for (auto& thread : running) thread.join();
    EXPECT_EQ(word.load(), (Value{threads * increments, all_ones - 3 * threads * increments}));
}

TEST(Word128, WhatAFailureReportsWasThereAtOneMoment) {
    constexpr std::uint64_t steps = 50'000;
    Word128 word{{0, 0}};
    std::thread writer{[&] {
        for (std::uint64_t i = 0; i != steps; ++i) {
            Value seen{i, ~i + 1};
            EXPECT_TRUE(word.compare_exchange(seen, {i + 1, ~i}));
        }
    }};
    for (std::uint64_t last = 0; last != steps;) {
        Value seen{all_ones, all_ones};
        EXPECT_FALSE(word.compare_exchange(seen, {0, 0}));
        EXPECT_EQ(seen.low + seen.high, 0u) << "halves of two moments";
        EXPECT_GE(seen.low, last) << "the past came back";
        last = seen.low;
    }
    writer.join();
}

TEST(Word128, WhatWasWrittenBeforeIsSeenThroughIt) {
    constexpr std::uint64_t rounds = 20'000;
    // A plain counter, guarded by a lock made of the word: the sanitizer must see the one through the other.
    std::uint64_t plain = 0;
    Word128 word{{0, 0}};
    auto const count = [&] {
        for (std::uint64_t i = 0; i != rounds; ++i) {
            Value open{0, 0};
            while (!word.compare_exchange(open, {1, 1})) {
                open = {0, 0};
                std::this_thread::yield();
            }
            ++plain;
            Value mine{1, 1};
            EXPECT_TRUE(word.compare_exchange(mine, {0, 0}));
        }
    };
    std::thread other{count};
    count();
    other.join();
    EXPECT_EQ(plain, 2 * rounds);
}

}  // namespace
}  // namespace weir::detail
