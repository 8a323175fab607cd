// Many keys: none is bound to leave anything behind, and those that are there cost little.

#include "support/sanitizers.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <malloc.h>
#include <vector>
#include <weir/keyed_pool.hpp>

namespace weir::test {
namespace {

using boost::system::error_code;

constexpr bool counts_bytes = !WEIR_TEST_UNDER_ASAN && !WEIR_TEST_UNDER_TSAN;  // theirs is another allocator

// What the program has allocated, freed bytes not counted, however the system got them.
std::size_t in_use() {
    auto const info = ::mallinfo2();
    return info.uordblks + info.hblkhd;
}

TEST(KeyedPoolMemory, KeysThatAreUsedOnceLeaveNothingBehind) {
    constexpr int keys = 200'000;
    constexpr std::size_t total = 100;
    KeyedPool<int, int> pool{[](int key) { return key; }, {.per_key = {}, .total = total}};
    for (int key = 0; key != 1'000; ++key) pool.acquire(key).release();
    std::size_t const before = in_use();
    std::size_t most = before;
    for (int key = 1'000; key != keys; ++key) {
        EXPECT_EQ(*pool.acquire(key), key);
        if (key % 1'000 == 0 && in_use() > most) most = in_use();
    }
    std::size_t there = 0;
    pool.for_each([&](int, Stats const&) { ++there; });
    EXPECT_LE(there, total);
    EXPECT_EQ(pool.stats().open, total);
    EXPECT_EQ(pool.stats().acquired, std::uint64_t{keys});
    if (counts_bytes) {
        EXPECT_LE(most, before + 64 * 1024) << "grows with every key";
    }
    EXPECT_TRUE(pool.close());
    if (counts_bytes) {
        EXPECT_LT(in_use(), before);
    }
}

TEST(KeyedPoolMemory, KeysWhoseConnectFailsLeaveNothingBehind) {
    KeyedPool<int, int> pool{
        [](int) -> boost::system::result<int> { return error_code{boost::asio::error::connection_refused}; }};
    auto const fail = [&](int from, int to) {
        for (int key = from; key != to; ++key)
            EXPECT_TRUE(pool.try_acquire_for(key, std::chrono::seconds{20}).has_error());
    };
    fail(0, 1'000);
    std::size_t const before = in_use();
    fail(1'000, 20'000);
    pool.for_each([](int, Stats const&) { ADD_FAILURE() << "a key is left"; });
    if (counts_bytes) {
        EXPECT_LE(in_use(), before + 64 * 1024);
    }
}

TEST(KeyedPoolMemory, ManyKeysAtOnceLeaveNothingBehindWhenTheyGo) {
    KeyedPool<int, int> pool{[](int key) { return key; }};
    for (int key = 0; key != 100; ++key) pool.acquire(key).release();
    std::size_t const before = in_use();
    for (int key = 0; key != 30'000; ++key) pool.acquire(key).release();
    pool.clear();
    pool.for_each([](int, Stats const&) { ADD_FAILURE() << "a key is left"; });
    if (counts_bytes) {
        EXPECT_LE(in_use(), before + 64 * 1024);
    }
    EXPECT_EQ(*pool.acquire(7), 7);
}

TEST(KeyedPoolMemory, AKeyWithOneIdleCostsLittle) {
    constexpr int keys = 10'000;
    KeyedPool<int, int> pool{[](int key) { return key; }};
    pool.acquire(-1).release();
    std::size_t const before = in_use();
    for (int key = 0; key != keys; ++key) pool.acquire(key).release();
    std::size_t const each = (in_use() - before) / keys;
    RecordProperty("bytes_per_key", static_cast<int>(each));
    if (counts_bytes) {
        EXPECT_LE(each, 2'304u);
    }
    EXPECT_TRUE(pool.close());
}

}  // namespace
}  // namespace weir::test
