// On which thread each piece of the user's code runs.
// rule 48 (what user code may do there), the table "Connector" of the design

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using weir::Errc;

// Which thread ran each member last.
struct Threads {
    std::mutex mutex;
    std::thread::id connect{};
    std::thread::id recycle{};
    std::thread::id close{};

    void note(std::thread::id Threads::*member) {
        std::lock_guard lock{mutex};
        this->*member = std::this_thread::get_id();
    }
    std::thread::id of(std::thread::id Threads::*member) {
        std::lock_guard lock{mutex};
        return this->*member;
    }
};

struct Plain {
    Ledger* ledger;
    Threads* threads;
    Conn connect() {
        threads->note(&Threads::connect);
        return Conn{*ledger};
    }
    bool recycle(Conn&) {
        threads->note(&Threads::recycle);
        return true;
    }
    void close(Conn& conn) {
        threads->note(&Threads::close);
        conn.closed();
    }
};

struct Awaitable {
    Ledger* ledger;
    Threads* threads;
    asio::awaitable<Conn> connect() {
        threads->note(&Threads::connect);
        co_return Conn{*ledger};
    }
    asio::awaitable<bool> recycle(Conn&) {
        threads->note(&Threads::recycle);
        co_return true;
    }
    asio::awaitable<void> close(Conn& conn) {
        threads->note(&Threads::close);
        conn.closed();
        co_return;
    }
};

// The pool's executor runs on one thread that the test knows.
template <class Connector>
struct Watched {
    Ledger ledger;
    Threads threads;
    asio::io_context io;
    weir::Pool<Conn> pool{io.get_executor(), Connector{&ledger, &threads}, {.size = {.low = 0, .high = 4}}};
    std::thread::id const here = std::this_thread::get_id();
};

TEST(ConnectorThreads, APlainConnectorRunsOnTheThreadThatAcquires) {
    Watched<Plain> w;
    Lease lease = w.pool.acquire();
    EXPECT_EQ(w.threads.of(&Threads::connect), w.here);
    Lease timed = w.pool.try_acquire_for(1min).value();
    EXPECT_EQ(w.threads.of(&Threads::connect), w.here);
    lease.release();
    timed.release();
    expect_clean_end(w.pool, w.io);
    EXPECT_TRUE(w.ledger.all_closed_once());
}

// Never a thread of the user's executor, nor the one that only asks.
TEST(ConnectorThreads, APlainConnectorOfAnAsyncAcquireRunsOnAWorker) {
    Watched<Plain> w;
    Got got;
    std::thread::id runner;
    {
        Runner running{w.io};
        runner = running.id();
        std::atomic<bool> done{false};
        w.pool.async_acquire([&, record = got.handler()](error_code ec, Lease l) {
            record(ec, std::move(l));
            done = true;
        });
        ASSERT_TRUE(wait_until([&] { return done.load(); }));
    }
    ASSERT_TRUE(got.succeeded());
    EXPECT_NE(w.threads.of(&Threads::connect), w.here);
    EXPECT_NE(w.threads.of(&Threads::connect), runner);
    got.lease.release();
    expect_clean_end(w.pool, w.io);
}

// try_acquire never connects on its thread (rule 7), and asking from the executor's own thread changes nothing.
TEST(ConnectorThreads, APlainConnectorInTheBackgroundRunsOnAWorker) {
    Watched<Plain> w;
    asio::post(w.io, [&] { EXPECT_EQ(w.pool.try_acquire().error(), Errc::exhausted); });
    ASSERT_TRUE(run_until(w.io, [&] { return w.pool.stats().idle == 1; }));
    EXPECT_NE(w.threads.of(&Threads::connect), std::thread::id{});
    EXPECT_NE(w.threads.of(&Threads::connect), w.here);
    expect_clean_end(w.pool, w.io);
}

// As many workers as are blocked: four connects at a gate are four threads, none of them the executor's.
TEST(ConnectorThreads, BlockedPlainConnectsDoNotQueueBehindEachOther) {
    Ledger ledger;
    auto state = std::make_shared<BlockingOpener::State>(ledger);
    state->mode = Mode::never;
    asio::io_context io;
    weir::Pool<Conn> pool{io.get_executor(), BlockingOpener{state}, {.size = {.low = 0, .high = 4}}};
    std::deque<Got> all(4);
    for (Got& got : all) pool.async_acquire(got.handler());
    ASSERT_TRUE(run_until(io, [&] { return state->in_flight() == 4; }));
    bool executor_is_free = false;
    asio::post(io, [&] { executor_is_free = true; });
    poll(io);
    EXPECT_TRUE(executor_is_free);
    state->open_gate();
    for (Got& got : all) {
        ASSERT_TRUE(run_until(io, [&] { return got.done(); }));
        EXPECT_TRUE(got.succeeded());
        got.lease.release();
    }
    expect_clean_end(pool, io);
    EXPECT_TRUE(ledger.all_closed_once());
}

TEST(ConnectorThreads, PlainHooksOfAReturnRunOnTheThreadThatGivesBack) {
    Watched<Plain> w;
    Lease lease = w.pool.acquire();
    Lease broken = w.pool.acquire();
    std::thread::id other;
    std::thread thread{[&] {
        other = std::this_thread::get_id();
        lease.release();
        broken.discard();
    }};
    thread.join();
    EXPECT_EQ(w.threads.of(&Threads::recycle), other);
    EXPECT_EQ(w.threads.of(&Threads::close), other);
    expect_clean_end(w.pool, w.io);
}

// Plain goodbyes of a close asked for on the executor's thread do not block that thread.
TEST(ConnectorThreads, APlainCloseOfAnAsyncCloseRunsOnAWorker) {
    Watched<Plain> w;
    w.pool.acquire().release();
    Ended ended;
    asio::post(w.io, [&] { w.pool.async_close_for(patience, ended.handler()); });
    ASSERT_TRUE(run_until(w.io, [&] { return ended.done(); }));
    EXPECT_NE(w.threads.of(&Threads::close), std::thread::id{});
    EXPECT_NE(w.threads.of(&Threads::close), w.here) << "blocked the user's executor";
    expect_clean_end(w.pool, w.io);
    EXPECT_TRUE(w.ledger.all_closed_once());
}

// Awaitable members run on the pool's executor, whoever acquires and gives back.
TEST(ConnectorThreads, AwaitableMembersRunOnThePoolsExecutor) {
    Watched<Awaitable> w;
    {
        Runner running{w.io};
        Lease lease = w.pool.acquire();
        EXPECT_EQ(w.threads.of(&Threads::connect), running.id());
        lease.release();
        ASSERT_TRUE(wait_until([&] { return w.pool.stats().idle == 1; }));
        EXPECT_EQ(w.threads.of(&Threads::recycle), running.id());
        Lease again = w.pool.acquire();
        again.discard();
        ASSERT_TRUE(wait_until([&] { return w.pool.stats().open == 0; }));
        EXPECT_EQ(w.threads.of(&Threads::close), running.id());
    }
    expect_clean_end(w.pool, w.io);
    EXPECT_TRUE(w.ledger.all_closed_once());
}

// As the README has it: blocking work on threads of the user's.
struct OnThreadsOfTheUsers {
    Ledger* ledger;
    Threads* threads;
    asio::thread_pool* users;

    asio::awaitable<Conn> connect() {
        auto conn = co_await asio::co_spawn(*users, blocking_connect(), asio::use_awaitable);
        co_return std::move(*conn);
    }
    asio::awaitable<std::optional<Conn>> blocking_connect() {
        threads->note(&Threads::connect);
        co_return std::optional<Conn>{Conn{*ledger}};
    }
    void close(Conn& conn) { conn.closed(); }
};

TEST(ConnectorThreads, BlockingWorkMayRunOnThreadsOfTheUsers) {
    Ledger ledger;
    Threads threads;
    asio::thread_pool users{1};
    std::promise<std::thread::id> user;
    asio::post(users, [&] { user.set_value(std::this_thread::get_id()); });
    {
        weir::Pool<Conn> pool{OnThreadsOfTheUsers{&ledger, &threads, &users}};
        pool.acquire().release();
        EXPECT_EQ(threads.of(&Threads::connect), user.get_future().get());
        EXPECT_TRUE(pool.close(20s));
    }
    EXPECT_TRUE(ledger.all_closed_once());
}

// An awaitable hook does not hold up who gives back: without a thread on the executor it has not even begun.
TEST(ConnectorThreads, AnAwaitableHookDoesNotHoldUpTheReturner) {
    Watched<Awaitable> w;
    Got got;
    w.pool.async_acquire(got.handler());
    ASSERT_TRUE(run_until(w.io, [&] { return got.done(); }));
    got.lease.release();
    EXPECT_EQ(w.threads.of(&Threads::recycle), std::thread::id{});
    EXPECT_EQ(w.pool.stats().leased, 1u) << "until the hook ends the slot counts as leased";
    EXPECT_EQ(w.pool.stats().idle, 0u);
    ASSERT_TRUE(run_until(w.io, [&] { return w.pool.stats().idle == 1; }));
    expect_clean_end(w.pool, w.io);
}

// ---- pools without an executor

// Threads of the pool's own run what is awaitable; a blocked acquire needs nothing else.
TEST(ConnectorThreads, WithoutAnExecutorThePoolRunsAwaitablesItself) {
    Ledger ledger;
    Threads threads;
    weir::Pool<Conn> pool{Awaitable{&ledger, &threads}};
    auto const here = std::this_thread::get_id();
    Lease lease = pool.acquire();
    EXPECT_NE(threads.of(&Threads::connect), here);
    lease.release();
    ASSERT_TRUE(wait_until([&] { return pool.stats().idle == 1; }));
    EXPECT_NE(threads.of(&Threads::recycle), here);
    EXPECT_TRUE(pool.close(patience));
    EXPECT_NE(threads.of(&Threads::close), here);
    EXPECT_TRUE(ledger.all_closed_once());
}

// A handler without an executor of its own completes on a thread of the pool.
TEST(ConnectorThreads, WithoutAnExecutorThePoolCompletesHandlersItself) {
    Ledger ledger;
    Threads threads;
    weir::Pool<Conn> pool{Plain{&ledger, &threads}, {.size = {.low = 0, .high = 1}}};
    Lease held = pool.acquire();
    std::atomic<bool> done{false};
    Got got;
    pool.async_acquire([&, record = got.handler()](error_code ec, Lease l) {
        record(ec, std::move(l));
        done = true;
    });
    held.release();
    ASSERT_TRUE(wait_until([&] { return done.load(); }));
    EXPECT_TRUE(got.succeeded());
    EXPECT_NE(got.on, std::this_thread::get_id());
    got.lease.release();
    EXPECT_TRUE(pool.close(patience));
    EXPECT_TRUE(ledger.all_closed_once());
}

// rule 43: destroyed on a thread of its own, the last of its threads to know.
TEST(ConnectorThreads, Rule43WithoutAnExecutorThePoolMayDieOnItsOwnThread) {
    Ledger ledger;
    Threads threads;
    auto pool = std::make_unique<weir::Pool<Conn>>(Plain{&ledger, &threads});
    std::atomic<bool> done{false};
    auto* const raw = pool.get();
    raw->async_acquire([&, own = std::move(pool)](error_code ec, Lease lease) mutable {
        EXPECT_FALSE(ec);
        own.reset();
        EXPECT_TRUE(lease);
        lease.release();
        done = true;
    });
    ASSERT_TRUE(wait_until([&] { return done.load() && ledger.alive() == 0; }));
    EXPECT_TRUE(ledger.all_closed_once());
}

// Only at a return does a plain close run where it happens: the end of an awaitable recycle is on a thread of the user's.
TEST(ConnectorThreads, APlainCloseAfterAnAwaitableRecycleRunsOnAWorker) {
    struct Connector {
        Ledger* ledger;
        std::thread::id* closed_on;
        Conn connect() { return Conn{*ledger}; }
        asio::awaitable<bool> recycle(Conn&) { co_return true; }
        void close(Conn& conn) {
            *closed_on = std::this_thread::get_id();
            conn.closed();
        }
    };
    Ledger ledger;
    std::thread::id closed_on;
    asio::io_context io;
    weir::Pool<Conn, weir::DropIdle> pool{io.get_executor(), Connector{&ledger, &closed_on}};
    pool.acquire().release();
    ASSERT_TRUE(run_until(io, [&] { return pool.stats().open == 0; }));
    EXPECT_NE(closed_on, std::thread::id{});
    EXPECT_NE(closed_on, std::this_thread::get_id());
    expect_clean_end(pool, io);
    EXPECT_TRUE(ledger.all_closed_once());
}

}  // namespace
