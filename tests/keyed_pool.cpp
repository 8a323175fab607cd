// A pool for each key: which there are, what each is asked, and that they leave nothing behind.

#include "support/eventually.hpp"
#include "support/hosts.hpp"

#include <future>
#include <gtest/gtest.h>
#include <latch>
#include <optional>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>
#include <weir/policy/settings.hpp>

namespace weir::test {
namespace {

struct KeyedPoolTest : ::testing::Test {
    Hosts hosts;

    template <class Pool>
    static std::size_t keys(Pool const& pool) {
        std::size_t count = 0;
        pool.for_each([&](std::string const&, Stats const&) { ++count; });
        return count;
    }
};

TEST_F(KeyedPoolTest, LendsWhatWasOpenedForTheKey) {
    HostPool<> pool{hosts};
    {
        auto a = pool.acquire("a");
        auto b = pool.acquire("b");
        EXPECT_EQ(a->host(), "a");
        EXPECT_EQ(b->host(), "b");
    }
    EXPECT_EQ(pool.acquire("a")->host(), "a");
    EXPECT_EQ(hosts.calls("a"), 1u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedPoolTest, TakesACallableWithOrWithoutAContext) {
    KeyedPool<int, int> plain{[](int key) { return key + 1; }};
    EXPECT_EQ(*plain.acquire(1), 2);
    KeyedPool<int, int> told{
        [](int key, ConnectContext const& context) { return context.lifetime.stopped() ? 0 : key; }};
    EXPECT_EQ(*told.acquire(7), 7);
}

TEST_F(KeyedPoolTest, RefusesATotalOfNone) {
    try {
        HostPool<> const pool{hosts, {.per_key = {}, .total = 0}};
        ADD_FAILURE() << "took it";
    } catch (std::invalid_argument const& e) {
        EXPECT_STREQ(e.what(), "weir: KeyedPool: total must be at least 1");
    }
    EXPECT_THROW((HostPool<>{hosts, {.per_key = {.size = {.high = 0}}}}), std::invalid_argument);
    EXPECT_THROW((HostPool<>{boost::asio::any_io_executor{}, hosts}), std::invalid_argument);
    using Checking = KeyedPool<int, int, Upkeep>;
    EXPECT_THROW((Checking{[](int key) { return key; }, {.per_key = {.upkeep = {.check_every = 1s}}}}),
                 std::invalid_argument);
}

TEST_F(KeyedPoolTest, TriesNeverConnectOnThisThreadButHaveItDone) {
    HostPool<> pool{hosts};
    EXPECT_EQ(pool.try_acquire("a").error(), Errc::exhausted);
    EXPECT_TRUE(eventually([&] { return pool.try_acquire("a").has_value(); }));
    EXPECT_EQ(hosts.calls("a"), 1u);
    expect_ended(pool, hosts);
}

// rule 5
TEST_F(KeyedPoolTest, Rule5APastDeadlineIsLentWhatIsIdleAndNothingElse) {
    HostPool<> pool{hosts};
    EXPECT_EQ(pool.try_acquire_for("a", -1s).error(), Errc::timed_out);
    EXPECT_EQ(hosts.calls("a"), 0u);
    EXPECT_FALSE(pool.contains("a"));
    pool.acquire("a").release();
    EXPECT_TRUE(pool.try_acquire_for("a", -1s).has_value());
    EXPECT_TRUE(pool.try_acquire_until("a", std::chrono::steady_clock::now()).has_value());
    expect_ended(pool, hosts);
}

TEST_F(KeyedPoolTest, LimitsEachKeyByItself) {
    HostPool<> pool{hosts, {.per_key = {.size = {.high = 1}}}};
    auto a = pool.acquire("a");
    auto waiter = std::async(std::launch::async, [&] { return pool.try_acquire_for("a", 20s); });
    EXPECT_TRUE(eventually([&] { return pool.stats("a").waiting == 1; }));
    auto b = pool.acquire("b");
    a.release();
    EXPECT_TRUE(waiter.get().has_value());
    EXPECT_EQ(hosts.calls("a"), 1u);
    b.release();
    expect_ended(pool, hosts);
}

// go-pooler: one connect per absent key, however many ask.
TEST_F(KeyedPoolTest, OneConnectForAnAbsentKeyHoweverManyAsk) {
    for (int round = 0; round != 20; ++round) {
        Hosts fresh;
        HostPool<> pool{fresh, {.per_key = {.size = {.high = 1}}}};
        std::latch start{8};
        std::vector<std::thread> threads;
        for (int i = 0; i != 8; ++i)
            threads.emplace_back([&] {
                start.arrive_and_wait();
                EXPECT_TRUE(pool.try_acquire_for("a", 20s).has_value());
            });
        for (auto& thread : threads) thread.join();
        EXPECT_EQ(fresh.calls("a"), 1u);
        EXPECT_EQ(keys(pool), 1u);
        expect_ended(pool, fresh);
    }
}

// ---- Keys vanish ---------------------------------------------------------------------------------------------------

TEST_F(KeyedPoolTest, AKeyIsThereWhileItHasSomethingOpen) {
    HostPool<> pool{hosts};
    EXPECT_FALSE(pool.contains("a"));
    EXPECT_EQ(pool.stats("a").open, 0u);
    EXPECT_EQ(pool.stats("a").high, HostPool<>::Options{}.per_key.size.high);
    auto a = pool.acquire("a");
    EXPECT_TRUE(pool.contains("a"));
    a.discard();
    EXPECT_FALSE(pool.contains("a"));
    EXPECT_EQ(pool.stats().closed_discarded, 1u) << "what a key has counted outlives it";
    EXPECT_EQ(pool.stats().acquired, 1u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedPoolTest, AKeyVanishesWithItsLastIdleOne) {
    HostPool<> pool{hosts, {.per_key = {.idle = {.ttl = 20ms}}}};
    pool.acquire("a").release();
    EXPECT_TRUE(eventually([&] { return !pool.contains("a"); }));
    EXPECT_EQ(pool.stats().closed_idle, 1u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedPoolTest, AKeyVanishesWhenItsConnectFails) {
    HostPool<> pool{hosts};
    hosts.set("a", Host::refuses);
    EXPECT_EQ(pool.try_acquire_for("a", 20s).error(), boost::asio::error::connection_refused);
    EXPECT_FALSE(pool.contains("a"));
    ASSERT_TRUE(pool.last_connect_failure("a").has_value());
    EXPECT_EQ(pool.last_connect_failure("a")->error, boost::asio::error::connection_refused);
    EXPECT_FALSE(pool.last_connect_failure("b").has_value());
    EXPECT_EQ(pool.stats().connect_failed, 1u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedPoolTest, BacksOffWhileSomebodyWaitsForTheKey) {
    HostPool<Backoff> pool{hosts, {.per_key = {.connect = {.first = 5ms, .max = 10ms}}}};
    hosts.set("a", Host::refuses);
    auto const begin = std::chrono::steady_clock::now();
    auto waiter = std::async(std::launch::async, [&] { return pool.try_acquire_for("a", 20s); });
    EXPECT_TRUE(eventually([&] { return hosts.calls("a") >= 4; }));
    auto const calls = hosts.calls("a");
    auto const most = 1 + (std::chrono::steady_clock::now() - begin) / 4ms;  // the least delay, shortened by a fifth
    EXPECT_LE(calls, static_cast<std::size_t>(most)) << "it does not back off";
    hosts.set("a", Host::works);
    EXPECT_TRUE(waiter.get().has_value());
    hosts.set("a", Host::refuses);
    pool.evict("a");
    EXPECT_EQ(pool.try_acquire_for("a", 20ms).error(), Errc::timed_out);
    EXPECT_TRUE(eventually([&] { return !pool.contains("a"); }));
    expect_ended(pool, hosts);
}

TEST_F(KeyedPoolTest, AnEagerKeyFillsUpWhenItIsAskedForAndVanishesAllTheSame) {
    HostPool<> pool{hosts, {.per_key = {.size = {.low = 2, .high = 4, .eager = true}}}};
    EXPECT_EQ(keys(pool), 0u);
    auto a = pool.acquire("a");
    EXPECT_TRUE(eventually([&] { return pool.stats("a").open >= 2; }));
    a.release();
    expect_ended(pool, hosts);
}

TEST_F(KeyedPoolTest, WhoMeetsAKeyThatVanishesFindsItAgain) {
    HostPool<> pool{hosts};
    std::vector<std::thread> threads;
    for (int i = 0; i != 2; ++i)
        threads.emplace_back([&] {
            for (int n = 0; n != 3000; ++n) {
                auto lease = pool.try_acquire_for("a", 20s);
                EXPECT_TRUE(lease.has_value()) << lease.error().message();
                if (lease) lease->discard();
            }
        });
    for (auto& thread : threads) thread.join();
    EXPECT_FALSE(pool.contains("a"));
    EXPECT_EQ(pool.stats().acquired, 6000u);
    expect_ended(pool, hosts);
}

// ---- Looking -------------------------------------------------------------------------------------------------------

TEST_F(KeyedPoolTest, CallsForEachKeyOnceAndHoldsNoLock) {
    HostPool<> pool{hosts};
    for (int i = 0; i != 100; ++i) pool.acquire(std::to_string(i)).release();
    std::set<std::string> seen;
    pool.for_each([&](std::string const& key, Stats const& stats) {
        EXPECT_TRUE(seen.insert(key).second);
        EXPECT_EQ(stats.idle, 1u);
        pool.acquire(key).discard();
        pool.acquire(key + "!").release();
    });
    EXPECT_EQ(seen.size(), 100u);
    EXPECT_EQ(keys(pool), 100u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedPoolTest, CountsEachKeyAndAll) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 9}};
    auto a = pool.acquire("a");
    auto other = pool.acquire("a");
    other.release();
    pool.acquire("b").release();
    auto const of_a = pool.stats("a");
    EXPECT_EQ(of_a.open, 2u);
    EXPECT_EQ(of_a.leased, 1u);
    EXPECT_EQ(of_a.idle, 1u);
    auto const all = pool.stats();
    EXPECT_EQ(all.open, 3u);
    EXPECT_EQ(all.leased, 1u);
    EXPECT_EQ(all.idle, 2u);
    EXPECT_EQ(all.high, 9u);
    EXPECT_EQ(all.connected, 3u);
    EXPECT_EQ(all.acquired, 3u);
    a.release();
    expect_ended(pool, hosts);
}

// ---- Evicting ------------------------------------------------------------------------------------------------------

TEST_F(KeyedPoolTest, EvictingClosesIdleOnesNowAndLeasedOnesAtReturn) {
    HostPool<> pool{hosts};
    auto a = pool.acquire("a");
    pool.acquire("a").release();
    pool.acquire("b").release();
    pool.evict("a");
    pool.evict("nobody");
    EXPECT_EQ(hosts.closed(), 1u);
    EXPECT_TRUE(pool.contains("a"));
    EXPECT_EQ(pool.stats("b").idle, 1u);
    a.release();
    EXPECT_FALSE(pool.contains("a"));
    EXPECT_EQ(pool.stats().closed_stale, 2u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedPoolTest, EvictingServesWhoWaitsForTheKeyWithANewOne) {
    HostPool<> pool{hosts, {.per_key = {.size = {.high = 1}}}};
    auto old = pool.acquire("a");
    auto const id = old->id();
    auto waiter = std::async(std::launch::async, [&] { return pool.try_acquire_for("a", 20s); });
    EXPECT_TRUE(eventually([&] { return pool.stats("a").waiting == 1; }));
    pool.evict("a");
    old.release();
    auto fresh = waiter.get();
    ASSERT_TRUE(fresh.has_value());
    EXPECT_NE((*fresh)->id(), id);
    fresh->release();
    expect_ended(pool, hosts);
}

// net/http: CloseIdleConnections.
TEST_F(KeyedPoolTest, ClearingEvictsAllKeys) {
    HostPool<> pool{hosts};
    auto held = pool.acquire("held");
    for (int i = 0; i != 50; ++i) pool.acquire(std::to_string(i)).release();
    pool.clear();
    EXPECT_EQ(hosts.closed(), 50u);
    EXPECT_EQ(keys(pool), 1u);
    held.release();
    EXPECT_EQ(keys(pool), 0u);
    expect_ended(pool, hosts);
}

// ---- Settings, upkeep, patience ------------------------------------------------------------------------------------

struct Session {
    int key;
    int path = 0;
};
struct Sessions {
    Session connect(int key) { return {key}; }
    void apply(Session& session, int const& path) { session.path = path; }
    void reset(Session& session) { session.path = 0; }
};

TEST_F(KeyedPoolTest, LendsAllThatIsIdleOfAKey) {
    HostPool<> pool{hosts};
    {
        std::vector<Lease<HostConn>> held;
        for (auto const* key : {"a", "a", "a", "b"}) held.push_back(pool.acquire(key));
    }
    auto leases = pool.acquire_idle("a");
    ASSERT_EQ(leases.size(), 3u);
    for (auto const& lease : leases) EXPECT_EQ(lease->host(), "a");
    EXPECT_EQ(pool.stats("a").leased, 3u);
    EXPECT_TRUE(pool.acquire_idle("a").empty());
    EXPECT_TRUE(pool.acquire_idle("c").empty());
    EXPECT_FALSE(pool.contains("c"));
    leases.clear();
    EXPECT_EQ(pool.stats("a").idle, 3u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedPoolTest, TakesASettingAfterAllElse) {
    KeyedPool<int, Session, SettingBuckets<int>> pool{Sessions{}};
    EXPECT_EQ(pool.acquire(1, 5)->path, 5);
    EXPECT_EQ(pool.try_acquire(1, 5).value()->path, 5);
    EXPECT_EQ(pool.try_acquire_for(1, 10s, 6).value()->path, 6);
    EXPECT_EQ(pool.try_acquire_until(2, std::chrono::steady_clock::now() + 10s, 7).value()->path, 7);
    EXPECT_EQ(pool.acquire(3)->path, 0);
    EXPECT_TRUE(pool.close());
}

// ---- The end -------------------------------------------------------------------------------------------------------

TEST_F(KeyedPoolTest, ClosingEndsAllKeys) {
    HostPool<> pool{hosts, {.per_key = {.size = {.high = 1}}}};
    pool.acquire("idle").release();
    auto held = pool.acquire("held");
    auto waiter = std::async(std::launch::async, [&] { return pool.try_acquire_for("held", 20s); });
    EXPECT_TRUE(eventually([&] { return pool.stats("held").waiting == 1; }));
    EXPECT_FALSE(pool.close(0s));
    EXPECT_EQ(waiter.get().error(), Errc::closed);
    EXPECT_TRUE(pool.closed());
    EXPECT_TRUE(eventually([&] { return hosts.closed() == 1; })) << "what was idle is closed, even without time";
    EXPECT_EQ(pool.try_acquire("new").error(), Errc::closed);
    EXPECT_EQ(pool.try_acquire_for("held", 1s).error(), Errc::closed);
    EXPECT_THROW((void)pool.acquire("idle"), boost::system::system_error);
    EXPECT_THROW(pool.resize(3), boost::system::system_error);
    held.release();
    expect_ended(pool, hosts);
}

TEST_F(KeyedPoolTest, Rule38RefusesForAllKeysBeforeTheTokenStops) {
    HostPool<> pool{hosts, {.per_key = {.size = {.high = 1}}}};
    pool.acquire("idle").release();
    auto held = pool.acquire("held");
    bool told = false;
    std::stop_callback const on_stop{pool.lifetime().stop_token(), [&] {
                                         told = true;
                                         EXPECT_TRUE(pool.closed());
                                         EXPECT_EQ(pool.try_acquire("idle").error(), Errc::closed);
                                         EXPECT_EQ(pool.try_acquire_for("held", 100ms).error(), Errc::closed);
                                         EXPECT_EQ(pool.try_acquire("new").error(), Errc::closed);
                                     }};
    EXPECT_FALSE(pool.close(0s));
    EXPECT_TRUE(told);
    held.release();
    expect_ended(pool, hosts);
}

TEST_F(KeyedPoolTest, ClosingWithoutTimeSucceedsWhenNothingIsLent) {
    HostPool<> pool{hosts};
    for (int i = 0; i != 40; ++i) pool.acquire(std::to_string(i)).release();
    auto const begin = std::chrono::steady_clock::now();
    if (!pool.close(0s)) {
        EXPECT_GE(std::chrono::steady_clock::now() - begin, 250ms) << "what is idle was given no moment to close";
        EXPECT_TRUE(pool.close(20s));
    }
    hosts.expect_settled();
}

TEST_F(KeyedPoolTest, ItsLifetimeHoldsBackTheEndAndOutlivesAKey) {
    std::optional<Lifetime> seen;
    KeyedPool<int, int> pool{[&](int key, ConnectContext const& context) {
        seen = context.lifetime;
        return key;
    }};
    pool.acquire(1).discard();
    EXPECT_FALSE(pool.contains(1));
    ASSERT_TRUE(seen.has_value());
    EXPECT_FALSE(seen->stopped()) << "the key has ended, and not the pool";
    EXPECT_FALSE(pool.close(0s));
    EXPECT_TRUE(seen->stopped());
    seen.reset();
    EXPECT_TRUE(pool.close(20s));
}

TEST_F(KeyedPoolTest, LeasesOutliveThePool) {
    Lease<HostConn> lease;
    {
        HostPool<> pool{hosts, {.per_key = {}, .total = 2}};
        pool.acquire("b").release();
        lease = pool.acquire("a");
    }
    EXPECT_EQ(hosts.closed(), 1u);
    EXPECT_EQ(lease->host(), "a");
    lease.release();
    hosts.expect_settled();
}

// rule 41
TEST_F(KeyedPoolTest, Rule41ClosingFromAConnectorDoesNotWaitForItself) {
    KeyedPool<int, int>* self = nullptr;
    bool ended = true;
    KeyedPool<int, int> pool{[&](int key) {
        ended = self->close(20s);
        return key;
    }};
    self = &pool;
    EXPECT_EQ(pool.try_acquire_for(1, 20s).error(), Errc::closed);
    EXPECT_FALSE(ended);
    EXPECT_TRUE(pool.close(20s));
}

// rule 48
TEST_F(KeyedPoolTest, Rule48HooksOfOneKeyMayUseAnother) {
    struct Chained {
        KeyedPool<int, int>** pool;
        int connect(int key) { return key == 0 ? 0 : *(*pool)->acquire(key - 1) + 1; }
    };
    KeyedPool<int, int>* self = nullptr;
    KeyedPool<int, int> pool{Chained{&self}};
    self = &pool;
    EXPECT_EQ(*pool.acquire(20), 20);
    EXPECT_TRUE(pool.close(20s));
}

}  // namespace
}  // namespace weir::test
