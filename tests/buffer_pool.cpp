// Pools of buffers: classes by size, and what is too large for any. What an ObjectPool does: object_pool.cpp.

#include "support/eventually.hpp"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>
#include <weir/buffer_pool.hpp>

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using Buffer = BufferPool::Buffer;
using Options = BufferPool::Options;
namespace asio = boost::asio;

static_assert(!std::is_copy_constructible_v<Buffer> && std::is_nothrow_move_constructible_v<Buffer> &&
              std::is_nothrow_move_assignable_v<Buffer>);
static_assert(std::is_convertible_v<Buffer const&, asio::mutable_buffer>);

TEST(BufferPool, ServesASizeFromTheSmallestClassThatHasRoom) {
    BufferPool pool{Options{.min = 64, .max = 4096}};
    for (auto const& [size, capacity] : std::vector<std::pair<std::size_t, std::size_t>>{
             {0, 64}, {1, 64}, {63, 64}, {64, 64}, {65, 128}, {128, 128}, {129, 256}, {2049, 4096}, {4096, 4096}}) {
        auto const buffer = pool.acquire(size);
        EXPECT_EQ(buffer.size(), size);
        EXPECT_EQ(buffer.capacity(), capacity) << size;
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
        std::memset(buffer.data(), 0x55, buffer.capacity());
    }
}

TEST(BufferPool, HasOneClassIfThatIsAsked) {
    BufferPool pool{Options{.min = 1024, .max = 1024}};
    EXPECT_EQ(pool.acquire(3).capacity(), 1024u);
    EXPECT_EQ(pool.acquire(1024).capacity(), 1024u);
    EXPECT_EQ(pool.acquire(1025).capacity(), 1025u);
    EXPECT_EQ(pool.class_stats().size(), 2u);
}

TEST(BufferPool, HasClassesFromOneByteToTheLargestPowerOfTwo) {
    BufferPool pool{Options{.min = 1, .max = std::size_t{1} << 63}};
    EXPECT_EQ(pool.class_stats().size(), 65u);
    EXPECT_EQ(pool.acquire(1).capacity(), 1u);
    EXPECT_EQ(pool.acquire(2).capacity(), 2u);
    EXPECT_EQ(pool.acquire(3).capacity(), 4u);
}

TEST(BufferPool, LendsTheSameMemoryAgainUntouched) {
    BufferPool pool;
    auto buffer = pool.acquire(1000);
    auto const* const data = buffer.data();
    std::memset(buffer.data(), 0x5a, 1000);
    buffer.release();
    EXPECT_FALSE(buffer);
    EXPECT_EQ(buffer.size(), 0u);
    auto const again = pool.acquire(600);
    EXPECT_EQ(again.data(), data);
    EXPECT_EQ(again[999], std::byte{0x5a}) << "somebody zeroes it";
    EXPECT_NE(pool.acquire(600).data(), data);
}

TEST(BufferPool, KeepsClassesApart) {
    BufferPool pool{Options{.min = 64, .max = 256}};
    pool.acquire(64).release();
    pool.acquire(65).release();
    pool.acquire(65).release();
    auto const all = pool.class_stats();
    ASSERT_EQ(all.size(), 4u);
    EXPECT_EQ(all[0].capacity, 64u);
    EXPECT_EQ(all[1].capacity, 128u);
    EXPECT_EQ(all[2].capacity, 256u);
    EXPECT_EQ(all[3].capacity, 0u);
    EXPECT_EQ(static_cast<ObjectStats const&>(all[0]), (ObjectStats{.made = 1, .idle = 1}));
    EXPECT_EQ(static_cast<ObjectStats const&>(all[1]), (ObjectStats{.made = 1, .reused = 1, .idle = 1}));
    EXPECT_EQ(static_cast<ObjectStats const&>(all[2]), ObjectStats{});
    EXPECT_EQ(pool.stats(100), static_cast<ObjectStats const&>(all[1]));
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 2, .reused = 1, .idle = 2}));
}

// As users of sync.Pool have learnt: one huge buffer that is kept holds its memory for ever.
TEST(BufferPool, MakesWhatIsTooLargeAndKeepsNoneOfIt) {
    BufferPool pool{Options{.min = 64, .max = 1024}};
    {
        auto const large = pool.acquire(5000);
        EXPECT_EQ(large.size(), 5000u);
        EXPECT_EQ(large.capacity(), 5000u);
        EXPECT_EQ(pool.stats(5000), (ObjectStats{.made = 1, .leased = 1}));
    }
    EXPECT_EQ(pool.stats(5000), (ObjectStats{.made = 1, .dropped = 1}));
    auto const one = pool.acquire(5000);
    auto const other = pool.acquire(1025);
    EXPECT_EQ(pool.stats(1025), (ObjectStats{.made = 3, .dropped = 1, .leased = 2}));
    EXPECT_EQ(pool.stats().idle, 0u);
}

// As what is no length, taken for one: -1, or a difference below nothing. Rounded up to its alignment it is none.
TEST(BufferPool, RefusesMoreBytesThanThereAreAddresses) {
    BufferPool pool;
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
    for (std::size_t const size : {most, most - 1, most - 62, most - 63, most / 2 + 1})
        EXPECT_THROW((void)pool.acquire(size), std::bad_alloc) << size;
    EXPECT_EQ(pool.stats(), ObjectStats{});
}

TEST(BufferPool, KeepsNoMoreOfAClassThanMaxIdle) {
    BufferPool pool{Options{.min = 64, .max = 256, .max_idle = 3}};
    std::vector<Buffer> buffers;
    for (int i = 0; i != 10; ++i) {
        buffers.push_back(pool.acquire(64));
        buffers.push_back(pool.acquire(256));
    }
    buffers.clear();
    EXPECT_EQ(pool.stats(64), (ObjectStats{.made = 10, .dropped = 7, .idle = 3}));
    EXPECT_EQ(pool.stats(256), (ObjectStats{.made = 10, .dropped = 7, .idle = 3}));
}

TEST(BufferPool, TrimsAllClasses) {
    BufferPool pool;
    pool.acquire(100).release();
    pool.acquire(5000).release();
    EXPECT_EQ(pool.trim(), 0u);
    pool.acquire(100).release();
    EXPECT_EQ(pool.trim(), 1u);
    EXPECT_EQ(pool.stats(5000).idle, 0u);
    EXPECT_EQ(pool.stats(100).idle, 1u);
    EXPECT_EQ(pool.trim(), 1u);
}

TEST(BufferPool, TrimsInTheBackground) {
    BufferPool pool{Options{.trim_every = 1ms}};
    pool.acquire(100).release();
    pool.acquire(5000).release();
    EXPECT_TRUE(eventually([&] { return pool.stats().dropped == 2; }));
    pool.acquire(70'000).release();
    EXPECT_TRUE(eventually([&] { return pool.stats().dropped == 3; }));
}

TEST(BufferPool, TrimsOnAnExecutorOfTheUsers) {
    asio::io_context io;
    BufferPool pool{io.get_executor(), Options{.trim_every = 1ms}};
    pool.acquire(100).release();
    pool.acquire(5000).release();
    std::this_thread::sleep_for(10ms);
    EXPECT_EQ(pool.stats().dropped, 0u);
    EXPECT_TRUE(eventually([&] {
        io.restart();
        io.poll();
        return pool.stats().dropped == 2;
    }));
}

TEST(BufferPool, LendsWhatAnotherThreadReturned) {
    BufferPool pool;
    std::thread{[&] { pool.acquire(3000).release(); }}.join();
    pool.acquire(3000).release();
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 1, .reused = 1, .idle = 1}));
}

TEST(BufferPool, EndsBeforeItsBuffers) {
    std::optional<BufferPool> pool{std::in_place};
    auto small = pool->acquire(100);
    auto large = pool->acquire(std::size_t{2} << 20);
    pool->acquire(7).release();
    pool.reset();
    std::memset(small.data(), 1, small.capacity());
    std::memset(large.data(), 1, large.capacity());
    small.release();
    large.discard();
}

TEST(BufferPool, BufferGivesBackOnceHoweverItEnds) {
    BufferPool pool;
    Buffer empty;
    EXPECT_FALSE(empty);
    EXPECT_EQ(empty.size(), 0u);
    EXPECT_EQ(empty.capacity(), 0u);
    empty.release();
    empty.discard();
    auto buffer = pool.acquire(100);
    auto moved = std::move(buffer);
    EXPECT_FALSE(buffer);
    EXPECT_EQ(buffer.capacity(), 0u);
    auto& self = moved;
    moved = std::move(self);
    EXPECT_EQ(moved.size(), 100u);
    moved = pool.acquire(9000);
    EXPECT_EQ(pool.stats(100).idle, 1u);
    EXPECT_EQ(moved.size(), 9000u);
    moved.discard();
    EXPECT_EQ(pool.stats(9000), (ObjectStats{.made = 1, .dropped = 1}));
}

TEST(BufferPool, BufferChangesItsSizeWithinItsCapacity) {
    BufferPool pool;
    auto buffer = pool.acquire(600);
    buffer.resize(buffer.capacity());
    EXPECT_EQ(buffer.bytes().size(), 1024u);
    buffer.resize(3);
    EXPECT_EQ(asio::buffer(buffer).size(), 3u);
}

TEST(BufferPool, BufferIsOneOfAsios) {
    BufferPool pool;
    asio::io_context io;
    asio::local::stream_protocol::socket here{io};
    asio::local::stream_protocol::socket there{io};
    asio::local::connect_pair(here, there);

    auto out = pool.acquire(5);
    std::memcpy(out.data(), "weir!", 5);
    EXPECT_EQ(asio::buffer(out).size(), 5u);
    EXPECT_EQ(asio::write(here, asio::buffer(out)), 5u);

    auto in = pool.acquire(5);
    std::array<asio::mutable_buffer, 1> const parts{in};
    EXPECT_EQ(asio::read(there, parts), 5u);
    EXPECT_EQ(std::memcmp(in.data(), "weir!", 5), 0);

    std::size_t received = 0;
    there.async_read_some(asio::buffer(in, 2), [&](boost::system::error_code, std::size_t size) { received = size; });
    asio::write(here, asio::buffer(out, 1));
    io.run();
    EXPECT_EQ(received, 1u);
}

template <class Construct>
void expect_refused(Construct construct, std::string_view field) {
    try {
        construct();
        ADD_FAILURE() << "took a bad value of " << field;
    } catch (std::invalid_argument const& error) {
        EXPECT_NE(std::string_view{error.what()}.find(field), std::string_view::npos) << error.what();
    }
}

TEST(BufferPool, RefusesWhatIsNoSize) {
    auto const with = [](Options options) { return [options] { BufferPool const pool{options}; }; };
    expect_refused(with({.min = 0}), "Options::min");
    expect_refused(with({.min = 100}), "Options::min");
    expect_refused(with({.max = 0}), "Options::max");
    expect_refused(with({.max = 5000}), "Options::max");
    expect_refused(with({.min = 2048, .max = 1024}), "Options::min");
    expect_refused(with({.trim_every = -1s}), "Options::trim_every");
}

}  // namespace
}  // namespace weir::test
