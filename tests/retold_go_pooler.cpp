// What the tests of go-pooler ask of a pool by key, retold. There all who ask for a key share one resource, which is
// closed under them when the key is released; here each has one of its own, and `evict` waits for what is in use.

#include "support/asio.hpp"
#include "support/eventually.hpp"
#include "support/hosts.hpp"

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <gtest/gtest.h>
#include <latch>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {

/// A key whose hash says nothing.
struct Opaque {
    int number;
    friend bool operator==(Opaque const&, Opaque const&) = default;
};

}  // namespace weir::test

template <>
struct std::hash<weir::test::Opaque> {
    std::size_t operator()(weir::test::Opaque const&) const noexcept { return 7; }
};

namespace weir::test {
namespace {

namespace asio = boost::asio;
using testing::ManualClock;

struct RetoldGoPooler : ::testing::Test {
    Hosts hosts;

    template <class Pool>
    static std::set<std::string> keys(Pool const& pool) {
        std::set<std::string> found;
        pool.for_each([&](std::string const& key, Stats const&) { EXPECT_TRUE(found.insert(key).second) << key; });
        return found;
    }
};

// Acquire, Contains, Release
TEST_F(RetoldGoPooler, AKeyIsThereFromItsFirstAcquireUntilItIsReleased) {
    HostPool<> pool{hosts};
    EXPECT_FALSE(pool.contains("key1"));
    pool.acquire("key1").release();
    EXPECT_TRUE(pool.contains("key1"));
    pool.evict("key1");
    EXPECT_FALSE(pool.contains("key1"));
    EXPECT_EQ(hosts.closed(), 1u);
    pool.evict("key1");
    EXPECT_EQ(hosts.closed(), 1u) << "closed again";
    pool.acquire("key1").release();
    EXPECT_EQ(hosts.calls("key1"), 2u);
    expect_ended(pool, hosts);
}

// ReleaseAll, All, Walk
TEST_F(RetoldGoPooler, ReleasingAllLeavesNoKeyAndThePoolUsable) {
    HostPool<> pool{hosts};
    for (auto const* key : {"key1", "key2", "key3"}) pool.acquire(key).release();
    EXPECT_EQ(keys(pool), (std::set<std::string>{"key1", "key2", "key3"}));
    pool.clear();
    EXPECT_EQ(keys(pool), std::set<std::string>{});
    EXPECT_EQ(hosts.closed(), 3u);
    EXPECT_EQ(pool.acquire("key2")->host(), "key2");
    expect_ended(pool, hosts);
}

// Stats: who waits is counted while he does, and how long he did afterwards.
TEST_F(RetoldGoPooler, CountsWhoWaitsForThePlaceOfAnotherKeyAndForHowLong) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 1}};
    auto held = pool.acquire("key1");
    EXPECT_EQ(pool.stats().wait_time, Stats::duration::zero());
    auto const before = std::chrono::steady_clock::now();
    auto waiter = std::async(std::launch::async, [&] { return pool.try_acquire_for("key2", 20s); });
    ASSERT_TRUE(eventually([&] { return pool.stats().waiting == 1; }));
    auto stats = pool.stats();
    EXPECT_EQ(stats.high, 1u);
    EXPECT_EQ(stats.open, 1u);
    EXPECT_EQ(stats.waited, 1u);
    held.release();
    ASSERT_TRUE(waiter.get());
    auto const most = std::chrono::steady_clock::now() - before;
    stats = pool.stats();
    EXPECT_EQ(stats.waiting, 0u);
    EXPECT_EQ(stats.waited, 1u);
    EXPECT_GT(stats.wait_time, Stats::duration::zero());
    EXPECT_LE(stats.wait_time, most);
    EXPECT_FALSE(pool.contains("key1"));
    EXPECT_TRUE(pool.contains("key2"));
    expect_ended(pool, hosts);
}

// HealthCheck: the sick key goes without being asked for, and the others stay as they are.
TEST_F(RetoldGoPooler, AHealthCheckRemovesTheSickKeyAndNoOther) {
    HostPool<ManualClock, Upkeep> pool{hosts, {.per_key = {.idle = {.ttl = 1h}, .upkeep = {.check_every = 60s}}}};
    auto const id = pool.acquire("healthy")->id();
    pool.acquire("sick").release();
    hosts.spoil("sick");
    pool.sweep();
    EXPECT_TRUE(pool.contains("sick")) << "checked before its time";
    ManualClock::advance(60s);
    pool.sweep();
    EXPECT_TRUE(eventually([&] { return !pool.contains("sick"); }));
    EXPECT_TRUE(eventually([&] { return pool.stats("healthy").idle == 1; }));
    EXPECT_EQ(pool.acquire("healthy")->id(), id);
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    expect_ended(pool, hosts);
}

// ContextCancellation: before it has begun, and while it waits.
TEST_F(RetoldGoPooler, ACancelledAcquireIsToldSoAndMakesNoKey) {
    asio::io_context io;
    HostPool<> pool{io.get_executor(), hosts, {.per_key = {}, .total = 1}};
    auto held = pool.acquire("key1");
    asio::cancellation_signal signal;
    boost::system::error_code told;
    pool.async_acquire("key2", asio::bind_cancellation_slot(
                                   signal.slot(), [&](boost::system::error_code ec, Lease<HostConn>) { told = ec; }));
    EXPECT_TRUE(pool.contains("key2")) << "somebody waits for it";
    signal.emit(asio::cancellation_type::partial);
    EXPECT_TRUE(asio_test::run_until(io, [&] { return told == asio::error::operation_aborted; }));
    EXPECT_FALSE(pool.contains("key2"));
    EXPECT_EQ(pool.stats().cancelled, 1u);
    held.release();
    EXPECT_EQ(hosts.calls("key2"), 0u);
    expect_ended(pool, hosts);
}

// Parallel_Acquire_MaxResources: each uses its key and then has it gone.
TEST_F(RetoldGoPooler, MoreKeysThanPlacesTakeTurnsThoughEachIsReleasedByHand) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 2}};
    std::latch start{3};
    std::vector<std::thread> threads;
    for (int i = 0; i != 3; ++i)
        threads.emplace_back([&, key = "key" + std::to_string(i)] {
            start.arrive_and_wait();
            for (int n = 0; n != 100; ++n) {
                auto lease = pool.try_acquire_for(key, 20s);
                ASSERT_TRUE(lease) << lease.error().message();
                EXPECT_EQ((*lease)->host(), key);
                lease->release();
                pool.evict(key);
            }
        });
    for (auto& thread : threads) thread.join();
    // What was to make room may still be on its way out, though its place was not needed after all.
    EXPECT_TRUE(eventually([&] { return keys(pool).empty(); }));
    EXPECT_LE(hosts.max_open(), 2u);
    expect_ended(pool, hosts);
}

// Walk, while others come and go.
TEST_F(RetoldGoPooler, AWalkShowsEachKeyAtMostOnceWhateverHappensMeanwhile) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 20}};
    auto const held = pool.acquire("held");
    std::atomic<bool> over{false};
    std::vector<std::thread> threads;
    for (int i = 0; i != 3; ++i)
        threads.emplace_back([&, i] {
            for (int n = 0; !over; ++n) {
                auto const key = "key" + std::to_string((n * 7 + i) % 50);
                pool.acquire(key).release();
                if (n % 5 == 0) pool.evict(key);
                if (n % 100 == 0) pool.clear();
            }
        });
    for (int walks = 0; walks != 200; ++walks) {
        auto const found = keys(pool);
        EXPECT_TRUE(found.contains("held"));
        EXPECT_LE(found.size(), 51u);
    }
    over = true;
    for (auto& thread : threads) thread.join();
    EXPECT_LE(hosts.max_open(), 20u);
}

// Any key will do that can be compared and hashed, however badly.
TEST_F(RetoldGoPooler, KeysOfOneHashAreKeptApart) {
    KeyedPool<Opaque, std::unique_ptr<int>> pool{[](Opaque key) { return std::make_unique<int>(key.number); },
                                                 {.per_key = {}, .total = 30}};
    for (int round = 0; round != 3; ++round)
        for (int i = 0; i != 100; ++i) EXPECT_EQ(**pool.acquire(Opaque{i}), i);
    EXPECT_EQ(pool.stats().connected, 300u) << "seventy others came in between";
    for (int i = 99; i != 69; --i) EXPECT_EQ(**pool.acquire(Opaque{i}), i);
    EXPECT_EQ(pool.stats().connected, 300u);
    pool.evict(Opaque{80});
    EXPECT_FALSE(pool.contains(Opaque{80}));
    EXPECT_TRUE(pool.contains(Opaque{81}));
    EXPECT_TRUE(pool.close());
}

}  // namespace
}  // namespace weir::test
