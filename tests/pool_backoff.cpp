// Connecting to what is down, again and again, and no oftener than it helps.

#include "support/fake_pool.hpp"
#include "support/invalid.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <boost/asio/io_context.hpp>
#include <future>
#include <gtest/gtest.h>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

using BackoffPool = FakePool<Backoff>;
constexpr Backoff quick{.first = 1ms, .max = 8ms};

// rule 19
TEST(PoolBackoff, Rule19RetriesUntilItSucceeds) {
    FakeConnector connector;
    BackoffPool pool{connector, {.size = {.high = 1}, .connect = quick}};
    connector.pass(Hook::connect, Gate::error, 4);
    auto const lease = pool.try_acquire_for(generous);
    ASSERT_TRUE(lease);
    EXPECT_EQ(connector.calls(Hook::connect), 5u);
    EXPECT_EQ(pool.stats().connect_failed, 4u);
    EXPECT_EQ(pool.stats().timed_out, 0u);
    EXPECT_EQ(pool.stats().waited, 1u);
}

// rule 19, rule 6
TEST(PoolBackoff, Rule19RetriesUntilTheDeadlineAndItsErrorCarriesTheLastFailure) {
    FakeConnector connector;
    BackoffPool pool{connector, {.size = {.high = 1}, .wait = {.timeout = 1s}, .connect = quick}};
    connector.fail(Hook::connect, std::make_exception_ptr(std::runtime_error{"no route to it"}));
    connector.gate(Hook::connect, Gate::error);
    try {
        auto const lease = pool.acquire();
        FAIL() << "lent what cannot be opened";
    } catch (boost::system::system_error const& error) {
        EXPECT_EQ(error.code(), Errc::timed_out);
        EXPECT_NE(std::string{error.what()}.find("no route to it"), std::string::npos) << error.what();
    }
    EXPECT_GE(connector.calls(Hook::connect), 3u);
    EXPECT_EQ(pool.stats().timed_out, 1u);
    EXPECT_EQ(pool.stats().waiting, 0u);
    auto const attempts = connector.calls(Hook::connect);
    EXPECT_EQ(pool.try_acquire_for(-1s).error(), Errc::timed_out);
    // rule 20: nobody is there any more to open for. The one attempt in flight at most.
    std::this_thread::sleep_for(30ms);
    EXPECT_LE(connector.calls(Hook::connect), attempts + 1);
    expect_drained(pool, connector);
}

// rule 19, rule 8
TEST(PoolBackoff, Rule19OneAttemptInFlightWhileItFailsAndTheOthersAreWaiters) {
    FakeConnector connector;
    asio::io_context io;
    BackoffPool pool{io.get_executor(), connector, {.size = {.high = 8}, .connect = quick}};
    connector.gate(Hook::connect, Gate::never);
    int served = 0;
    std::vector<Lease<FakeConn>> leases;
    for (int i = 0; i != 8; ++i) {
        pool.async_acquire_for(generous, [&](error_code ec, Lease<FakeConn> lease) {
            served += !ec;
            leases.push_back(std::move(lease));
        });
    }
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 8));
    EXPECT_EQ(pool.stats().waiting, 0u);
    connector.pass(Hook::connect, Gate::error, 8);
    EXPECT_TRUE(eventually([&] { return pool.stats().connect_failed == 8; }));
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 1));
    EXPECT_EQ(pool.stats().connecting, 1u);
    EXPECT_EQ(pool.stats().waiting, 7u);
    EXPECT_EQ(pool.stats().waited, 8u);
    connector.gate(Hook::connect, Gate::ok);
    io.run();
    EXPECT_EQ(served, 8);
    EXPECT_EQ(pool.stats().waiting, 0u);
    leases.clear();
    expect_drained(pool, connector);
}

// rule 19, rule 9: who was first is served first, though his own connect has failed.
TEST(PoolBackoff, Rule9AFailedConnectCostsNobodyHisPlaceInLine) {
    FakeConnector connector;
    asio::io_context io;
    BackoffPool pool{io.get_executor(), connector, {.size = {.high = 3}, .connect = {.first = 1h, .max = 1h}}};
    auto held = pool.acquire();
    connector.gate(Hook::connect, Gate::never);
    Log<int> order;
    for (int i = 0; i != 3; ++i)  // two are connecting, one waits
        pool.async_acquire_for(generous, [&, i](error_code ec, Lease<FakeConn>) { order.add(ec ? -1 : i); });
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 2));
    connector.pass(Hook::connect, Gate::error);
    EXPECT_TRUE(eventually([&] { return pool.stats().connect_failed == 1; }));
    connector.pass(Hook::connect, Gate::error);
    EXPECT_TRUE(eventually([&] { return pool.stats().waiting == 3; }));
    held.release();  // rule 19: failures starve nobody of what comes back. Each handler gives it to the next.
    io.run();
    EXPECT_EQ(order.values(), (std::vector<int>{0, 1, 2}));
    expect_drained(pool, connector);
}

// rule 19
TEST(PoolBackoff, Rule19PermanentFailuresStarveNoWaiterOfAReturn) {
    FakeConnector connector;
    BackoffPool pool{connector, {.size = {.high = 2}, .connect = quick}};
    auto held = pool.acquire();
    connector.gate(Hook::connect, Gate::error);
    auto waiter = acquire_elsewhere(pool);
    EXPECT_TRUE(eventually([&] { return pool.stats().connect_failed >= 3; }));
    held.release();
    auto served = waiter.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), 1u);
}

// rule 8, rule 19: who may not wait fails with the error, as he would without a backoff.
TEST(PoolBackoff, Rule8WithNoRoomAmongTheWaitersTheErrorIsTheAnswer) {
    FakeConnector connector;
    BackoffPool pool{connector, {.size = {.high = 1, .max_waiters = 0}, .connect = {.first = 1h, .max = 1h}}};
    connector.gate(Hook::connect, Gate::error);
    EXPECT_EQ(pool.try_acquire_for(generous).error(), boost::system::errc::connection_refused);
    EXPECT_EQ(pool.stats().waiting, 0u);
    EXPECT_EQ(pool.try_acquire_for(generous).error(), Errc::too_many_waiters) << "it is not time to try again";
    expect_drained(pool, connector);
}

// rule 19: 500 acquirers, a server that is down for two seconds.
TEST(PoolBackoff, Rule19AThunderingHerdMakesAHandfulOfAttempts) {
    FakeConnector connector;
    asio::io_context io;
    BackoffPool pool{io.get_executor(), connector, {.size = {.high = 32}}};
    connector.gate(Hook::connect, Gate::error);
    int served = 0;
    for (int i = 0; i != 500; ++i)
        pool.async_acquire_for(generous, [&](error_code ec, Lease<FakeConn>) { served += !ec; });
    std::this_thread::sleep_for(2s);
    auto const attempts = connector.calls(Hook::connect);
    EXPECT_GE(attempts, 5u) << "it has stopped trying";
    // Those of the first moment, and then 10, 20, 40, ... 1,280 ms, each up to a fifth sooner.
    EXPECT_LE(attempts, 32u + 10u);
    connector.gate(Hook::connect, Gate::ok);
    io.run();
    EXPECT_EQ(served, 500);
    EXPECT_LE(connector.max_open(), 32u);
    expect_drained(pool, connector);
}

// rule 38, rule 40
TEST(PoolBackoff, Rule40ACloseEndsTheRetries) {
    FakeConnector connector;
    BackoffPool pool{connector, {.size = {.high = 1}, .connect = quick}};
    connector.gate(Hook::connect, Gate::error);
    auto waiter = acquire_elsewhere(pool);
    EXPECT_TRUE(eventually([&] { return pool.stats().connect_failed >= 2; }));
    EXPECT_TRUE(pool.close());
    EXPECT_EQ(waiter.get().error(), Errc::closed);
    auto const attempts = connector.calls(Hook::connect);
    std::this_thread::sleep_for(20ms);
    EXPECT_EQ(connector.calls(Hook::connect), attempts);
    expect_drained(pool, connector);
}

// rule 7: a try starts no connect when it is not time for one.
TEST(PoolBackoff, Rule7ATryStartsNothingBeforeItsTime) {
    FakeConnector connector;
    BackoffPool pool{connector, {.connect = {.first = 1h, .max = 1h}}};
    connector.gate(Hook::connect, Gate::error);
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
    EXPECT_TRUE(eventually([&] { return pool.stats().connect_failed == 1; }));
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
    EXPECT_EQ(pool.stats().connecting, 0u);
    EXPECT_EQ(connector.calls(Hook::connect), 1u);
    expect_drained(pool, connector);
}

TEST(BackoffOptions, EveryBadValueNamesItsField) {
    expect_refused<BackoffPool>({.connect = {.timeout = 0s}}, "Backoff::timeout");
    expect_refused<BackoffPool>({.connect = {.first = 0s}}, "Backoff::first");
    expect_refused<BackoffPool>({.connect = {.first = 2s, .max = 1s}}, "Backoff::max");
    expect_refused<BackoffPool>({.connect = {.jitter = 1.5}}, "Backoff::jitter");
    expect_refused<BackoffPool>({.connect = {.jitter = -0.1}}, "Backoff::jitter");
    expect_refused<BackoffPool>({.connect = {.max_concurrent = 0}}, "Backoff::max_concurrent");
}

}  // namespace
}  // namespace weir::test
