// What is to be done to a resource before it is lent, and what may come between.

#include "support/fake_pool.hpp"
#include "support/no_rounds.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <future>
#include <gtest/gtest.h>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using testing::ManualClock;

/// A connector whose hooks fail as often as they are told, and one of which can be held up.
struct ChoreConnector : FakeConnector {
    struct Log {
        std::atomic<int> failing_checks{0};
        std::atomic<int> failing_resets{0};
        std::atomic<int> failing_applies{0};
        std::atomic<int> applies{0};
        std::atomic<bool> holds_apply{false};
        std::function<void()> in_check;  // set while no hook runs
        std::function<void()> in_reset;
    };
    std::shared_ptr<Log> log = std::make_shared<Log>();

    bool check(FakeConn& conn) const {
        auto const use = conn.use();
        if (log->in_check) log->in_check();
        return !fails(log->failing_checks);
    }
    void apply(FakeConn& conn, std::string const&) const {
        auto const use = conn.use();
        ++log->applies;
        EXPECT_TRUE(eventually([&] { return !log->holds_apply; }));
        if (fails(log->failing_applies))
            throw boost::system::system_error{make_error_code(boost::system::errc::protocol_error)};
    }
    void reset(FakeConn& conn) const {
        auto const use = conn.use();
        if (log->in_reset) log->in_reset();
        if (fails(log->failing_resets)) throw std::runtime_error{"the session is gone"};
    }

private:
    static bool fails(std::atomic<int>& left) { return left > 0 && left-- > 0; }
};

/// What a handler was told.
struct Got {
    int calls = 0;
    error_code ec;
    Lease<FakeConn> lease;

    auto handler(asio::io_context& io) {
        return asio::bind_executor(io, [this](error_code error, Lease<FakeConn> given) {
            ++calls;
            ec = error;
            lease = std::move(given);
        });
    }
};

template <class... More>
using CheckingPool = FakePool<Upkeep, ManualClock, More...>;

struct PoolChores : ::testing::Test {
    using Settings = SettingBuckets<std::string>;
    using SettingPool = FakePool<Settings>;

    ChoreConnector connector;
    asio::io_context io;
    Got got;
};

// ---- one acquirer, two resources

// rule 16, rule 13: while one is prepared for him his own is opened; the one that nobody needs becomes idle.
TEST_F(PoolChores, Rule16WhoIsBeingPreparedForIsNotGivenHisOwnAsWell) {
    SettingPool pool{connector, {.size = {.high = 2}}};
    auto lease = pool.acquire();
    connector.log->holds_apply = true;
    connector.gate(Hook::connect, Gate::never);
    pool.async_acquire_for(generous, "foo", got.handler(io));
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    lease.release();
    EXPECT_TRUE(eventually([&] { return connector.log->applies == 1; }));
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(eventually([&] { return pool.stats().connecting == 0; }));
    connector.log->holds_apply = false;
    io.run_for(generous);
    EXPECT_FALSE(got.ec) << got.ec.message();
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; })) << "the one that he did not need";
    io.restart();
    io.run_for(generous);
    EXPECT_EQ(got.calls, 1);
    got.lease.release();
    expect_drained(pool, connector);
}

// rule 18: an attempt whose owner has what he wants answers nobody when it fails.
TEST_F(PoolChores, Rule18WhoIsBeingPreparedForIsNotToldThatHisOwnConnectFailed) {
    SettingPool pool{connector, {.size = {.high = 2}}};
    auto lease = pool.acquire();
    connector.log->holds_apply = true;
    connector.gate(Hook::connect, Gate::never);
    pool.async_acquire_for(generous, "foo", got.handler(io));
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    lease.release();
    EXPECT_TRUE(eventually([&] { return connector.log->applies == 1; }));
    connector.gate(Hook::connect, Gate::error);
    EXPECT_TRUE(eventually([&] { return pool.stats().connect_failed == 1; }));
    io.run_for(20ms);
    EXPECT_EQ(got.calls, 0) << got.ec.message();
    connector.log->holds_apply = false;
    io.run_for(generous);
    EXPECT_EQ(got.calls, 1);
    EXPECT_FALSE(got.ec);
    got.lease.release();
    expect_drained(pool, connector);
}

// ---- hooks that fail

// rule 4, rule 7
TEST_F(PoolChores, Rule7ATryWhoseFirstFailsItsCheckTakesTheNext) {
    CheckingPool<> pool{connector, {.size = {.high = 2}, .upkeep = {.check_after_idle = 1s}}};
    NoRounds const alone{pool};  // after such a jump of the clock they check, too
    EXPECT_EQ(pool.warm_up(2), 2u);
    ManualClock::advance(1s);
    connector.log->failing_checks = 1;
    EXPECT_TRUE(pool.try_acquire());
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    expect_drained(pool, connector);
}

// rule 3
TEST_F(PoolChores, Rule3ATryWhoseApplyFailsIsToldWhy) {
    SettingPool pool{connector, {.size = {.high = 1}}};
    pool.acquire().release();
    connector.log->failing_applies = 1;
    EXPECT_EQ(pool.try_acquire("foo").error(), boost::system::errc::protocol_error);
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    expect_drained(pool, connector);
}

/// One that cannot be reset and is long in closing.
struct LingeringConnector : FakeConnector {
    std::shared_ptr<std::atomic<bool>> is_closing = std::make_shared<std::atomic<bool>>(false);

    void apply(FakeConn&, std::string const&) const {}
    void reset(FakeConn&) const { throw std::runtime_error{"the session is gone"}; }
    asio::awaitable<void> close(FakeConn& conn) {
        *is_closing = true;
        asio::steady_timer timer{co_await asio::this_coro::executor, 50ms};
        co_await timer.async_wait(asio::use_awaitable);
        FakeConnector::close(conn);
    }
};

// rule 3, rule 8: the slot is his, so he is no waiter while it is emptied.
TEST_F(PoolChores, Rule3WhoseResetFailedKeepsHisSlotThoughNobodyMayWait) {
    LingeringConnector lingering;
    SettingPool pool{lingering, {.size = {.high = 1, .max_waiters = 0}}};
    pool.acquire("bar").release();
    auto lease = pool.try_acquire_for(generous, "foo");
    ASSERT_TRUE(lease) << lease.error().message();
    EXPECT_EQ((*lease)->id(), 2u);
    EXPECT_EQ(pool.stats().rejected, 0u);
    lease->release();
    expect_drained(pool, lingering);
}

// rule 8
TEST_F(PoolChores, Rule8AHandlerWhoseResetFailedIsNotCountedAsAWaiter) {
    LingeringConnector lingering;
    SettingPool pool{lingering, {.size = {.high = 1, .max_waiters = 0}}};
    pool.acquire("bar").release();
    pool.async_acquire_for(generous, "foo", got.handler(io));
    EXPECT_TRUE(eventually([&] { return lingering.is_closing->load(); }));
    EXPECT_EQ(pool.stats().waiting, 0u);
    io.run_for(generous);
    EXPECT_EQ(got.calls, 1);
    EXPECT_FALSE(got.ec) << got.ec.message();
    EXPECT_EQ(pool.stats().waited, 0u);
    got.lease.release();
    expect_drained(pool, lingering);
}

/// Its hooks go well, but it is long in closing.
struct ReluctantConnector : ChoreConnector {
    std::shared_ptr<std::atomic<bool>> is_closing = std::make_shared<std::atomic<bool>>(false);

    asio::awaitable<void> close(FakeConn& conn) {
        *is_closing = true;
        asio::steady_timer timer{co_await asio::this_coro::executor, 50ms};
        co_await timer.async_wait(asio::use_awaitable);
        FakeConnector::close(conn);
    }
};

// rule 35, rule 8: the slot of what a refresh closes is his.
TEST_F(PoolChores, Rule35WhoIsBeingPreparedForDuringARefreshIsNotRejectedForIt) {
    ReluctantConnector reluctant;
    SettingPool pool{reluctant, {.size = {.high = 1, .max_waiters = 0}}};
    pool.acquire().release();
    reluctant.log->holds_apply = true;
    pool.async_acquire_for(generous, "foo", got.handler(io));
    EXPECT_TRUE(eventually([&] { return reluctant.log->applies == 1; }));
    pool.refresh();
    reluctant.log->holds_apply = false;
    EXPECT_TRUE(eventually([&] { return reluctant.is_closing->load(); }));
    EXPECT_EQ(pool.stats().waiting, 0u);
    io.run_for(generous);
    EXPECT_EQ(got.calls, 1);
    EXPECT_FALSE(got.ec) << got.ec.message();
    EXPECT_EQ(got.lease.id(), 2u);
    EXPECT_EQ(pool.stats().waited + pool.stats().rejected, 0u);
    got.lease.release();
    expect_drained(pool, reluctant);
}

// rule 35, rule 8
TEST_F(PoolChores, Rule35WhoPreparesDuringARefreshIsNotRejectedForIt) {
    ReluctantConnector reluctant;
    SettingPool pool{reluctant, {.size = {.high = 1, .max_waiters = 0}}};
    pool.acquire("bar").release();
    reluctant.log->in_reset = [&] { pool.refresh(); };
    auto lease = pool.try_acquire_for(generous, "foo");
    ASSERT_TRUE(lease) << lease.error().message();
    EXPECT_EQ((*lease)->id(), 2u);
    EXPECT_EQ(pool.stats().waited + pool.stats().rejected, 0u);
    lease->release();
    expect_drained(pool, reluctant);
}

// rule 36, rule 37
TEST_F(PoolChores, Rule37WhatIsBeingPreparedIsNotLentByAPausedPool) {
    SettingPool pool{connector, {.size = {.high = 1}}};
    pool.acquire().release();
    connector.log->holds_apply = true;
    pool.async_acquire_for(generous, "foo", got.handler(io));
    EXPECT_TRUE(eventually([&] { return connector.log->applies == 1; }));
    EXPECT_FALSE(pool.resize(0));
    connector.log->holds_apply = false;
    EXPECT_TRUE(pool.resize(0, generous));
    EXPECT_EQ(pool.stats().closed_excess, 1u);
    EXPECT_TRUE(waiting(pool, 1));
    EXPECT_TRUE(pool.resize(1));
    io.run_for(generous);
    EXPECT_EQ(got.calls, 1);
    EXPECT_EQ(got.lease.id(), 2u);
    got.lease.release();
    expect_drained(pool, connector);
}

// rule 40
TEST_F(PoolChores, Rule40AfterACloseInItsResetNothingIsApplied) {
    SettingPool pool{connector, {.size = {.high = 1}}};
    pool.acquire("bar").release();
    connector.log->in_reset = [&] { EXPECT_FALSE(pool.close(0s)); };
    EXPECT_EQ(pool.try_acquire_for(generous, "foo").error(), Errc::closed);
    EXPECT_EQ(connector.log->applies, 1) << "that of the first one only";
    expect_drained(pool, connector);
}

// ---- time is up

// rule 5
TEST_F(PoolChores, Rule5AfterItsDeadlineAnIdleOneIsLentWhateverIsToBeDoneToIt) {
    CheckingPool<Settings> pool{connector, {.size = {.high = 1}, .upkeep = {.check_after_idle = 1s}}};
    NoRounds const alone{pool};  // after such a jump of the clock they check, too
    pool.acquire("bar").release();
    ManualClock::advance(1s);
    EXPECT_TRUE(pool.try_acquire_for(0s, "bar"));
    EXPECT_TRUE(pool.try_acquire_for(0s, "foo"));
    EXPECT_EQ(connector.opened(), 1u);
    expect_drained(pool, connector);
}

// rule 13: his time is over before the check that was to serve him, which finds that it serves nobody.
TEST_F(PoolChores, Rule13WhoseTimeIsUpIsAnsweredThoughWhatWasCheckedForHimIsStale) {
    CheckingPool<Settings> pool{connector, {.size = {.high = 1}, .upkeep = {.check_after_idle = 1s}}};
    connector.log->in_check = [&] { pool.refresh(); };
    for (int round = 1; round <= 50; ++round) {
        pool.acquire().release();
        ManualClock::advance(1s);
        pool.async_acquire_for(0s, got.handler(io));
        io.restart();
        io.run_for(generous);
        ASSERT_EQ(got.calls, round);
        got.lease.release();
    }
    expect_drained(pool, connector);
}

// ---- searches

// rule 4
TEST_F(PoolChores, Rule4AQueueKeepsItsOrderWhenASearchFindsNothing) {
    FakePool<SettingBuckets<std::string, 1>, LockedQueue, KeepIdle> pool{connector, {.size = {.high = 8}}};
    std::vector<Lease<FakeConn>> leases;
    for (int i = 0; i != 4; ++i) leases.push_back(pool.acquire("foo"));
    for (auto& lease : leases) lease.release();
    EXPECT_EQ(pool.acquire("bar")->id(), 5u);
    std::vector<std::uint64_t> order;
    for (auto& lease : leases) order.push_back((lease = pool.acquire("foo"))->id());
    EXPECT_EQ(order, (std::vector<std::uint64_t>{1, 2, 3, 4}));
    leases.clear();
    expect_drained(pool, connector);
}

/// A setting that lets something happen while it is copied or compared.
struct EventfulSetting {
    struct Events {
        std::atomic<bool> no_copies{false};
        std::function<void()> at_comparison;  // the next one
    };

    EventfulSetting(std::string n, std::shared_ptr<Events> e) : name{std::move(n)}, events{std::move(e)} {}
    EventfulSetting(EventfulSetting const& other) { *this = other; }
    EventfulSetting& operator=(EventfulSetting const& other) {
        if (other.events->no_copies) throw std::bad_alloc{};
        name = other.name;
        events = other.events;
        return *this;
    }
    friend bool operator==(EventfulSetting const& a, EventfulSetting const& b) {
        if (auto const event = std::exchange(a.events->at_comparison, nullptr)) std::thread{event}.join();
        return a.name == b.name;
    }

    std::string name;
    std::shared_ptr<Events> events;
};

/// Its second connect fails when it is told to.
struct EventfulConnector : FakeConnector {
    std::shared_ptr<std::atomic<int>> connects = std::make_shared<std::atomic<int>>(0);
    std::shared_ptr<std::atomic<bool>> fails = std::make_shared<std::atomic<bool>>(false);

    boost::system::result<FakeConn> connect() {
        if (++*connects != 2) return FakeConnector::connect();
        EXPECT_TRUE(eventually([&] { return fails->load(); }));
        return make_error_code(boost::system::errc::connection_refused);
    }
    void apply(FakeConn&, EventfulSetting const&) const {}
    void reset(FakeConn&) const {}
};

}  // namespace
}  // namespace weir::test

template <>
struct std::hash<weir::test::EventfulSetting> {
    std::size_t operator()(weir::test::EventfulSetting const& s) const noexcept {
        return std::hash<std::string>{}(s.name);
    }
};

namespace weir::test {
namespace {

struct PoolChoresSearch : ::testing::Test {
    using Pool = FakePool<SettingBuckets<EventfulSetting, 1>, KeepIdle>;

    EventfulConnector connector;
    std::shared_ptr<EventfulSetting::Events> events = std::make_shared<EventfulSetting::Events>();
    EventfulSetting const foo{"foo", events};
    EventfulSetting const bar{"bar", events};
};

// rule 11: a line forms while an idle one is in the hands of somebody whom it does not suit.
TEST_F(PoolChoresSearch, Rule11WhatDidNotSuitGoesToWhoCameMeanwhile) {
    Pool pool{connector, {.size = {.high = 4}}};
    asio::io_context io;
    Got got;
    pool.acquire(bar).release();
    events->at_comparison = [&] {
        EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
        EXPECT_TRUE(eventually([&] { return *connector.connects == 2; }));
        pool.async_acquire_for(generous, got.handler(io));
    };
    auto mine = pool.acquire(foo);
    *connector.fails = true;
    EXPECT_TRUE(eventually([&] { return pool.stats().connect_failed == 1; }));
    io.run_for(generous);
    EXPECT_EQ(got.calls, 1);
    EXPECT_FALSE(got.ec) << got.ec.message();
    mine.release();
    got.lease.release();
    expect_drained(pool, connector);
}

// rule 35
TEST_F(PoolChoresSearch, Rule35WhatDidNotSuitIsNotPutBackAfterARefresh) {
    Pool pool{connector, {.size = {.high = 4}}};
    *connector.fails = true;
    pool.acquire(bar).release();
    events->at_comparison = [&] { pool.refresh(); };
    EXPECT_FALSE(pool.try_acquire_for(generous, foo)) << "the connect that fails";
    EXPECT_EQ(pool.stats().idle, 0u);
    EXPECT_EQ(pool.stats().closed_stale, 1u);
    EXPECT_EQ(pool.acquire(bar)->id(), 2u);
    expect_drained(pool, connector);
}

// rule 22, rule 36
TEST_F(PoolChoresSearch, Rule36WhatDidNotSuitIsNotPutBackWhenItIsOneTooMany) {
    Pool pool{connector, {.size = {.high = 1}}};
    pool.acquire(bar).release();
    events->at_comparison = [&] { EXPECT_FALSE(pool.resize(0)); };
    EXPECT_EQ(pool.try_acquire_for(5ms, foo).error(), Errc::timed_out);
    EXPECT_EQ(pool.stats().open, 0u);
    EXPECT_EQ(pool.stats().closed_excess, 1u);
    expect_drained(pool, connector);
}

// rule 24, rule 23: without memory for its setting it is replaced by one that has none.
TEST_F(PoolChoresSearch, Rule24ADiscardDoesNotThrowWhatCopyingASettingThrows) {
    Pool pool{connector, {.size = {.low = 1, .high = 1, .eager = true}}};
    *connector.fails = true;
    auto lease = pool.acquire(foo);
    events->no_copies = true;
    lease.discard();
    events->no_copies = false;
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    expect_drained(pool, connector);
}

// ---- storms

// rule 21: also where it is the setting that fails. 10, 20, 40, ... ms, each up to a fifth sooner.
TEST_F(PoolChores, Rule21AReplacementWhoseApplyFailsIsRetriedWithoutAStorm) {
    SettingPool pool{connector, {.size = {.low = 1, .high = 1, .eager = true}}};
    auto lease = pool.acquire("foo");
    connector.log->failing_applies = 1'000'000;
    lease.discard();
    std::this_thread::sleep_for(300ms);
    EXPECT_LE(connector.opened(), 15u);
    EXPECT_TRUE(eventually([&] { return connector.opened() >= 3; })) << "it has stopped trying";
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
