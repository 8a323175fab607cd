// What is to be done to a resource before it is lent, and who is patient meanwhile.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <ctime>
#include <future>
#include <gtest/gtest.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::steady_clock;
using testing::ManualClock;

/// A connector one of whose checks or resets fails, and whose apply can be held up.
struct PatientConnector : FakeConnector {
    struct Log {
        std::atomic<bool> fails_a_check{false};
        std::atomic<bool> fails_a_reset{false};
        std::atomic<bool> holds_apply{false};
    };
    std::shared_ptr<Log> log = std::make_shared<Log>();

    bool check(FakeConn& conn) const {
        auto const use = conn.use();
        return !log->fails_a_check.exchange(false);
    }
    void apply(FakeConn& conn, std::string const&) const {
        auto const use = conn.use();
        EXPECT_TRUE(eventually([&] { return !log->holds_apply; }));
    }
    void reset(FakeConn& conn) const {
        auto const use = conn.use();
        if (log->fails_a_reset.exchange(false)) throw std::runtime_error{"the session is gone"};
    }
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

/// Whether it ends in time. If it does not, its thread is left behind with all it has, which is nothing of the test's.
template <class Action>
bool ends(Action action) {
    std::packaged_task<void()> task{std::move(action)};
    auto const ended = task.get_future();
    std::thread thread{std::move(task)};
    bool const in_time = ended.wait_for(generous) == std::future_status::ready;
    in_time ? thread.join() : thread.detach();
    return in_time;
}

void sleep_past(steady_clock::time_point time) { std::this_thread::sleep_until(time + 1ms); }

struct PoolChoresPatience : ::testing::Test {
    using Settings = SettingBuckets<std::string>;

    PatientConnector connector;
    asio::io_context io;
    Got got;
};

// ---- with patience

// rule 9: told of an idle one, and before he comes for it given another.
TEST_F(PoolChoresPatience, Rule9WhoIsBeingPreparedForTakesNoOtherWhenHeComes) {
    FakePool<Settings> pool{connector, {.size = {.high = 2}, .wait = {.patience = 30ms}}};
    auto one = pool.acquire();
    auto two = pool.acquire();
    connector.log->holds_apply = true;
    auto const begun = steady_clock::now();
    pool.async_acquire_for(generous, "foo", got.handler(io));
    one.release();
    sleep_past(begun + 60ms);
    two.release();
    io.run_for(20ms);
    connector.log->holds_apply = false;
    io.run_for(generous);
    EXPECT_EQ(got.calls, 1);
    EXPECT_FALSE(got.ec);
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    got.lease.release();
    expect_drained(pool, connector);
}

// rule 11: the front waiter looks at what is idle, and the first he finds is not fit.
TEST_F(PoolChoresPatience, Rule11APatientOneWhoFindsABadOneIsServedByTheNext) {
    EXPECT_TRUE(ends([connector = connector] {
        FakePool<Upkeep, ManualClock, Settings> pool{
            connector, {.size = {.high = 2}, .wait = {.patience = 1h}, .upkeep = {.check_after_idle = 1s}}};
        EXPECT_EQ(pool.warm_up(2), 2u);
        ManualClock::advance(1s);
        connector.log->fails_a_check = true;
        asio::io_context context;
        Got served;
        pool.async_acquire_for(generous / 2, served.handler(context));
        context.run_for(generous);
        EXPECT_EQ(served.calls, 1);
        EXPECT_FALSE(served.ec);
        EXPECT_LE(pool.stats().idle, 1u);
        served.lease.release();
        expect_drained(pool, connector);
    }));
}

// rule 35: one of before the refresh is lent to who waits, and lies idle for nobody.
TEST_F(PoolChoresPatience, Rule35AStaleOneIsNotParkedForWhoIsPatient) {
    FakePool<KeepIdle> pool{connector, {.size = {.high = 2}, .wait = {.patience = 1h}}};
    connector.gate(Hook::connect, Gate::never);
    auto const begun = steady_clock::now();
    pool.async_acquire_for(100ms, got.handler(io));
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    pool.refresh();
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(eventually([&] { return pool.stats().connecting == 0; }));
    sleep_past(begun + 150ms);
    EXPECT_EQ(pool.stats().idle, 0u);
    io.run_for(generous);
    EXPECT_EQ(got.calls, 1);
    got.lease.release();
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_stale == 1; }));
    expect_drained(pool, connector);
}

// ---- without

// rule 3: he goes back to the line, and can be called again.
TEST_F(PoolChoresPatience, Rule3WhoseResetFailedIsServedWhenHisTurnComesAgain) {
    EXPECT_TRUE(ends([connector = connector]() mutable {
        FakePool<Settings> pool{connector, {.size = {.high = 1}}};
        auto lease = pool.acquire("bar");
        connector.log->fails_a_reset = true;
        auto one = std::async(std::launch::async, [&] { return !!pool.try_acquire_for(generous / 2, "foo"); });
        EXPECT_TRUE(waiting(pool, 1));
        auto two = std::async(std::launch::async, [&] { return !!pool.try_acquire_for(generous / 2); });
        EXPECT_TRUE(waiting(pool, 2));
        connector.gate(Hook::connect, Gate::never);
        lease.release();
        EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
        connector.gate(Hook::connect, Gate::ok);
        EXPECT_TRUE(two.get());
        EXPECT_TRUE(one.get());
        expect_drained(pool, connector);
    }));
}

// rule 43: patience or not.
TEST_F(PoolChoresPatience, Rule43AHandlersContextMayOutliveThePoolAndThePoolsContext) {
    int calls = 0;
    {
        auto const pools = std::make_unique<asio::io_context>();
        FakePool<> pool{pools->get_executor(), connector, {.size = {.high = 1}, .wait = {.patience = 5ms}}};
        pool.async_resize(2, asio::bind_executor(io, [&](error_code) { ++calls; }));
    }
    io.run_for(generous);
    EXPECT_EQ(calls, 1);
    expect_settled(connector);
}

// ---- refills and retries

// rule 27, rule 21
TEST_F(PoolChoresPatience, Rule21ALowMarkAboveMaxIdleIsNoReasonToOpenAgainAndAgain) {
    FakePool<> pool{connector, {.size = {.low = 2, .high = 4, .eager = true}, .idle = {.max_idle = 1}}};
    EXPECT_TRUE(eventually([&] { return pool.stats().idle >= 1; }));
    std::this_thread::sleep_for(200ms);
    EXPECT_LE(connector.opened(), 3u);
    expect_drained(pool, connector);
}

// rule 31, rule 23: what was to be replaced is forgotten when enough are open; a discard later on is another thing.
TEST_F(PoolChoresPatience, Rule31AReplacementIsNotOwedForEver) {
    FakePool<Upkeep> pool{connector, {.size = {.low = 1, .high = 2}, .upkeep = {.max_uses = 1}}};
    auto lease = pool.acquire();
    connector.pass(Hook::connect, Gate::error, 4);
    lease.release();
    EXPECT_TRUE(eventually([&] { return pool.stats().connect_failed == 4; }));
    pool.acquire().discard();  // long before the next attempt, which is 80 ms away
    std::this_thread::sleep_for(200ms);
    EXPECT_EQ(pool.stats().open, 0u);
    expect_drained(pool, connector);
}

// rule 14, rule 37
TEST_F(PoolChoresPatience, Rule14WaitingAtAPausedPoolThatFailsBurnsNoCpu) {
    FakePool<Backoff> pool{connector, {.size = {.high = 2}, .connect = {.first = 10ms}}};
    connector.gate(Hook::connect, Gate::error);
    auto waiter = wait_in_line(pool);
    EXPECT_TRUE(pool.resize(0, generous));  // an attempt may be under way
    std::this_thread::sleep_for(50ms);      // past the time of the next attempt
    auto const burnt = [] {
        timespec time{};
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
        return std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec};
    };
    auto const before = burnt();
    std::this_thread::sleep_for(200ms);
    EXPECT_LT(burnt() - before, 100ms);
    EXPECT_TRUE(pool.close());
    EXPECT_EQ(waiter.get().error(), Errc::closed);
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
