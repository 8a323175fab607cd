// Closing many times, from everywhere, and from inside what it waits for.
// rule 41 (and rule 44 for async_close)

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <stdexcept>
#include <string_view>

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using weir::Errc;

weir::Watermark at_most(std::size_t high) { return {.low = 0, .high = high}; }

// Calls close(patience) and knows whether it waited for it.
template <class Pool>
bool close_here(Pool& pool) {
    auto const begun = Clock::now();
    bool const drained = pool.close(patience);
    EXPECT_LT(Clock::now() - begun, patience / 2) << "waited for itself";
    return drained;
}

// ---- together

// rule 41: all callers complete at the real end, whoever began and whoever gave up before.
TEST(CloseInside, Rule41AllCallersCompleteAtTheRealEnd) {
    Loop<> world{{.size = at_most(1)}};
    Lease held = world.take();
    EXPECT_FALSE(world.pool.close(0s));
    Ended first;
    Ended second;
    Ended hasty;
    world.pool.async_close_for(patience, first.handler());
    world.pool.async_close(second.handler());
    world.pool.async_close_for(0s, hasty.handler());
    std::atomic<bool> joined{false};
    bool drained = false;
    std::thread thread{[&] {
        drained = world.pool.close(patience);
        joined = true;
    }};
    ASSERT_TRUE(run_until(world.io, [&] { return hasty.done(); }));
    EXPECT_EQ(hasty.ec, Errc::timed_out);
    EXPECT_EQ(first.calls + second.calls, 0);
    EXPECT_FALSE(joined);
    held.release();
    ASSERT_TRUE(run_until(world.io, [&] { return first.done() && second.done(); }));
    EXPECT_FALSE(first.ec);
    EXPECT_FALSE(second.ec);
    thread.join();
    EXPECT_TRUE(drained);
    world.end();
}

TEST(CloseInside, Rule41ClosingTheClosedSucceedsAtOnce) {
    Loop<> world;
    world.take().release();
    world.end();
    EXPECT_TRUE(world.pool.close());
    EXPECT_TRUE(world.pool.close(-1s));
    Ended ended;
    world.pool.async_close_for(0s, ended.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return ended.done(); }));
    EXPECT_FALSE(ended.ec);
    world.end();
}

TEST(CloseInside, Rule41ClosesAPoolThatWasNeverUsed) {
    Loop<> world;
    EXPECT_TRUE(world.pool.close(0s));
    world.end();
    EXPECT_EQ(world.ledger.opened(), 0);
}

// ---- from inside

// rule 41: from a handler that holds what the close would wait for.
TEST(CloseInside, Rule41FromAHandlerDoesNotWaitForItself) {
    Loop<> world{{.size = at_most(1)}};
    std::optional<bool> drained;
    world.pool.async_acquire([&](error_code ec, Lease lease) {
        EXPECT_FALSE(ec);
        drained = close_here(world.pool);
        EXPECT_TRUE(lease);
    });
    ASSERT_TRUE(run_until(world.io, [&] { return drained.has_value(); }));
    EXPECT_FALSE(*drained);
    world.end();
}

// rule 41: also when the handler goes on as a coroutine.
TEST(CloseInside, Rule41FromACoroutineDoesNotWaitForItself) {
    Loop<> world{{.size = at_most(1)}};
    std::optional<bool> drained;
    auto body = [&]() -> asio::awaitable<void> {
        Lease lease = co_await world.pool.async_acquire(asio::use_awaitable);
        drained = close_here(world.pool);
    };
    asio::co_spawn(world.io, body(), asio::detached);
    ASSERT_TRUE(run_until(world.io, [&] { return drained.has_value(); }));
    EXPECT_FALSE(*drained);
    world.end();
}

// rule 41: it says true where all is drained.
TEST(CloseInside, Rule41FromAHandlerSaysTrueWhenAllIsDrained) {
    Loop<> world;
    world.take().release();
    world.end();
    EXPECT_TRUE(world.pool.close(patience));  // the worker that has told of the end is done, too
    std::optional<bool> drained;
    world.pool.async_acquire([&](error_code ec, Lease) {
        EXPECT_EQ(ec, Errc::closed);
        drained = close_here(world.pool);
    });
    ASSERT_TRUE(run_until(world.io, [&] { return drained.has_value(); }));
    EXPECT_TRUE(*drained);
    world.end();
}

// rule 41: from a failed waiter's handler, while the close that failed it is under way.
TEST(CloseInside, Rule41FromAFailedWaitersHandlerDoesNotWait) {
    Loop<> world{{.size = at_most(1)}};
    Lease held = world.take();
    std::optional<bool> drained;
    world.pool.async_acquire([&](error_code ec, Lease) {
        EXPECT_EQ(ec, Errc::closed);
        drained = close_here(world.pool);
    });
    Ended ended;
    world.pool.async_close_for(patience, ended.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return drained.has_value(); }));
    EXPECT_FALSE(*drained);
    held.release();
    ASSERT_TRUE(run_until(world.io, [&] { return ended.done(); }));
    EXPECT_FALSE(ended.ec);
    world.end();
}

// A connector that does what the test says in each of its members.
struct Meddler {
    struct Script {
        Ledger ledger;
        std::function<void()> in_connect;
        std::function<void()> in_recycle;
        std::function<void()> in_close;
    };
    Script* script;

    Conn connect() {
        if (script->in_connect) script->in_connect();
        return Conn{script->ledger};
    }
    bool recycle(Conn&) {
        if (script->in_recycle) script->in_recycle();
        return true;
    }
    void close(Conn& conn) {
        conn.closed();
        if (script->in_close) script->in_close();
    }
};

struct MeddledPool {
    Meddler::Script script;
    weir::Pool<Conn> pool{Meddler{&script}, {.size = at_most(2)}};
    std::optional<bool> drained;

    std::function<void()> closer() {
        return [this] { drained = close_here(pool); };
    }
    void end() {
        EXPECT_TRUE(pool.close(patience));
        EXPECT_EQ(pool.stats().open, 0u);
        EXPECT_TRUE(script.ledger.all_closed_once());
    }
};

// rule 41: a handler may outlive its pool, and what it makes then, maybe at the same address, is another one.
TEST(CloseInside, Rule41FromTheHandlerOfAPoolThatHasGoneAnotherIsWaitedFor) {
    asio::io_context io;
    for (int i = 0; i != 20; ++i) {
        Ledger ledger;
        std::size_t warm = 0;
        {
            Lease held;  // goes after the pool: so the handler fails, and has nothing that keeps what was behind it
            weir::Pool<Conn> pool{PlainOpener{ledger}, {.size = at_most(1)}};
            held = pool.acquire();
            pool.async_acquire(asio::bind_executor(io, [&](error_code, Lease) {
                weir::Pool<Conn> other{PlainOpener{ledger}};
                warm = other.warm_up(2);
                EXPECT_TRUE(other.close(patience));
            }));
        }
        EXPECT_TRUE(run_dry(io));
        EXPECT_EQ(warm, 2u);
        EXPECT_TRUE(ledger.all_closed_once());
    }
}

// rule 41; rule 38: what was being opened fails with closed, and the connection is closed.
TEST(CloseInside, Rule41FromAConnectorOnTheAcquirersThread) {
    MeddledPool meddled;
    meddled.script.in_connect = meddled.closer();
    EXPECT_EQ(meddled.pool.try_acquire_for(1min).error(), Errc::closed);
    ASSERT_TRUE(meddled.drained.has_value());
    EXPECT_FALSE(*meddled.drained);
    meddled.end();
    EXPECT_EQ(meddled.script.ledger.opened(), 1);
}

TEST(CloseInside, Rule41FromAConnectorOnAWorker) {
    MeddledPool meddled;
    meddled.script.in_connect = meddled.closer();
    asio::io_context io;
    Got got;
    meddled.pool.async_acquire(asio::bind_executor(io, got.handler()));
    ASSERT_TRUE(run_until(io, [&] { return got.done(); }));
    EXPECT_TRUE(got.failed_with(Errc::closed));
    meddled.end();
    ASSERT_TRUE(meddled.drained.has_value());
    EXPECT_FALSE(*meddled.drained);
}

// rule 41; rule 22: the return that met the closing pool closes its resource.
TEST(CloseInside, Rule41FromARecycleHook) {
    MeddledPool meddled;
    Lease lease = meddled.pool.acquire();
    meddled.script.in_recycle = meddled.closer();
    lease.release();
    ASSERT_TRUE(meddled.drained.has_value());
    EXPECT_FALSE(*meddled.drained);
    EXPECT_EQ(meddled.pool.stats().idle, 0u);
    meddled.end();
}

TEST(CloseInside, Rule41FromACloseHook) {
    MeddledPool meddled;
    Lease lease = meddled.pool.acquire();
    meddled.script.in_close = meddled.closer();
    lease.discard();
    ASSERT_TRUE(wait_until([&] { return meddled.pool.stats().open == 0; }));
    ASSERT_TRUE(meddled.drained.has_value());
    EXPECT_FALSE(*meddled.drained);
    meddled.end();
}

// rule 41: the close hook that the close itself runs.
TEST(CloseInside, Rule41FromTheCloseHookOfTheCloseItself) {
    MeddledPool meddled;
    meddled.pool.acquire().release();
    meddled.script.in_close = meddled.closer();
    EXPECT_TRUE(meddled.pool.close(patience));
    ASSERT_TRUE(meddled.drained.has_value());
    EXPECT_FALSE(*meddled.drained);
    meddled.end();
}

// A resource whose destructor does what the test says.
struct Testament {
    std::unique_ptr<std::function<void()>> last_will;
    explicit Testament(std::function<void()> f) : last_will{std::make_unique<std::function<void()>>(std::move(f))} {}
    Testament(Testament&&) = default;
    ~Testament() {
        if (last_will) (*last_will)();
    }
};

// rule 41
TEST(CloseInside, Rule41FromADestructor) {
    std::optional<bool> drained;
    int calls = 0;
    weir::Pool<Testament>* self = nullptr;
    weir::Pool<Testament> pool{[&] {
        return Testament{[&] {
            ++calls;
            drained = close_here(*self);
        }};
    }};
    self = &pool;
    auto lease = pool.acquire();
    lease.discard();
    ASSERT_TRUE(wait_until([&] { return pool.stats().open == 0; }));
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(drained, std::optional<bool>{false});
    EXPECT_TRUE(pool.close(patience));
}

// rule 41: from the callback that the token calls.
TEST(CloseInside, Rule41FromAStopCallback) {
    Loop<> world{{.size = at_most(1)}};
    Lease held = world.take();
    std::optional<bool> drained;
    std::stop_callback on_stop{world.pool.lifetime().stop_token(), [&] { drained = world.pool.close(0s); }};
    EXPECT_FALSE(world.pool.close(0s));
    EXPECT_EQ(drained, std::optional<bool>{false});
    held.release();
    world.end();
}

// ---- async_close as an Asio operation

// rule 44: never from inside the initiating function, through the handler's executor, with work on both.
TEST(CloseInside, Rule44CompletesAsAnyOperationDoes) {
    Loop<> world{{.size = at_most(1)}};
    asio::io_context other;
    Lease held = world.take();
    Ended ended;
    bool initiated = false;
    asio::post(other, [&] {
        world.pool.async_close_for(patience, asio::bind_executor(other, ended.handler()));
        EXPECT_EQ(ended.calls, 0);
        initiated = true;
    });
    ASSERT_TRUE(run_until(other, [&] { return initiated; }));
    EXPECT_TRUE(has_work(other)) << "the handler's context may return under a close";
    asio::post(other, [&] {
        held.release();
        EXPECT_EQ(ended.calls, 0) << "called from inside a release";
    });
    poll(world.io);
    EXPECT_EQ(ended.calls, 0);
    ASSERT_TRUE(run_until(other, [&] { return ended.done(); }));
    EXPECT_FALSE(ended.ec);
    EXPECT_TRUE(run_dry(other));

    Ended again;
    asio::post(other, [&] {
        world.pool.async_close(asio::bind_executor(other, again.handler()));
        EXPECT_EQ(again.calls, 0);
    });
    ASSERT_TRUE(run_until(other, [&] { return again.done(); }));
    world.end();
}

// rule 44: cancelling ends the wait, not the close.
TEST(CloseInside, Rule44CancellingEndsTheWaitNotTheClose) {
    for (auto type :
         {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
        Loop<> world{{.size = at_most(1)}};
        Lease held = world.take();
        asio::cancellation_signal signal;
        Ended cancelled;
        Ended patient;
        world.pool.async_close_for(patience, asio::bind_cancellation_slot(signal.slot(), cancelled.handler()));
        world.pool.async_close_for(patience, patient.handler());
        signal.emit(type);
        ASSERT_TRUE(run_until(world.io, [&] { return cancelled.done(); }));
        EXPECT_EQ(cancelled.ec, asio::error::operation_aborted);
        EXPECT_TRUE(world.pool.closed());
        EXPECT_EQ(world.pool.try_acquire().error(), Errc::closed);
        poll(world.io);
        EXPECT_EQ(patient.calls, 0) << "somebody else's wait was cancelled";
        held.release();
        ASSERT_TRUE(run_until(world.io, [&] { return patient.done(); }));
        EXPECT_FALSE(patient.ec);
        world.end();
        EXPECT_EQ(cancelled.calls, 1);
    }
}

struct TellingObserver {
    using policy_slot = weir::slot::Observer;
    using duration = std::chrono::steady_clock::duration;

    std::function<void(std::string_view)> told;

    void connected(duration) noexcept { told("connected"); }
    void connect_failed(error_code const&) noexcept { told("connect_failed"); }
    void acquired(duration) noexcept { told("acquired"); }
    void released(duration) noexcept { told("released"); }
    void closed(weir::Cause) noexcept { told("closed"); }
    void timed_out() noexcept { told("timed_out"); }
    void rejected() noexcept { told("rejected"); }
    void overdue(std::uint64_t, duration) noexcept {}
    void returned_overdue(std::uint64_t, duration) noexcept {}
};

// rule 41: from an observer, whatever it is told of.
TEST(CloseInside, Rule41FromAnObserverDoesNotWait) {
    using Pool = weir::Pool<Conn, TellingObserver>;
    for (std::string_view const event :
         {"connected", "connect_failed", "acquired", "released", "closed", "timed_out"}) {
        Ledger ledger;
        Pool* self = nullptr;
        int closes = 0;
        Pool pool{[&] {
                      if (event == "connect_failed") throw std::runtime_error{"no"};
                      return Conn{ledger};
                  },
                  Pool::Options{.size = at_most(1), .observer = {[&](std::string_view what) {
                                                        if (what != event || closes++ != 0) return;
                                                        auto const begun = Clock::now();
                                                        self->close(patience);
                                                        EXPECT_LT(Clock::now() - begun, patience / 2)
                                                            << event << ": waited for itself";
                                                    }}}};
        self = &pool;
        auto lease = pool.try_acquire_for(patience);
        if (event == "timed_out") static_cast<void>(pool.try_acquire_for(0ns));
        if (event == "closed") lease->discard();
        lease = Errc::closed;
        EXPECT_GE(closes, 1) << event;
        EXPECT_TRUE(pool.close(patience));
        EXPECT_TRUE(ledger.all_gone());
    }
}

}  // namespace
