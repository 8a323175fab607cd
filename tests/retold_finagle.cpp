// What the tests of Finagle's SingletonPool, ServiceFactoryCache and ExpiringService ask of them, retold. Where a cache
// of factories makes one more for a single use, a keyed pool has its user wait. More of the former: shared_pool.cpp.

#include "support/asio.hpp"
#include "support/eventually.hpp"
#include "support/fake_pool.hpp"
#include "support/hosts.hpp"
#include "support/waiters.hpp"

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <future>
#include <gtest/gtest.h>
#include <latch>
#include <map>
#include <string>
#include <thread>
#include <vector>
#include <weir/shared_pool.hpp>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

using testing::ManualClock;
using Names = std::vector<std::string>;

// ---- SingletonPool -----------------------------------------------------------------------------------------------------

struct RetoldSingleton : ::testing::Test {
    FakeConnector connector;
    SharedPool<FakeConn> pool{connector};

    ~RetoldSingleton() override {
        EXPECT_TRUE(pool.close(20s));
        EXPECT_EQ(connector.complaint(), "");
    }
};

// "close(): before connection creation"
TEST_F(RetoldSingleton, ClosedBeforeItsFirstUseItNeverConnects) {
    EXPECT_TRUE(pool.close(0s));
    EXPECT_EQ(pool.try_acquire_for(20s).error(), Errc::closed);
    EXPECT_EQ(pool.try_acquire().error(), Errc::closed);
    EXPECT_EQ(connector.calls(Hook::connect), 0u);
}

// "close(): after connection creation, before underlying"
TEST_F(RetoldSingleton, ClosedDuringItsConnectItFailsAllAndClosesWhatComesLate) {
    connector.gate(Hook::connect, Gate::never);
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);  // has one opened by a thread of the pool's
    ASSERT_TRUE(connector.await_blocked(Hook::connect, 1));
    auto first = wait_in_line(pool);
    auto second = wait_in_line(pool);
    EXPECT_FALSE(pool.close(0s));
    EXPECT_EQ(first.get().error(), Errc::closed) << "before the connect ends";
    EXPECT_EQ(second.get().error(), Errc::closed);
    EXPECT_EQ(connector.closed(), 0u);
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(pool.close(20s));
    EXPECT_EQ(connector.closed(), 1u);
}

// "close(): after connection creation, after underlying"
TEST_F(RetoldSingleton, ClosedWhileInUseItIsOutOfBusinessAtOnceAndEndsWithTheLastUser) {
    auto one = pool.acquire();
    auto other = pool.acquire();
    EXPECT_FALSE(pool.close(0s));
    EXPECT_EQ(pool.try_acquire().error(), Errc::closed) << "though there is one to share";
    one.release();
    EXPECT_EQ(connector.closed(), 0u);
    other.release();
    EXPECT_EQ(connector.closed(), 1u);
}

// "reestablish connections when the service becomes unavailable", by several who all find it so.
TEST_F(RetoldSingleton, AllWhoFindItDeadGetOneNewConnection) {
    std::vector<Lease<FakeConn>> dead;
    for (int i = 0; i != 8; ++i) dead.push_back(pool.acquire());
    std::vector<Lease<FakeConn>> fresh(dead.size());
    std::latch start{static_cast<std::ptrdiff_t>(dead.size())};
    std::vector<std::thread> users;
    for (std::size_t i = 0; i != dead.size(); ++i)
        users.emplace_back([&, i] {
            start.arrive_and_wait();
            dead[i].discard();
            fresh[i] = pool.acquire();
        });
    for (auto& user : users) user.join();
    for (auto const& lease : fresh) EXPECT_EQ(lease->id(), 2u);
    EXPECT_EQ(connector.close_order(), (std::vector<std::uint64_t>{1}));
    EXPECT_EQ(pool.stats().closed_discarded, 1u);
}

// "return on failure": nothing is remembered of it.
TEST_F(RetoldSingleton, EachRequestAfterAFailureTriesAgain) {
    connector.gate(Hook::connect, Gate::error);
    for (std::size_t i = 1; i != 5; ++i) {
        EXPECT_TRUE(pool.try_acquire_for(20s).has_error());
        EXPECT_EQ(connector.calls(Hook::connect), i);
    }
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(pool.try_acquire_for(20s));
}

// ---- ServiceFactoryCache -----------------------------------------------------------------------------------------------

struct RetoldFactoryCache : ::testing::Test {
    Hosts hosts;

    template <class Pool>
    static auto wait_for(Pool& pool, std::string const& key) {
        auto const before = pool.stats(key).waiting;
        auto waiter = std::async(std::launch::async, [&pool, key] { return pool.try_acquire_for(key, 20s); });
        EXPECT_TRUE(eventually([&] { return pool.stats(key).waiting == before + 1; }));
        return waiter;
    }
};

// "cache, evict"
TEST_F(RetoldFactoryCache, CachesTwoAndEvictsTheOneThatCameBackFirst) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 2}};
    auto one = pool.acquire("1");
    auto two = pool.acquire("2");
    EXPECT_EQ(pool.try_acquire("3").error(), Errc::exhausted) << "both are busy";
    two.release();
    one.release();
    auto three = pool.acquire("3");
    EXPECT_EQ(hosts.close_order(), Names{"2"});
    one = pool.acquire("1");
    EXPECT_EQ(hosts.calls("1"), 1u) << "it was cached";
    auto again = wait_for(pool, "2");
    one.release();
    EXPECT_TRUE(again.get());
    EXPECT_EQ(hosts.close_order(), (Names{"2", "1"}));
    EXPECT_EQ(hosts.calls("2"), 2u);
    EXPECT_EQ(hosts.calls("3"), 1u);
    three.release();
    expect_ended(pool, hosts);
}

// A factory that is used more than once at a time is not idle before its last user is done.
TEST_F(RetoldFactoryCache, AKeyInUseIsNeverEvictedThoughOthersOfItsAreIdle) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 3}};
    auto used = pool.acquire("a");
    pool.acquire("a").release();
    pool.acquire("b").release();
    auto c = pool.acquire("c");
    EXPECT_EQ(hosts.close_order(), Names{"a"}) << "the colder one";
    auto d = pool.acquire("d");
    EXPECT_EQ(hosts.close_order(), (Names{"a", "b"}));
    EXPECT_EQ(pool.try_acquire("e").error(), Errc::exhausted);
    EXPECT_EQ(hosts.closed(), 2u);
    used.release();
    c.release();
    d.release();
    expect_ended(pool, hosts);
}

// Closing the cache fails what waits for any of its factories, and for a place among them.
TEST_F(RetoldFactoryCache, ClosingFailsThreadsAndHandlersOfAllKeysInLineForTheTotal) {
    asio_test::asio::io_context io;
    HostPool<> pool{io.get_executor(), hosts, {.per_key = {.size = {.high = 1}}, .total = 1}};
    auto held = pool.acquire("held");
    auto same = wait_for(pool, "held");
    auto thread = wait_for(pool, "thread");
    std::map<std::string, boost::system::error_code> told;
    for (auto const* key : {"held", "handler"})
        pool.async_acquire(key, [&, key](boost::system::error_code ec, Lease<HostConn>) { told[key] = ec; });
    asio_test::poll(io);
    EXPECT_TRUE(told.empty());
    EXPECT_FALSE(pool.close(0s));
    EXPECT_EQ(same.get().error(), Errc::closed);
    EXPECT_EQ(thread.get().error(), Errc::closed);
    EXPECT_TRUE(asio_test::run_until(io, [&] { return told.size() == 2; }));
    for (auto const& [key, ec] : told) EXPECT_EQ(ec, Errc::closed) << key;
    EXPECT_EQ(hosts.calls("thread") + hosts.calls("handler"), 0u);
    held.release();
    expect_ended(pool, hosts);
}

// ---- ExpiringService ---------------------------------------------------------------------------------------------------

// "life time": a request under way is not cut short, and the next one gets another.
TEST_F(RetoldFactoryCache, ALifeThatEndsDuringARequestEndsAtItsReturn) {
    HostPool<ManualClock, Upkeep> pool{hosts, {.per_key = {.upkeep = {.max_age = 10s, .age_jitter = 0}}}};
    auto request = pool.acquire("a");
    ManualClock::advance(11s);
    pool.sweep();
    EXPECT_EQ(hosts.closed(), 0u);
    request.release();
    EXPECT_EQ(hosts.closed(), 1u);
    EXPECT_FALSE(pool.contains("a"));
    EXPECT_EQ(pool.stats().closed_age, 1u);
    expect_ended(pool, hosts);
}

// "idle time" and "life time" together: whichever is first.
TEST_F(RetoldFactoryCache, IdleOnesEndByTheirIdleTimeOrTheirLifeTimeWhicheverIsFirst) {
    HostPool<ManualClock, Upkeep> pool{hosts,
                                       {.per_key = {.idle = {.ttl = 4s}, .upkeep = {.max_age = 10s, .age_jitter = 0}}}};
    pool.acquire("busy").release();
    pool.acquire("lazy").release();
    for (int i = 0; i != 3; ++i) {
        ManualClock::advance(3s);
        pool.acquire("busy").release();
        pool.sweep();
    }
    EXPECT_EQ(hosts.close_order(), Names{"lazy"});
    ManualClock::advance(1s);
    pool.sweep();
    EXPECT_EQ(hosts.close_order(), (Names{"lazy", "busy"}));
    EXPECT_EQ(pool.stats().closed_idle, 1u);
    EXPECT_EQ(pool.stats().closed_age, 1u);
    EXPECT_EQ(pool.stats().open, 0u);
    expect_ended(pool, hosts);
}

}  // namespace
}  // namespace weir::test
