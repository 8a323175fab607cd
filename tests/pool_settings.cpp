// Session state: who has it, who wants it, and what it costs to change it.

#include "support/cpus.hpp"
#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <future>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

/// Connections with a setting, and a ledger of who has which.
struct SettingConnector : FakeConnector {
    struct Log {
        std::mutex mutex;
        std::map<std::uint64_t, std::string> has;
        std::vector<std::string> calls;
        int failing_applies = 0;
        int failing_resets = 0;
    };
    std::shared_ptr<Log> log = std::make_shared<Log>();

    void apply(FakeConn& conn, std::string const& setting) const {
        auto const use = conn.use();
        std::lock_guard const lock{log->mutex};
        log->calls.push_back("apply " + setting);
        if (log->failing_applies > 0) {
            --log->failing_applies;
            throw boost::system::system_error{make_error_code(boost::system::errc::protocol_error)};
        }
        EXPECT_EQ(log->has[conn.id()], "") << "not reset before " << setting;
        log->has[conn.id()] = setting;
    }
    void reset(FakeConn& conn) const {
        auto const use = conn.use();
        std::lock_guard const lock{log->mutex};
        log->calls.push_back("reset");
        if (log->failing_resets > 0) {
            --log->failing_resets;
            throw std::runtime_error{"the session is gone"};
        }
        log->has[conn.id()] = "";
    }
    std::string has(Lease<FakeConn> const& lease) const {
        std::lock_guard const lock{log->mutex};
        return log->has[lease->id()];
    }
    std::vector<std::string> calls() const {
        std::lock_guard const lock{log->mutex};
        return std::exchange(log->calls, {});
    }
};

using Calls = std::vector<std::string>;

template <class Store>
struct PoolSettings : ::testing::Test {
    using SettingPool = FakePool<SettingBuckets<std::string>, Store>;
    SettingConnector connector;

    static typename SettingPool::Options at_most(std::size_t high) { return {.size = {.high = high}}; }

    // Idle ones with these settings, the last named the latest returned.
    void fill(SettingPool& pool, std::vector<std::string> const& settings) {
        std::vector<Lease<FakeConn>> leases;
        for (auto const& setting : settings) leases.push_back(setting.empty() ? pool.acquire() : pool.acquire(setting));
        for (auto& lease : leases) lease.release();
        connector.calls();
    }
};
TYPED_TEST_SUITE(PoolSettings, Stores);

// rule 2
TYPED_TEST(PoolSettings, Rule2FiveAcquiresOverFiveIdleCostTwoResetsAndOpenNothing) {
    typename TestFixture::SettingPool pool{this->connector, this->at_most(5)};
    this->fill(pool, {"", "foo", "bar", "bar", "foo"});
    ASSERT_EQ(pool.stats().idle, 5u);
    std::vector<Lease<FakeConn>> leases;
    for (int i = 0; i != 5; ++i) {
        leases.push_back(pool.acquire("foo"));
        EXPECT_EQ(this->connector.has(leases.back()), "foo");
    }
    EXPECT_EQ(this->connector.calls(), (Calls{"apply foo", "reset", "apply foo", "reset", "apply foo"}));
    EXPECT_EQ(this->connector.opened(), 5u);
    EXPECT_EQ(pool.stats().settings_reset, 2u);
    EXPECT_EQ(pool.stats().settings_applied, 4u + 3u);
    leases.clear();
    expect_drained(pool, this->connector);
}

// rule 1
TYPED_TEST(PoolSettings, Rule1WithoutASettingAnUntaggedThenANewThenAnotherAfterAReset) {
    typename TestFixture::SettingPool pool{this->connector, this->at_most(3)};
    this->fill(pool, {"", "foo"});
    auto const untagged = pool.acquire();
    EXPECT_EQ(untagged->id(), 1u);
    auto const fresh = pool.acquire();
    EXPECT_EQ(fresh->id(), 3u);
    EXPECT_EQ(this->connector.calls(), Calls{});
    auto const reset = pool.acquire();
    EXPECT_EQ(reset->id(), 2u);
    EXPECT_EQ(this->connector.has(reset), "");
    EXPECT_EQ(this->connector.calls(), Calls{"reset"});
}

// rule 1
TYPED_TEST(PoolSettings, Rule1OfThoseThatHaveASettingTheLatestReturnedIsReset) {
    using Buckets = SettingBuckets<std::string>;
    ASSERT_NE(Buckets::bucket_of("foo"), Buckets::bucket_of("bar"));
    for (bool const foo_first : {true, false}) {
        FakePool<Buckets, TypeParam, testing::ManualClock, KeepIdle> pool{this->connector, {.size = {.high = 2}}};
        auto foo = pool.acquire("foo");
        auto bar = pool.acquire("bar");
        (foo_first ? foo : bar).release();
        testing::ManualClock::advance(1s);
        (foo_first ? bar : foo).release();
        EXPECT_EQ(pool.acquire().id(), foo_first ? 2u : 1u);
        EXPECT_EQ(pool.stats().settings_reset, 1u);
        EXPECT_TRUE(pool.close());
    }
    expect_settled(this->connector);
}

// rule 2
TYPED_TEST(PoolSettings, Rule2WithASettingItsOwnThenAnUntaggedThenANewThenAnother) {
    typename TestFixture::SettingPool pool{this->connector, this->at_most(4)};
    this->fill(pool, {"", "foo", "bar"});
    EXPECT_EQ(pool.acquire("foo")->id(), 2u);
    auto const own = pool.acquire("foo");
    auto const untagged = pool.acquire("foo");
    EXPECT_EQ(untagged->id(), 1u);
    auto const fresh = pool.acquire("foo");
    EXPECT_EQ(fresh->id(), 4u);
    auto const other = pool.acquire("foo");
    EXPECT_EQ(other->id(), 3u);
    EXPECT_EQ(this->connector.calls(), (Calls{"apply foo", "apply foo", "reset", "apply foo"}));
    EXPECT_EQ(pool.try_acquire("foo").error(), Errc::exhausted);
}

// rule 2, rule 4: also below others of its bucket, few or many, which keep their order.
TYPED_TEST(PoolSettings, Rule2WhatLiesBelowOthersIsFoundAndTheyKeepTheirOrder) {
    constexpr bool is_queue = std::is_same_v<TypeParam, LockedQueue>;
    OnCpu const stay{0};
    using Ids = std::vector<std::uint64_t>;
    for (auto const& [wanted, id] : {std::pair{"f", 6u}, std::pair{"d", 4u}, std::pair{"a", 1u}}) {
        FakePool<SettingBuckets<std::string, 1>, TypeParam> pool{this->connector, {.size = {.high = 7}}};
        std::vector<Lease<FakeConn>> leases;
        Ids expected;
        for (auto const* setting : {"a", "b", "c", "d", "e", "f", "g"}) leases.push_back(pool.acquire(setting));
        for (auto& lease : leases) {
            if (lease.id() != id) expected.push_back(lease.id());
            lease.release();
        }
        this->connector.calls();
        EXPECT_EQ(pool.acquire(wanted).id(), id);
        EXPECT_EQ(this->connector.calls(), Calls{});
        expected.push_back(id);
        if (!is_queue) std::reverse(expected.begin(), expected.end());
        Ids order;
        for (auto const& lease : pool.acquire_idle()) order.push_back(lease.id());
        EXPECT_EQ(order, expected) << wanted;
        EXPECT_EQ(pool.stats().settings_applied, 7u);
        EXPECT_TRUE(pool.close());
    }
    expect_settled(this->connector);
}

// rule 2: with one bucket they all collide.
TYPED_TEST(PoolSettings, Rule2ACollisionNeverHandsOutAWrongSetting) {
    FakePool<SettingBuckets<std::string, 1>, TypeParam> pool{this->connector, {.size = {.high = 3}}};
    {
        auto const a = pool.acquire("a");
        auto const b = pool.acquire("b");
        auto const c = pool.acquire("c");
    }
    this->connector.calls();
    for (int i = 0; i != 20; ++i) {
        auto const wanted = std::string(1, static_cast<char>('a' + i % 3));
        auto const lease = pool.acquire(wanted);
        EXPECT_EQ(this->connector.has(lease), wanted);
    }
    EXPECT_EQ(this->connector.calls(), Calls{}) << "what was there under the same hash was not found";
    EXPECT_EQ(pool.stats().idle, 3u);
    expect_drained(pool, this->connector);
}

// rule 3
TYPED_TEST(PoolSettings, Rule3AnApplyThatFailsClosesItAndItsErrorIsTheAnswer) {
    typename TestFixture::SettingPool pool{this->connector, this->at_most(1)};
    this->fill(pool, {""});
    this->connector.log->failing_applies = 1;
    EXPECT_EQ(pool.try_acquire_for(generous, "foo").error(), boost::system::errc::protocol_error);
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    EXPECT_EQ(pool.stats().open, 0u);
    EXPECT_EQ(this->connector.has(pool.acquire("foo")), "foo");
    expect_drained(pool, this->connector);
}

// rule 3
TYPED_TEST(PoolSettings, Rule3AResetThatFailsClosesItAndAFreshOneIsOpened) {
    typename TestFixture::SettingPool pool{this->connector, this->at_most(1)};
    this->fill(pool, {"foo"});
    this->connector.log->failing_resets = 1;
    auto const lease = pool.acquire("bar");
    EXPECT_EQ(lease->id(), 2u);
    EXPECT_EQ(this->connector.has(lease), "bar");
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    EXPECT_EQ(pool.stats().settings_reset, 0u);
}

// rule 10
TYPED_TEST(PoolSettings, Rule10TheFirstWaiterWhoWantsWhatCameBackButNobodyIsPassedOverMoreThanEightTimes) {
    typename TestFixture::SettingPool pool{this->connector, this->at_most(1)};
    asio::io_context io;
    auto lease = pool.acquire("foo");
    Log<std::string> order;
    auto const wait = [&](std::string const& setting) {
        pool.async_acquire_for(generous, setting,
                               asio::bind_executor(io, [&, setting](error_code ec, Lease<FakeConn> got) {
                                   EXPECT_FALSE(ec);
                                   EXPECT_EQ(this->connector.has(got), setting);
                                   order.add(setting);
                               }));
    };
    wait("bar");
    for (int i = 0; i != 12; ++i) wait("foo");
    lease.release();
    io.run();
    Calls expected(8, "foo");
    expected.push_back("bar");
    expected.insert(expected.end(), 4, "foo");
    EXPECT_EQ(order.values(), expected);
    EXPECT_EQ(pool.stats().settings_reset, 2u);
    expect_drained(pool, this->connector);
}

// rule 10: who wants none of those that came back is served in turn.
TYPED_TEST(PoolSettings, Rule10WithoutAMatchTheFirstIsServed) {
    typename TestFixture::SettingPool pool{this->connector, this->at_most(1)};
    auto lease = pool.acquire("foo");
    auto first = std::async(std::launch::async, [&] { return pool.try_acquire_for(generous, "bar"); });
    EXPECT_TRUE(waiting(pool, 1));
    auto second = std::async(std::launch::async, [&] { return pool.try_acquire_for(generous); });
    EXPECT_TRUE(waiting(pool, 2));
    lease.release();
    auto served = first.get();
    ASSERT_TRUE(served);
    EXPECT_EQ(this->connector.has(*served), "bar");
    served->release();
    auto plain = second.get();
    ASSERT_TRUE(plain);
    EXPECT_EQ(this->connector.has(*plain), "");
    plain->release();
    EXPECT_EQ(this->connector.calls(), (Calls{"apply foo", "reset", "apply bar", "reset"}));
    expect_drained(pool, this->connector);
}

// rule 7
TYPED_TEST(PoolSettings, Rule7ATryTakesOneThatNeedsNoHookBeforeOneThatDoes) {
    typename TestFixture::SettingPool pool{this->connector, this->at_most(8)};
    this->fill(pool, {"", "foo", "bar"});
    auto const own = pool.try_acquire("foo");
    ASSERT_TRUE(own);
    EXPECT_EQ((*own)->id(), 2u);
    EXPECT_EQ(this->connector.calls(), Calls{});
    auto const untagged = pool.try_acquire("foo");
    ASSERT_TRUE(untagged);
    EXPECT_EQ((*untagged)->id(), 1u);
    auto const other = pool.try_acquire("foo");
    ASSERT_TRUE(other) << "an idle one is lent, whatever it takes";
    EXPECT_EQ(this->connector.has(*other), "foo");
    EXPECT_EQ(pool.try_acquire("baz").error(), Errc::exhausted);
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    auto const later = pool.try_acquire("baz");
    ASSERT_TRUE(later) << "opened in the background for a later try";
    EXPECT_EQ(this->connector.has(*later), "baz");
}

// rule 28, rule 30: a sweep takes from each bucket.
TYPED_TEST(PoolSettings, Rule28IdleOnesOfEveryBucketExpire) {
    FakePool<SettingBuckets<std::string>, TypeParam> pool{this->connector,
                                                          {.size = {.high = 8}, .idle = {.ttl = 20ms}}};
    this->fill(pool, {"", "foo", "bar", "baz"});
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_idle == 4; }));
    expect_drained(pool, this->connector);
}

// rule 36, rule 35
TYPED_TEST(PoolSettings, Rule36AResizeClosesTheColdestOfAllBuckets) {
    typename TestFixture::SettingPool pool{this->connector, this->at_most(4)};
    std::vector<Lease<FakeConn>> leases;
    for (auto const* setting : {"a", "b", "c", "d"}) leases.push_back(pool.acquire(setting));
    for (auto& lease : leases) {
        lease.release();
        std::this_thread::sleep_for(3ms);
    }
    EXPECT_TRUE(pool.resize(2));
    EXPECT_EQ(pool.stats().idle, 2u);
    EXPECT_EQ(pool.stats().closed_excess, 2u);
    pool.refresh();
    EXPECT_EQ(pool.stats().idle, 0u);
    expect_drained(pool, this->connector);
}

// rule 23: eager, and what closed it does not matter.
TYPED_TEST(PoolSettings, Rule23AReplacementKeepsItsSetting) {
    FakePool<SettingBuckets<std::string>, TypeParam> pool{this->connector,
                                                          {.size = {.low = 1, .high = 1, .eager = true}}};
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    auto lease = pool.acquire("foo");
    this->connector.calls();
    lease.discard();
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    EXPECT_EQ(this->connector.calls(), Calls{"apply foo"});
    EXPECT_EQ(this->connector.has(pool.acquire("foo")), "foo");
    EXPECT_EQ(this->connector.calls(), Calls{});
    pool.refresh();
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    EXPECT_EQ(this->connector.calls(), Calls{"apply foo"});
    expect_drained(pool, this->connector);
}

// ---- handlers

// rule 2, rule 16: he stands outside the line, so whoever wants what is idle has it meanwhile.
TYPED_TEST(PoolSettings, Rule2AHandlerForWhomOneIsOpenedLeavesTheIdleOnesToOthers) {
    asio::io_context io;
    typename TestFixture::SettingPool pool{io.get_executor(), this->connector, this->at_most(2)};
    this->fill(pool, {"foo"});
    this->connector.gate(Hook::connect, Gate::never);
    std::string got;
    pool.async_acquire(
        "bar", [&](error_code ec, Lease<FakeConn> lease) { got = ec ? ec.message() : this->connector.has(lease); });
    EXPECT_TRUE(this->connector.await_blocked(Hook::connect, 1));
    EXPECT_EQ(pool.stats().waiting, 0u);
    pool.acquire("foo").release();
    pool.acquire("foo").release();
    EXPECT_EQ(this->connector.calls(), Calls{});
    this->connector.gate(Hook::connect, Gate::ok);
    io.run();
    EXPECT_EQ(got, "bar");
    EXPECT_EQ(this->connector.calls(), Calls{"apply bar"});
    EXPECT_EQ(pool.stats().idle, 2u);
    expect_drained(pool, this->connector);
}

// rule 2, rule 3
TYPED_TEST(PoolSettings, Rule3AHandlerGetsTheErrorOfItsApplyOrAFreshOneForItsReset) {
    asio::io_context io;
    typename TestFixture::SettingPool pool{io.get_executor(), this->connector, this->at_most(1)};
    this->fill(pool, {"foo"});
    this->connector.log->failing_resets = 1;
    Log<std::string> got;
    auto const acquire = [&](std::string const& setting) {
        pool.async_acquire(setting, [&](error_code ec, Lease<FakeConn> lease) {
            got.add(ec ? ec.message() : std::to_string(lease->id()) + this->connector.has(lease));
        });
        io.restart();
        io.run();
    };
    acquire("bar");
    this->connector.log->failing_applies = 1;
    acquire("baz");
    acquire("baz");
    error_code const refused = make_error_code(boost::system::errc::protocol_error);
    EXPECT_EQ(got.values(), (Calls{"2bar", refused.message(), "3baz"}));
    expect_drained(pool, this->connector);
}

/// Hooks as coroutines.
struct AwaitableSettings : FakeConnector {
    std::shared_ptr<std::atomic<int>> applies = std::make_shared<std::atomic<int>>(0);
    std::shared_ptr<std::atomic<int>> resets = std::make_shared<std::atomic<int>>(0);

    asio::awaitable<void> apply(FakeConn& conn, int setting) {
        auto const use = conn.use();
        EXPECT_GT(setting, 0);
        ++*applies;
        co_return;
    }
    asio::awaitable<void> reset(FakeConn& conn) {
        auto const use = conn.use();
        ++*resets;
        co_return;
    }
};

TEST(PoolSettingsAwaitable, TheAcquireCompletesWhenItsHooksHave) {
    AwaitableSettings connector;
    asio::thread_pool threads{1};
    FakePool<SettingBuckets<int>> pool{threads.get_executor(), connector, {.size = {.high = 1}}};
    pool.acquire(7).release();
    pool.acquire(7).release();
    EXPECT_EQ(*connector.applies, 1);
    pool.acquire(8).release();
    EXPECT_EQ(*connector.applies, 2);
    EXPECT_EQ(*connector.resets, 1);
    pool.acquire().release();
    EXPECT_EQ(*connector.resets, 2);
    EXPECT_EQ(pool.stats().settings_applied, 2u);
    EXPECT_EQ(connector.opened(), 1u);
    expect_drained(pool, connector);
}

/// A setting of several parts, and a connector without a reset.
struct Session {
    std::string role;
    int isolation = 0;
    friend bool operator==(Session const&, Session const&) = default;
};

struct SessionConnector : FakeConnector {
    std::shared_ptr<std::atomic<int>> applies = std::make_shared<std::atomic<int>>(0);
    void apply(FakeConn& conn, Session const&) const {
        auto const use = conn.use();
        ++*applies;
    }
};

}  // namespace
}  // namespace weir::test

template <>
struct std::hash<weir::test::Session> {
    std::size_t operator()(weir::test::Session const& s) const noexcept { return std::hash<std::string>{}(s.role); }
};

namespace weir::test {
namespace {

TEST(PoolSettingsStruct, WithoutAResetAnotherSettingCostsANewConnection) {
    SessionConnector connector;
    FakePool<SettingBuckets<Session, 4>> pool{connector, {.size = {.high = 1}}};
    pool.acquire({"admin", 1}).release();
    pool.acquire({"admin", 1}).release();
    EXPECT_EQ(*connector.applies, 1);
    EXPECT_EQ(pool.acquire({"admin", 2})->id(), 2u) << "equal by hash alone";
    EXPECT_EQ(*connector.applies, 2);
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    expect_drained(pool, connector);
}

// Many threads, many settings: nobody ever holds what he did not ask for. For ThreadSanitizer.
TEST(PoolSettingsStress, NobodyGetsAWrongSetting) {
    SettingConnector connector;
    FakePool<SettingBuckets<std::string, 3>> pool{connector, {.size = {.high = 3}}};
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t != 6; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i != 400; ++i) {
                auto const wanted =
                    (t + i) % 6 == 0 ? std::string{} : std::string(1, static_cast<char>('a' + (t + i) % 6));
                auto const lease = wanted.empty() ? pool.acquire() : pool.acquire(wanted);
                auto const use = lease->use();
                wrong += connector.has(lease) != wanted;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_LE(connector.max_open(), 3u);
    expect_drained(pool, connector);
}

/// A setting that has something happen when it is compared, once.
struct Telling {
    int number = 0;
    static inline std::function<void()> when_compared{};

    friend bool operator==(Telling const& a, Telling const& b) {
        if (auto const tell = std::exchange(when_compared, nullptr)) tell();
        return a.number == b.number;
    }
};

}  // namespace
}  // namespace weir::test

template <>
struct std::hash<weir::test::Telling> {
    std::size_t operator()(weir::test::Telling const& setting) const noexcept {
        return static_cast<std::size_t>(setting.number);
    }
};

namespace weir::test {
namespace {

/// Tells which thread closed the first.
struct ClosingConnector {
    std::shared_ptr<std::promise<std::thread::id>> closed = std::make_shared<std::promise<std::thread::id>>();

    std::unique_ptr<int> connect() const { return std::make_unique<int>(); }
    void apply(std::unique_ptr<int>& /*conn*/, Telling const& /*setting*/) const {}
    void reset(std::unique_ptr<int>& /*conn*/) const {}
    void close(std::unique_ptr<int>& /*conn*/) {
        if (auto const first = std::exchange(closed, nullptr)) first->set_value(std::this_thread::get_id());
    }
};

// rule 35: what was passed over and is out of date by then is not closed by a thread that must not be held up.
TEST(PoolSettingsPassedOver, Rule35WhatAnAsyncAcquirePassedOverIsClosedOnAWorker) {
    asio::io_context io;
    ClosingConnector const connector;
    auto closer = connector.closed->get_future();
    Pool<std::unique_ptr<int>, SettingBuckets<Telling, 1>> pool{io.get_executor(), connector, {.size = {.high = 2}}};
    pool.acquire(Telling{1}).release();
    Telling::when_compared = [&] { std::thread{[&] { pool.refresh(); }}.join(); };
    bool served = false;
    pool.async_acquire(Telling{2}, [&](error_code failed, auto) { served = !failed; });
    ASSERT_EQ(closer.wait_for(generous), std::future_status::ready);
    EXPECT_NE(closer.get(), std::this_thread::get_id());
    io.run();
    EXPECT_TRUE(served);
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_stale == 1; }));
}

}  // namespace
}  // namespace weir::test
