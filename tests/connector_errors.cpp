// What becomes of a connector's failures, by every way to ask and every way to fail.
// rule 18 (the exact error), rule 6 and rule 17 (a connect that takes too long), rule 48 (what user code throws)

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/result.hpp>
#include <boost/system/system_error.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using boost::system::result;
using boost::system::system_error;
using weir::ConnectContext;
using weir::Errc;

struct Unusual : std::runtime_error {
    using std::runtime_error::runtime_error;
    int detail = 17;
};

// How a connector fails.
enum class How { result_error, system_error, unusual, no_exception_at_all };

template <class T>
T fail(How how) {
    if (how == How::system_error) throw system_error{refused(), "dialling db1"};
    if (how == How::unusual) throw Unusual{"the password has expired"};
    if (how == How::no_exception_at_all) throw 42;
    return T{refused()};
}

struct PlainFailure {
    How how;
    result<Conn> connect() { return fail<result<Conn>>(how); }
};

struct AwaitableFailure {
    How how;
    asio::awaitable<result<Conn>> connect() { co_return fail<result<Conn>>(how); }
};

template <class Connector>
class ConnectorErrors : public testing::Test {};
using Connectors = testing::Types<PlainFailure, AwaitableFailure>;
TYPED_TEST_SUITE(ConnectorErrors, Connectors);

// The pool has threads of its own here, so a blocking acquire needs nobody else.
template <class Connector>
struct Failing {
    explicit Failing(How how) : pool{Connector{how}} {}
    ~Failing() {
        EXPECT_TRUE(pool.close(patience));
        EXPECT_EQ(pool.stats().open, 0u);
    }
    weir::Pool<Conn> pool;
};

// rule 18: errors reach a blocking acquire unchanged.
TYPED_TEST(ConnectorErrors, Rule18ReachABlockingAcquireUnchanged) {
    for (How how : {How::result_error, How::system_error}) {
        Failing<TypeParam> world{how};
        try {
            Lease lease = world.pool.acquire();
            ADD_FAILURE() << "leased what was never opened";
        } catch (system_error const& e) {
            EXPECT_EQ(e.code(), refused());
            if (how == How::system_error) {
                EXPECT_NE(std::string{e.what()}.find("dialling db1"), std::string::npos) << e.what();
            }
        }
        EXPECT_EQ(world.pool.try_acquire_for(1min).error(), refused());
        EXPECT_EQ(world.pool.try_acquire_until(Clock::now() + 1min).error(), refused());
        EXPECT_EQ(world.pool.stats().connect_failed, 3u);
        EXPECT_EQ(world.pool.stats().timed_out, 0u);
    }
}

// Exceptions that are no system_error leave every blocking acquire as what they are.
TYPED_TEST(ConnectorErrors, Rule18ExceptionsLeaveABlockingAcquireUnchanged) {
    Failing<TypeParam> world{How::unusual};
    auto expect_unusual = [](auto acquire) {
        try {
            acquire();
            ADD_FAILURE() << "expected an exception";
        } catch (Unusual const& e) {
            EXPECT_STREQ(e.what(), "the password has expired");
            EXPECT_EQ(e.detail, 17);
        }
    };
    expect_unusual([&] { world.pool.acquire().release(); });
    expect_unusual([&] { (void)world.pool.try_acquire_for(1min); });
    expect_unusual([&] { (void)world.pool.try_acquire_until(Clock::now() + 1min); });
    EXPECT_EQ(world.pool.stats().connect_failed, 3u);
}

TYPED_TEST(ConnectorErrors, Rule48WhatIsNoExceptionClassLeavesUnchanged) {
    Failing<TypeParam> world{How::no_exception_at_all};
    EXPECT_THROW(world.pool.acquire().release(), int);
    EXPECT_THROW((void)world.pool.try_acquire_for(1min), int);
}

// An asynchronous acquire gets the error code, and connect_failed for what has none.
TYPED_TEST(ConnectorErrors, Rule18ReachAnAsyncAcquireAsErrorCodes) {
    for (How how : {How::result_error, How::system_error, How::unusual, How::no_exception_at_all}) {
        asio::io_context io;
        weir::Pool<Conn> pool{io.get_executor(), TypeParam{how}};
        Got got;
        pool.async_acquire(got.handler());
        ASSERT_TRUE(run_until(io, [&] { return got.done(); }));
        bool const coded = how == How::result_error || how == How::system_error;
        EXPECT_TRUE(got.failed_with(coded ? refused() : make_error_code(Errc::connect_failed))) << got.ec.message();
        EXPECT_EQ(pool.stats().connect_failed, 1u);
        EXPECT_EQ(pool.stats().open, 0u);
        expect_clean_end(pool, io);
    }
}

// What went wrong last can be read afterwards: the error, what the connector said, and when.
TYPED_TEST(ConnectorErrors, TheLastFailureIsKept) {
    for (How how : {How::result_error, How::system_error, How::unusual}) {
        asio::io_context io;
        weir::Pool<Conn> pool{io.get_executor(), TypeParam{how}};
        EXPECT_FALSE(pool.last_connect_failure().has_value());
        auto const before = Clock::now();
        Got got;
        pool.async_acquire(got.handler());
        ASSERT_TRUE(run_until(io, [&] { return got.done(); }));
        std::optional<weir::ConnectFailure> const failure = pool.last_connect_failure();
        ASSERT_TRUE(failure.has_value());
        EXPECT_EQ(failure->error, got.ec);
        EXPECT_GE(failure->when, before);
        EXPECT_LE(failure->when, Clock::now());
        std::string const said = how == How::unusual      ? "the password has expired"
                               : how == How::system_error ? "dialling db1"
                                                          : refused().message();
        EXPECT_NE(failure->text.find(said), std::string::npos) << failure->text;
        expect_clean_end(pool, io);
    }
}

// A background connect has nobody to tell (rule 7), but the failure is counted and kept.
TYPED_TEST(ConnectorErrors, Rule7ABackgroundFailureIsCountedAndKept) {
    asio::io_context io;
    weir::Pool<Conn> pool{io.get_executor(), TypeParam{How::unusual}};
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
    ASSERT_TRUE(run_until(io, [&] { return pool.stats().connect_failed == 1; }));
    ASSERT_TRUE(pool.last_connect_failure().has_value());
    EXPECT_EQ(pool.last_connect_failure()->error, Errc::connect_failed);
    EXPECT_EQ(pool.last_connect_failure()->text, "the password has expired");
    expect_clean_end(pool, io);
}

// ---- connects that take too long

// The connect policy's timeout ends the attempt for its acquirer and cancels the coroutine.
TEST(ConnectTimeout, EndsAnAwaitableConnectWithTimedOut) {
    Gated<> world{{.size = {.low = 0, .high = 1}, .connect = {.timeout = 10ms}}};
    world.script.mode = Mode::slow;
    // One whose time is up before its first step, as on a busy machine, does not begin.
    std::size_t attempts = 0;
    for (; world.script.begun == 0; ++attempts) {
        Got got;
        auto const begun = Clock::now();
        world.pool.async_acquire(got.handler());
        ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
        EXPECT_TRUE(got.failed_with(Errc::timed_out)) << got.ec.message();
        EXPECT_GE(Clock::now() - begun, 10ms);
        ASSERT_TRUE(run_until(world.io, [&] { return world.pool.stats().open == 0; }))
            << "the attempt was not cancelled";
    }
    EXPECT_EQ(world.script.cancelled, 1);
    EXPECT_EQ(world.pool.stats().connect_failed, attempts);
    ASSERT_TRUE(world.pool.last_connect_failure().has_value());
    EXPECT_EQ(world.pool.last_connect_failure()->error, Errc::timed_out);
    world.end();
}

// One that ignores its cancellation fails its acquirer in time all the same; what it opens late has failed already.
TEST(ConnectTimeout, FailsTheAcquirerInTimeThoughTheConnectorIgnoresIt) {
    Gated<> world{{.size = {.low = 0, .high = 1}, .connect = {.timeout = 5ms}}};
    world.script.mode = Mode::never;
    do {  // as above
        ASSERT_TRUE(run_until(world.io, [&] { return world.pool.stats().open == 0; }));
        Got got;
        world.pool.async_acquire(got.handler());
        ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
        EXPECT_TRUE(got.failed_with(Errc::timed_out)) << got.ec.message();
        poll(world.io);
    } while (world.script.begun == 0);
    EXPECT_EQ(world.pool.stats().open, 1u) << "the slot stays taken until the connector ends";
    world.script.gate.open();
    ASSERT_TRUE(run_until(world.io, [&] { return world.pool.stats().open == 0; }));
    EXPECT_EQ(world.ledger.opened(), 1);
    EXPECT_EQ(world.pool.stats().acquired, 0u);
    world.end();
}

// The same on a worker: the acquirer does not wait for a thread that hangs.
TEST(ConnectTimeout, FailsAnAsyncAcquireInTimeThoughItsWorkerHangs) {
    Ledger ledger;
    auto state = std::make_shared<BlockingOpener::State>(ledger);
    state->mode = Mode::never;
    asio::io_context io;
    weir::Pool<Conn> pool{io.get_executor(), BlockingOpener{state}, {.connect = {.timeout = 5ms}}};
    Got got;
    pool.async_acquire(got.handler());
    ASSERT_TRUE(run_until(io, [&] { return got.done(); }));
    EXPECT_TRUE(got.failed_with(Errc::timed_out)) << got.ec.message();
    EXPECT_TRUE(wait_until([&] { return state->in_flight() == 1; }));
    EXPECT_EQ(pool.stats().open, 1u);
    state->open_gate();
    expect_clean_end(pool, io);
    EXPECT_TRUE(ledger.all_closed_once());
}

// A plain connector on the acquirer's thread cannot be interrupted; what outlives its time has failed.
TEST(ConnectTimeout, APlainConnectThatOutlivesItsTimeHasFailed) {
    Ledger ledger;
    weir::Pool<Conn> pool{[&](ConnectContext const& context) {
                              while (Clock::now() <= context.deadline) std::this_thread::yield();
                              return Conn{ledger};
                          },
                          {.connect = {.timeout = 2ms}}};
    EXPECT_EQ(pool.try_acquire_for(1min).error(), Errc::timed_out);
    EXPECT_TRUE(wait_until([&] { return pool.stats().open == 0; }));
    EXPECT_EQ(pool.stats().acquired, 0u);
    EXPECT_TRUE(pool.close(patience));
    EXPECT_TRUE(ledger.all_gone());
}

// rule 6: an acquire's own deadline counts while it connects; the attempt goes on for the pool.
TEST(ConnectTimeout, Rule6AnAcquiresDeadlineCountsWhileItConnects) {
    Gated<> world{{.size = {.low = 0, .high = 1}, .connect = {.timeout = 1min}}};
    world.script.mode = Mode::slow;
    error_code seen;
    std::atomic<bool> done{false};
    std::thread thread{[&] {
        do {  // its time may be up before it asks
            auto const leased = world.pool.try_acquire_for(50ms);
            seen = leased ? error_code{} : leased.error();
        } while (world.pool.stats().open == 0);
        done = true;
    }};
    EXPECT_TRUE(run_until(world.io, [&] { return done.load(); }));
    thread.join();
    EXPECT_EQ(seen, Errc::timed_out);
    EXPECT_EQ(world.pool.stats().connect_failed, 0u);
    world.script.gate.open();
    EXPECT_TRUE(run_until(world.io, [&] { return world.pool.stats().idle == 1; }));
    world.end();
}

// ---- the next attempt

// rule 18: a failure costs nobody else anything: the next waiter has an attempt of its own.
TEST(ConnectorErrorsInLine, Rule18TheNextWaiterHasAnAttemptOfItsOwn) {
    int attempts = 0;
    Ledger ledger;
    asio::io_context io;
    weir::Pool<Conn> pool{io.get_executor(),
                          [&]() -> asio::awaitable<Conn> {
                              if (++attempts < 3) throw system_error{refused()};
                              co_return Conn{ledger};
                          },
                          {.size = {.low = 0, .high = 1}}};
    Got first;
    Got second;
    Got third;
    pool.async_acquire(first.handler());
    pool.async_acquire(second.handler());
    pool.async_acquire(third.handler());
    ASSERT_TRUE(run_until(io, [&] { return first.done() && second.done() && third.done(); }));
    EXPECT_TRUE(first.failed_with(refused()));
    EXPECT_TRUE(second.failed_with(refused()));
    EXPECT_TRUE(third.succeeded());
    EXPECT_EQ(attempts, 3);
    third.lease.release();
    expect_clean_end(pool, io);
    EXPECT_TRUE(ledger.all_gone());
}

// A connector that fails without saying why has failed all the same: no handler sees success without a lease.
TEST(ConnectorErrorsInLine, AnErrorThatSaysAllIsWellIsConnectFailed) {
    asio::io_context io;
    weir::Pool<Conn> pool{io.get_executor(), [] { return boost::system::result<Conn>{error_code{}}; }};
    Got got;
    pool.async_acquire(got.handler());
    ASSERT_TRUE(run_until(io, [&] { return got.done(); }));
    EXPECT_TRUE(got.failed_with(Errc::connect_failed)) << got.ec.message();
    EXPECT_EQ(pool.try_acquire_for(patience).error(), Errc::connect_failed);
    expect_clean_end(pool, io);
}

}  // namespace
