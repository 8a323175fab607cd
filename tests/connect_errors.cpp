// Where the error of a connect arrives, as what, and what a connect that takes too long comes to.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <cstdint>
#include <future>
#include <gtest/gtest.h>
#include <stdexcept>
#include <string>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using boost::system::system_error;
namespace errc = boost::system::errc;
using std::chrono::steady_clock;

error_code const refused = errc::make_error_code(errc::connection_refused);

struct Odd : std::runtime_error {
    using std::runtime_error::runtime_error;
};

std::exception_ptr odd() { return std::make_exception_ptr(Odd{"the wire is cut"}); }

// rule 18
TEST(ConnectErrors, Rule18ASyncAcquireGetsTheExactError) {
    FakeConnector connector;
    FakePool<> pool{connector};
    connector.fail(Hook::connect, refused);
    connector.gate(Hook::connect, Gate::error);
    try {
        auto const lease = pool.acquire();
        FAIL() << "lent what could not be opened";
    } catch (system_error const& error) {
        EXPECT_EQ(error.code(), refused);
    }
    auto const result = pool.try_acquire_for(generous);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), refused);
    EXPECT_EQ(pool.stats().connect_failed, 2u);
    EXPECT_EQ(pool.stats().timed_out, 0u);
    EXPECT_EQ(pool.stats().open, 0u);
    ASSERT_TRUE(pool.last_connect_failure());
    EXPECT_EQ(pool.last_connect_failure()->error, refused);
    expect_drained(pool, connector);
}

// rule 18, rule 48
TEST(ConnectErrors, Rule18ASyncAcquireGetsTheExactException) {
    FakeConnector connector;
    FakePool<> pool{connector};
    connector.fail(Hook::connect, odd());
    connector.gate(Hook::connect, Gate::error);
    EXPECT_THROW((void)pool.acquire(), Odd);
    EXPECT_THROW((void)pool.try_acquire_for(generous), Odd);
    EXPECT_THROW((void)pool.try_acquire_until(steady_clock::now() + 1min), Odd);
    EXPECT_EQ(pool.stats().connect_failed, 3u);
    EXPECT_EQ(pool.stats().open, 0u) << "a lost slot";
    auto const failure = pool.last_connect_failure();
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->error, Errc::connect_failed);
    EXPECT_NE(failure->text.find("the wire is cut"), std::string::npos) << failure->text;
    EXPECT_LE(failure->when, steady_clock::now());
    expect_drained(pool, connector);
}

// rule 18
TEST(ConnectErrors, Rule18AThrownSystemErrorIsItsCode) {
    FakeConnector connector;
    FakePool<> pool{connector};
    connector.fail(Hook::connect, std::make_exception_ptr(system_error{refused, "dialling"}));
    connector.gate(Hook::connect, Gate::error);
    auto const result = pool.try_acquire_for(generous);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), refused);
    try {
        auto const lease = pool.acquire();
        FAIL() << "lent what could not be opened";
    } catch (system_error const& error) {
        EXPECT_EQ(error.code(), refused);
    }
    EXPECT_EQ(pool.last_connect_failure().value().error, refused);
    expect_drained(pool, connector);
}

// rule 18
TEST(ConnectErrors, Rule18AWaiterInLineGetsTheExceptionOfTheAttemptMadeForIt) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 1}}};
    auto lease = pool.acquire();
    connector.fail(Hook::connect, odd());
    connector.gate(Hook::connect, Gate::error);
    auto waiter = std::async(std::launch::async, [&] { (void)pool.try_acquire_for(generous); });
    EXPECT_TRUE(waiting(pool, 1));
    lease.discard();
    EXPECT_THROW(waiter.get(), Odd);
    EXPECT_EQ(pool.stats().open, 0u);
    expect_drained(pool, connector);
}

// rule 18
TEST(ConnectErrors, Rule18AnAsyncAcquireGetsTheCodeOrConnectFailed) {
    FakeConnector connector;
    asio::io_context io;
    FakePool<> pool{io.get_executor(), connector};
    auto const acquire = [&] {
        error_code got;
        pool.async_acquire([&](error_code ec, Lease<FakeConn> lease) {
            EXPECT_FALSE(lease);
            got = ec;
        });
        io.restart();
        io.run();
        return got;
    };
    connector.gate(Hook::connect, Gate::error);
    connector.fail(Hook::connect, refused);
    EXPECT_EQ(acquire(), refused);
    connector.fail(Hook::connect, std::make_exception_ptr(system_error{refused}));
    EXPECT_EQ(acquire(), refused);
    connector.fail(Hook::connect, odd());
    EXPECT_EQ(acquire(), Errc::connect_failed);
    ASSERT_TRUE(pool.last_connect_failure());
    EXPECT_EQ(pool.last_connect_failure()->error, Errc::connect_failed);
    EXPECT_NE(pool.last_connect_failure()->text.find("the wire is cut"), std::string::npos);
    EXPECT_EQ(pool.stats().connect_failed, 3u);
    expect_drained(pool, connector);
}

// rule 48
TEST(ConnectErrors, Rule48WhatIsThrownNeedNotBeAnException) {
    FakeConnector connector;
    asio::io_context io;
    FakePool<> pool{io.get_executor(), connector, {.size = {.high = 1}}};
    connector.fail(Hook::connect, std::make_exception_ptr(42));
    connector.pass(Hook::connect, Gate::error, 2);
    EXPECT_THROW((void)pool.acquire(), int);
    error_code got;
    pool.async_acquire([&](error_code ec, Lease<FakeConn>) { got = ec; });
    io.run();
    EXPECT_EQ(got, Errc::connect_failed);
    EXPECT_TRUE(pool.try_acquire_for(generous)) << "a lost slot";
    expect_drained(pool, connector);
}

TEST(ConnectErrors, TheLastFailureIsTheLatest) {
    FakeConnector connector;
    FakePool<> pool{connector};
    EXPECT_FALSE(pool.last_connect_failure());
    connector.gate(Hook::connect, Gate::error);
    for (auto const code : {errc::connection_refused, errc::host_unreachable, errc::network_down}) {
        connector.fail(Hook::connect, make_error_code(code));
        EXPECT_FALSE(pool.try_acquire_for(generous));
        EXPECT_EQ(pool.last_connect_failure().value().error, code);
    }
    expect_drained(pool, connector);
}

// ---- time

// rule 6
TEST(ConnectTime, Rule6AConnectThatOutlivesItsTimeoutFailsWithTimedOut) {
    FakeConnector connector;
    asio::io_context io;
    FakePool<> pool{io.get_executor(), connector, {.size = {.high = 1}, .connect = {.timeout = 5ms}}};
    connector.gate(Hook::connect, Gate::never);
    error_code got;
    pool.async_acquire_for(generous, [&](error_code ec, Lease<FakeConn>) { got = ec; });
    io.run();
    EXPECT_EQ(got, Errc::timed_out);
    EXPECT_EQ(pool.stats().open, 1u) << "its thread cannot be stopped, so its slot is not free";
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(eventually([&] { return pool.stats().open == 0; })) << "it came too late to be used";
    EXPECT_EQ(pool.stats().connect_failed, 1u);
    ASSERT_TRUE(pool.last_connect_failure());
    EXPECT_EQ(pool.last_connect_failure()->error, Errc::timed_out);
    expect_drained(pool, connector);
}

// rule 6
TEST(ConnectTime, Rule6OnTheCallersThreadItIsNoticedWhenItEnds) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 1}, .connect = {.timeout = 2ms}}};
    connector.delay(20ms);
    connector.pass(Hook::connect, Gate::slow);
    auto const result = pool.try_acquire_for(generous);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), Errc::timed_out);
    EXPECT_EQ(pool.stats().connect_failed, 1u);
    EXPECT_EQ(pool.stats().open, 0u);
    expect_drained(pool, connector);
}

// rule 6, rule 16
TEST(ConnectTime, Rule6WhatIsOpenedAfterTheAcquirersDeadlineIsKeptForTheNext) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 1}}};
    connector.delay(200ms);
    connector.pass(Hook::connect, Gate::slow);
    std::uint64_t timeouts = 0;
    for (; connector.calls(Hook::connect) == 0; ++timeouts) {  // its time may be up before it asks
        auto const result = pool.try_acquire_for(50ms);
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error(), Errc::timed_out);
    }
    EXPECT_EQ(pool.stats().timed_out, timeouts);
    EXPECT_EQ(pool.stats().connect_failed, 0u);
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    EXPECT_TRUE(pool.try_acquire());
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
