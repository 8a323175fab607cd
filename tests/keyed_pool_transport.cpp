// What Go's net/http Transport does with idle connections, by host, retold.

#include "support/eventually.hpp"
#include "support/hosts.hpp"

#include <future>
#include <gtest/gtest.h>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace weir::test {
namespace {

struct Transport : ::testing::Test {
    Hosts hosts;
};

// TestTransportMaxIdleConns, with the whole pool's bound in the place of the idle one's.
TEST_F(Transport, EvictsTheLeastRecentlyUsedHost) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 4}};
    auto const get = [&](std::string const& host) { pool.acquire(host).release(); };
    for (int i = 1; i <= 4; ++i) get("host-" + std::to_string(i));
    get("host-1");
    get("host-5");
    EXPECT_TRUE(eventually([&] { return !pool.contains("host-2"); }));  // whose place is free a little earlier
    for (int i : {1, 3, 4, 5}) EXPECT_TRUE(pool.contains("host-" + std::to_string(i))) << i;
    get("host-6");
    EXPECT_TRUE(eventually([&] { return !pool.contains("host-3"); }));
    expect_ended(pool, hosts);
}

// TestTransportMaxPerHostIdleConns
TEST_F(Transport, KeepsAtMostSoManyIdleOfAHost) {
    HostPool<> pool{hosts, {.per_key = {.idle = {.max_idle = 2}}}};
    {
        auto a = pool.acquire("a");
        auto b = pool.acquire("a");
        auto c = pool.acquire("a");
        EXPECT_EQ(pool.stats("a").open, 3u);
    }
    EXPECT_EQ(pool.stats("a").idle, 2u);
    EXPECT_EQ(pool.stats().closed_excess, 1u);
    expect_ended(pool, hosts);
}

// TestTransportMaxConnsPerHost
TEST_F(Transport, WaitsForOneOfTheHostsOwn) {
    HostPool<> pool{hosts, {.per_key = {.size = {.high = 2}}}};
    std::vector<std::thread> clients;
    for (int i = 0; i != 6; ++i)
        clients.emplace_back([&] {
            for (int n = 0; n != 100; ++n) EXPECT_EQ(pool.acquire("a")->host(), "a");
        });
    for (auto& client : clients) client.join();
    EXPECT_LE(hosts.max_open(), 2u);
    EXPECT_LE(hosts.calls("a"), 2u);
    expect_ended(pool, hosts);
}

// TestTransportRemovesH2ConnsAfterIdle, TestTransportIdleConnTimeout
TEST_F(Transport, IdleOnesExpireAndTheirHostWithThem) {
    HostPool<> pool{hosts, {.per_key = {.idle = {.ttl = 30ms}}}};
    for (int i = 0; i != 10; ++i) pool.acquire(std::to_string(i)).release();
    EXPECT_TRUE(eventually([&] {
        std::size_t left = 0;
        pool.for_each([&](auto const&, Stats const&) { ++left; });
        return left == 0;
    }));
    EXPECT_EQ(pool.stats().closed_idle, 10u);
    expect_ended(pool, hosts);
}

// IdleConnCountForTesting, IdleConnKeysForTesting
TEST_F(Transport, CountsIdleOnesByHost) {
    HostPool<> pool{hosts};
    {
        auto a = pool.acquire("a");
        auto b = pool.acquire("a");
        auto c = pool.acquire("b");
    }
    std::set<std::string> keys;
    pool.for_each([&](std::string const& host, Stats const& stats) {
        keys.insert(host);
        EXPECT_EQ(stats.idle, host == "a" ? 2u : 1u);
    });
    EXPECT_EQ(keys, (std::set<std::string>{"a", "b"}));
    expect_ended(pool, hosts);
}

// TestTransportDialPreservesNetOpProxyError and others dial for one host only.
TEST_F(Transport, NoHostGetsAnothersConnection) {
    HostPool<> pool{hosts, {.per_key = {.size = {.high = 2}}, .total = 4}};
    std::vector<std::thread> clients;
    for (unsigned i = 0; i != 4; ++i)
        clients.emplace_back([&, i] {
            for (unsigned n = 0; n != 500; ++n) {
                auto const host = "host-" + std::to_string((n * 7 + i) % 11);
                EXPECT_EQ(pool.acquire(host)->host(), host);
            }
        });
    for (auto& client : clients) client.join();
    EXPECT_LE(hosts.max_open(), 4u);
    expect_ended(pool, hosts);
}

// CloseIdleConnections leaves those in use alone, and later requests dial anew.
TEST_F(Transport, ClosingIdleConnectionsLeavesThoseInUse) {
    HostPool<> pool{hosts};
    auto used = pool.acquire("a");
    pool.acquire("b").release();
    pool.clear();
    EXPECT_EQ(hosts.closed(), 1u);
    EXPECT_EQ(used->host(), "a");
    EXPECT_NE(pool.acquire("a")->id(), used->id());
    EXPECT_EQ(pool.acquire("b")->host(), "b");
    EXPECT_EQ(hosts.calls("b"), 2u);
    used.release();
    expect_ended(pool, hosts);
}

}  // namespace
}  // namespace weir::test
