// Age, use, health and overdue leases.

#include "support/fake_pool.hpp"
#include "support/invalid.hpp"
#include "support/ownership.hpp"
#include "support/recorder.hpp"
#include "support/waiters.hpp"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>
#include <thread>
#include <vector>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using testing::ManualClock;

template <class... More>
using UpkeepPool = FakePool<Upkeep, ManualClock, More...>;

struct PoolUpkeep : ::testing::Test {
    FakeConnector connector;
};

// ---- age

// rule 31
TEST_F(PoolUpkeep, Rule31WhatIsTooOldIsClosedAtItsReturn) {
    UpkeepPool<> pool{connector, {.upkeep = {.max_age = 1h, .age_jitter = 0}}};
    auto lease = pool.acquire();
    ManualClock::advance(1h - 1ns);
    lease.release();
    EXPECT_EQ(pool.stats().idle, 1u);
    lease = pool.acquire();
    EXPECT_EQ(lease->id(), 1u);
    ManualClock::advance(1ns);
    lease.release();
    EXPECT_EQ(pool.stats().closed_age, 1u);
    EXPECT_EQ(pool.stats().idle, 0u);
    expect_drained(pool, connector);
}

// rule 31, rule 4
TEST_F(PoolUpkeep, Rule31WhatIsTooOldIsNotLent) {
    UpkeepPool<> pool{connector, {.upkeep = {.max_age = 1h}}};
    pool.acquire().release();
    ManualClock::advance(1h);
    EXPECT_EQ(pool.acquire()->id(), 2u);
    EXPECT_EQ(pool.stats().closed_age, 1u);
    expect_drained(pool, connector);
}

// rule 31: at that age, and not only past it.
TEST_F(PoolUpkeep, Rule31WhatHasJustReachedItsAgeIsNotLent) {
    UpkeepPool<KeepIdle> pool{connector, {.upkeep = {.max_age = 1h, .age_jitter = 0}}};
    pool.acquire().release();
    ManualClock::advance(1h - 1ns);
    {
        auto const young = pool.acquire();
        EXPECT_EQ(young->id(), 1u);
    }
    ManualClock::advance(1ns);
    EXPECT_EQ(pool.acquire()->id(), 2u);
    EXPECT_EQ(pool.stats().closed_age, 1u);
    expect_drained(pool, connector);
}

// rule 31
TEST_F(PoolUpkeep, Rule31WhatIsTooOldIsSweptAndReplacedBelowTheLowMark) {
    UpkeepPool<> pool{connector, {.size = {.low = 2, .high = 4}, .upkeep = {.max_age = 1h}}};
    EXPECT_EQ(pool.warm_up(2), 2u);
    ManualClock::advance(1h);
    EXPECT_TRUE(eventually([&] {
        pool.sweep();
        return pool.stats().closed_age == 2 && pool.stats().idle == 2;
    }));
    EXPECT_EQ(connector.opened(), 4u);
    expect_drained(pool, connector);
}

// rule 31: the replacement that cannot be opened is tried again.
TEST_F(PoolUpkeep, Rule31AReplacementThatFailsIsTriedAgain) {
    UpkeepPool<> pool{connector, {.size = {.low = 1, .high = 1}, .upkeep = {.max_age = 1h}}};
    auto lease = pool.acquire();
    ManualClock::advance(1h);
    connector.pass(Hook::connect, Gate::error, 2);
    lease.release();
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    EXPECT_EQ(pool.stats().connect_failed, 2u);
    expect_drained(pool, connector);
}

// rule 31, rule 22
TEST_F(PoolUpkeep, Rule22AWaiterGetsAYoungOneInPlaceOfTheOld) {
    UpkeepPool<> pool{connector, {.size = {.high = 1}, .upkeep = {.max_age = 1h}}};
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    ManualClock::advance(1h);
    lease.release();
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 2u);
}

// rule 31: on the real clock the pool does so by itself.
TEST_F(PoolUpkeep, Rule31OnTheRealClockItGoesByItself) {
    FakePool<Upkeep, KeepIdle> pool{connector, {.upkeep = {.max_age = 30ms}}};
    pool.acquire().release();
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_age == 1; }));
    EXPECT_EQ(pool.stats().open, 0u);
    expect_drained(pool, connector);
}

// ---- use

// rule 22
TEST_F(PoolUpkeep, Rule22WhatHasBeenLentSoOftenIsClosedAsAge) {
    UpkeepPool<> pool{connector, {.upkeep = {.max_uses = 3}}};
    for (int i = 0; i != 7; ++i) pool.acquire().release();
    EXPECT_EQ(connector.opened(), 3u);
    EXPECT_EQ(pool.stats().closed_age, 2u);
    EXPECT_EQ(pool.stats().acquired, 7u);
    expect_drained(pool, connector);
}

// ---- checks before a lease

/// A connector with a check that is told what to find.
struct CheckedConnector : FakeConnector {
    struct Log {
        std::atomic<bool> fit{true};
        std::atomic<int> calls{0};
        std::atomic<std::uint64_t> refused{0};  // only this one
        std::atomic<std::uint64_t> last{0};
        std::thread::id thread;
    };
    std::shared_ptr<Log> log = std::make_shared<Log>();

    bool check(FakeConn& conn) const {
        auto const use = conn.use();
        ++log->calls;
        log->last = conn.id();
        log->thread = std::this_thread::get_id();
        if (log->refused == conn.id()) return false;
        if (!log->fit) throw std::runtime_error{"gone"};
        return true;
    }
};

struct PoolChecks : ::testing::Test {
    CheckedConnector connector;
};

// rule 32
TEST_F(PoolChecks, Rule32WhatHasBeenIdleForSoLongIsCheckedBeforeItIsLent) {
    UpkeepPool<> pool{connector, {.upkeep = {.check_after_idle = 1s}}};
    pool.acquire().release();
    ManualClock::advance(1s - 1ns);
    pool.acquire().release();
    EXPECT_EQ(connector.log->calls, 0);
    ManualClock::advance(1s);
    EXPECT_EQ(pool.acquire()->id(), 1u);
    EXPECT_EQ(connector.log->calls, 1);
    EXPECT_EQ(connector.log->thread, std::this_thread::get_id());
    EXPECT_EQ(pool.stats().acquired, 3u);
    expect_drained(pool, connector);
}

// rule 32, rule 4
TEST_F(PoolChecks, Rule32WhatFailsIsClosedAndTheNextIsTried) {
    UpkeepPool<> pool{connector, {.upkeep = {.check_after_idle = 1s}}};
    {
        auto const a = pool.acquire();
        auto const b = pool.acquire();
    }
    ManualClock::advance(1s);
    auto const top = pool.acquire();
    connector.log->refused = 3 - top->id();
    auto const fresh = pool.acquire();
    EXPECT_EQ(fresh->id(), 3u);
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
}

// rule 32: for a handler, on a thread of the pool's own.
TEST_F(PoolChecks, Rule32AHandlerIsServedWhenTheCheckHasEnded) {
    asio::io_context io;
    UpkeepPool<> pool{io.get_executor(), connector, {.upkeep = {.check_after_idle = 1s}}};
    pool.acquire().release();
    ManualClock::advance(1s);
    std::uint64_t got = 0;
    pool.async_acquire([&](error_code ec, Lease<FakeConn> lease) { got = ec ? 99 : lease->id(); });
    EXPECT_EQ(pool.stats().waiting, 0u);
    io.run();
    EXPECT_EQ(got, 1u);
    EXPECT_EQ(connector.log->calls, 1);
    EXPECT_NE(connector.log->thread, std::this_thread::get_id());
    ManualClock::advance(1s);
    connector.log->fit = false;
    pool.async_acquire([&](error_code ec, Lease<FakeConn> lease) { got = ec ? 99 : lease->id(); });
    io.restart();
    io.run();
    EXPECT_EQ(got, 2u) << "one that had to be opened";
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_unhealthy == 1; }));
    expect_drained(pool, connector);
}

// rule 7
TEST_F(PoolChecks, Rule7ATryChecksTooAndNeverConnects) {
    UpkeepPool<> pool{connector, {.size = {.high = 1}, .upkeep = {.check_after_idle = 1s}}};
    pool.acquire().release();
    ManualClock::advance(1s);
    EXPECT_TRUE(pool.try_acquire());
    ManualClock::advance(1s);
    connector.log->fit = false;
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    expect_drained(pool, connector);
}

/// Checks at a gate, as a coroutine.
struct AwaitableChecked : FakeConnector {
    std::shared_ptr<std::atomic<int>> calls = std::make_shared<std::atomic<int>>(0);
    std::shared_ptr<std::atomic<int>> hangs = std::make_shared<std::atomic<int>>(0);
    std::shared_ptr<std::atomic<bool>> fit = std::make_shared<std::atomic<bool>>(true);

    asio::awaitable<bool> check(FakeConn& conn) {
        auto const use = conn.use();
        ++*calls;
        if (hangs->load() > 0) {
            asio::steady_timer timer{co_await asio::this_coro::executor, std::chrono::hours{1}};
            co_await timer.async_wait(asio::use_awaitable);
        }
        co_return fit->load();
    }
};

struct PoolAwaitableChecks : ::testing::Test {
    AwaitableChecked connector;
    asio::thread_pool threads{1};
};

// rule 32
TEST_F(PoolAwaitableChecks, Rule32ASyncAcquireWaitsForACheckThatIsAwaitable) {
    UpkeepPool<> pool{threads.get_executor(), connector, {.upkeep = {.check_after_idle = 1s}}};
    pool.acquire().release();
    ManualClock::advance(1s);
    EXPECT_EQ(pool.acquire()->id(), 1u);
    EXPECT_EQ(*connector.calls, 1);
    ManualClock::advance(1s);
    *connector.fit = false;
    EXPECT_EQ(pool.acquire()->id(), 2u);
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_unhealthy == 1; }));
    expect_drained(pool, connector);
}

// rule 6, rule 17: the deadline counts while it is checked, and the check goes on for whoever comes next.
TEST_F(PoolAwaitableChecks, Rule6ADeadlineCountsWhileItIsChecked) {
    UpkeepPool<> pool{threads.get_executor(), connector, {.size = {.high = 1}, .upkeep = {.check_after_idle = 1s}}};
    pool.acquire().release();
    ManualClock::advance(1s);
    *connector.hangs = 1;
    EXPECT_EQ(pool.try_acquire_for(20ms).error(), Errc::timed_out);
    EXPECT_EQ(pool.stats().timed_out, 1u);
    EXPECT_EQ(pool.stats().leased, 1u) << "being checked";
    EXPECT_TRUE(pool.close()) << "the check is cancelled";
    expect_drained(pool, connector);
}

// rule 32: a check that takes longer than its time has failed; its acquirer is served by another.
TEST_F(PoolAwaitableChecks, Rule32ACheckThatHangsIsCancelledAndAnotherIsTaken) {
    // So little time is also little for a connect, which is tried again then.
    UpkeepPool<Backoff> pool{threads.get_executor(),
                             connector,
                             {.size = {.high = 2}, .connect = {.timeout = 30ms}, .upkeep = {.check_after_idle = 1s}}};
    auto const hung = pool.acquire()->id();
    ManualClock::advance(1s);
    *connector.hangs = 1;
    auto const lease = pool.try_acquire_for(generous);
    ASSERT_TRUE(lease);
    EXPECT_GT((*lease)->id(), hung);
    EXPECT_TRUE(eventually([&] {
        auto const closed = connector.close_order();
        return std::find(closed.begin(), closed.end(), hung) != closed.end();
    }));
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_unhealthy >= 1; }));
}

// rule 40, rule 38
TEST_F(PoolAwaitableChecks, Rule40ACloseCancelsAChecksAndFailsItsAcquirer) {
    UpkeepPool<> pool{threads.get_executor(), connector, {.upkeep = {.check_after_idle = 1s}}};
    pool.acquire().release();
    ManualClock::advance(1s);
    *connector.hangs = 1;
    auto waiter = acquire_elsewhere(pool);
    EXPECT_TRUE(eventually([&] { return *connector.calls == 1; }));
    EXPECT_TRUE(pool.close());
    EXPECT_EQ(waiter.get().error(), Errc::closed);
    expect_drained(pool, connector);
}

// ---- checks in the background

// rule 32
TEST_F(PoolChecks, Rule32IdleOnesAreCheckedInTheBackgroundAndStayWhereTheyAre) {
    OnCpu const stay{0};
    UpkeepPool<> pool{connector, {.upkeep = {.check_every = 1min}}};
    {
        auto a = pool.acquire();
        auto b = pool.acquire();
        auto c = pool.acquire();
        a.release();
        ManualClock::advance(1ns);
        b.release();
        ManualClock::advance(1ns);
        c.release();
    }
    ManualClock::advance(1min);
    pool.sweep();
    EXPECT_TRUE(eventually([&] { return connector.log->calls == 3 && pool.stats().idle == 3; }));
    std::vector<std::uint64_t> order;
    for (auto& lease : pool.acquire_idle()) order.push_back(lease->id());
    EXPECT_EQ(order, (std::vector<std::uint64_t>{3, 2, 1}));
    EXPECT_EQ(connector.opened(), 3u);
    expect_drained(pool, connector);
}

// rule 32: one that is checked goes back to where it lay, below those that came back later and are not due yet.
TEST_F(PoolChecks, Rule32TheOneThatIsDueStaysBelowTheOthers) {
    OnCpu const stay{0};
    UpkeepPool<KeepIdle> pool{connector, {.upkeep = {.check_every = 1min}}};
    auto const pass_half_a_minute = [&] {
        for (int i = 0; i != 6; ++i) {
            ManualClock::advance(5s);  // more at once would be a jump of the clock
            pool.sweep();
        }
    };
    auto cold = pool.acquire();
    auto warm = pool.acquire();
    cold.release();
    pass_half_a_minute();
    warm.release();
    pass_half_a_minute();
    EXPECT_TRUE(eventually([&] { return connector.log->calls == 1 && pool.stats().idle == 2; }));
    EXPECT_EQ(pool.acquire()->id(), 2u);
    EXPECT_EQ(connector.log->calls, 1);
    expect_drained(pool, connector);
}

// rule 31, rule 28: an age is drawn once.
TEST_F(PoolChecks, Rule31ACheckDoesNotPutOffTheEndOfItsAge) {
    UpkeepPool<KeepIdle> pool{connector, {.upkeep = {.max_age = 5min, .age_jitter = 0, .check_every = 4min}}};
    pool.acquire().release();
    ManualClock::advance(4min);
    pool.sweep();
    EXPECT_TRUE(eventually([&] { return connector.log->calls == 1 && pool.stats().idle == 1; }));
    ManualClock::advance(1min);
    EXPECT_EQ(pool.acquire()->id(), 2u);
    EXPECT_EQ(pool.stats().closed_age, 1u);
    expect_drained(pool, connector);
}

// rule 32, rule 28: a check does not count as use.
TEST_F(PoolChecks, Rule32AChecksDoesNotMakeItYoung) {
    UpkeepPool<> pool{connector, {.idle = {.ttl = 5min}, .upkeep = {.check_every = 4min}}};
    pool.acquire().release();
    ManualClock::advance(4min);
    pool.sweep();
    EXPECT_TRUE(eventually([&] { return connector.log->calls == 1 && pool.stats().idle == 1; }));
    ManualClock::advance(1min);
    EXPECT_TRUE(eventually([&] {
        pool.sweep();
        return pool.stats().closed_idle == 1;
    }));
    expect_drained(pool, connector);
}

// rule 32
TEST_F(PoolChecks, Rule32WhatFailsInTheBackgroundIsClosed) {
    UpkeepPool<> pool{connector, {.upkeep = {.check_every = 1min}}};
    EXPECT_EQ(pool.warm_up(3), 3u);
    connector.log->fit = false;
    ManualClock::advance(1min);
    pool.sweep();
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_unhealthy == 3; }));
    EXPECT_EQ(pool.stats().open, 0u);
    expect_drained(pool, connector);
}

// rule 32: while one of several is checked an acquirer finds another.
TEST_F(PoolAwaitableChecks, Rule32ABackgroundCheckHidesFewFromAcquirers) {
    UpkeepPool<> pool{threads.get_executor(), connector, {.size = {.high = 4}, .upkeep = {.check_every = 1min}}};
    EXPECT_EQ(pool.warm_up(4), 4u);
    *connector.hangs = 1;
    ManualClock::advance(1min);
    pool.sweep();
    EXPECT_TRUE(eventually([&] { return *connector.calls >= 1; }));
    EXPECT_GE(pool.stats().idle, 2u);
    auto const a = pool.try_acquire();
    EXPECT_TRUE(a);
    EXPECT_EQ(connector.opened(), 4u);
}

// rule 32: on the real clock the pool does so by itself.
TEST_F(PoolChecks, Rule32OnTheRealClockItHappensByItself) {
    FakePool<Upkeep, KeepIdle> pool{connector, {.upkeep = {.check_every = 20ms}}};
    pool.acquire().release();
    EXPECT_TRUE(eventually([&] { return connector.log->calls >= 3; }));
    EXPECT_EQ(connector.opened(), 1u);
    expect_drained(pool, connector);
}

// rule 34
TEST_F(PoolChecks, Rule34AfterAJumpOfTheClockEveryIdleOneIsCheckedInsteadOfClosed) {
    UpkeepPool<> pool{connector, {.idle = {.ttl = 8s}, .upkeep = {.check_every = 1h}}};
    EXPECT_EQ(pool.warm_up(2), 2u);
    pool.sweep();
    ManualClock::advance(30s);
    pool.sweep();
    // Of a closed one there would be no check. Once both have been checked the pool's own next round may close them.
    EXPECT_TRUE(eventually([&] { return connector.log->calls == 2; }));
    EXPECT_EQ(connector.opened(), 2u);
    EXPECT_TRUE(eventually([&] {
        pool.sweep();
        return pool.stats().closed_idle == 2;
    })) << "and by the next one its age counts again";
    expect_drained(pool, connector);
}

// ---- overdue

// rule 33
TEST_F(PoolUpkeep, Rule33ALeaseThatIsHeldTooLongIsReportedOnceAndOnceMoreWhenItComesBack) {
    Recorder recorder;
    UpkeepPool<Recorder> pool{connector, {.upkeep = {.overdue_after = 1min}, .observer = recorder}};
    auto lease = pool.acquire();
    auto brief = pool.acquire();
    ManualClock::advance(30s);
    brief.release();
    pool.sweep();
    EXPECT_EQ(recorder.told("overdue"), 0);
    ManualClock::advance(30s);
    pool.sweep();
    pool.sweep();
    EXPECT_EQ(recorder.told("overdue"), 1);
    EXPECT_EQ(recorder.last("overdue"), 1min);
    EXPECT_EQ(pool.stats().leased, 1u) << "its slot stays taken";
    EXPECT_EQ(recorder.told("returned_overdue"), 0);
    lease.release();
    EXPECT_EQ(recorder.told("returned_overdue"), 1);
    EXPECT_EQ(pool.stats().idle, 2u) << "it is as good as any other";
    pool.sweep();
    EXPECT_EQ(recorder.told("overdue"), 1);
    expect_drained(pool, connector);
}

// rule 33: on the real clock the pool does so by itself.
TEST_F(PoolUpkeep, Rule33OnTheRealClockItIsReportedUnasked) {
    Recorder recorder;
    FakePool<Upkeep, KeepIdle, Recorder> pool{connector, {.upkeep = {.overdue_after = 20ms}, .observer = recorder}};
    auto lease = pool.acquire();
    EXPECT_TRUE(eventually([&] { return recorder.told("overdue") == 1; }));
    EXPECT_GE(recorder.last("overdue"), 20ms);
    lease.discard();
    EXPECT_EQ(recorder.told("returned_overdue"), 1);
    expect_drained(pool, connector);
}

// ---- options

TEST(UpkeepOptions, EveryBadValueNamesItsField) {
    using Pool = FakePool<Upkeep>;
    expect_refused<Pool>({.upkeep = {.max_age = -1s}}, "Upkeep::max_age");
    expect_refused<Pool>({.upkeep = {.age_jitter = 1.1}}, "Upkeep::age_jitter");
    expect_refused<Pool>({.upkeep = {.check_after_idle = -1s}}, "Upkeep::check_after_idle");
    expect_refused<Pool>({.upkeep = {.check_every = -1s}}, "Upkeep::check_every");
    expect_refused<Pool>({.upkeep = {.overdue_after = -1s}}, "Upkeep::overdue_after");
    // There is no check in the connector.
    expect_refused<Pool>({.upkeep = {.check_after_idle = 1s}}, "Upkeep::check_after_idle");
    expect_refused<Pool>({.upkeep = {.check_every = 1s}}, "Upkeep::check_every");
}

/// A policy of the user's own.
struct HourAtMost {
    using policy_slot = slot::Upkeep;
    constexpr UpkeepRules rules() const noexcept { return {.max_age = std::chrono::hours{1}}; }
};

TEST_F(PoolUpkeep, TheSlotIsOpenToUsers) {
    FakePool<HourAtMost, ManualClock> pool{connector};
    auto lease = pool.acquire();
    ManualClock::advance(1h);
    lease.release();
    EXPECT_EQ(pool.stats().closed_age, 1u);
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
