// Keyed pools and Asio: the same rules for handlers.

#include "support/asio.hpp"
#include "support/hosts.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <cstddef>
#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using asio_test::run_until;
using boost::system::error_code;

struct Outcome {
    int calls = 0;
    error_code ec{};
    Lease<HostConn> lease{};

    auto handler() {
        return [this](error_code result, Lease<HostConn> given) {
            ++calls;
            ec = result;
            lease = std::move(given);
        };
    }
};

struct KeyedAsync : ::testing::Test {
    Hosts hosts;
    asio::io_context io;
};

TEST_F(KeyedAsync, ServesWhateverComesFirst) {
    HostPool<> pool{io.get_executor(), hosts, {.per_key = {}, .total = 2}};
    Outcome a, b;
    pool.async_acquire("a", a.handler());
    pool.async_acquire_for("b", 20s, b.handler());
    EXPECT_EQ(a.calls, 0) << "from inside the initiating function";
    EXPECT_TRUE(run_until(io, [&] { return a.calls == 1 && b.calls == 1; }));
    ASSERT_TRUE(a.lease && b.lease);
    EXPECT_EQ(a.lease->host(), "a");
    EXPECT_EQ(b.lease->host(), "b");
    a.lease.release();
    b.lease.release();
    EXPECT_TRUE(asio_test::run_dry(io));
    expect_ended(pool, hosts);
}

TEST_F(KeyedAsync, AHandlerStandsInLineForTheTotal) {
    HostPool<> pool{io.get_executor(), hosts, {.per_key = {}, .total = 1}};
    auto held = pool.acquire("a");
    Outcome b, c;
    pool.async_acquire("b", b.handler());
    pool.async_acquire("c", c.handler());
    asio_test::poll(io);
    EXPECT_EQ(b.calls, 0);
    held.release();
    EXPECT_TRUE(run_until(io, [&] { return b.calls == 1; }));
    ASSERT_TRUE(b.lease);
    EXPECT_EQ(c.calls, 0);
    b.lease.discard();
    EXPECT_TRUE(run_until(io, [&] { return c.calls == 1; }));
    ASSERT_TRUE(c.lease);
    c.lease.release();
    EXPECT_EQ(hosts.max_open(), 1u);
    expect_ended(pool, hosts);
}

// rule 13
TEST_F(KeyedAsync, Rule13ACancelledWaiterLeavesTheLineForTheTotal) {
    HostPool<> pool{io.get_executor(), hosts, {.per_key = {}, .total = 1}};
    auto held = pool.acquire("a");
    asio::cancellation_signal signal;
    Outcome b;
    pool.async_acquire("b", asio::bind_cancellation_slot(signal.slot(), b.handler()));
    asio_test::poll(io);
    signal.emit(asio::cancellation_type::terminal);
    EXPECT_TRUE(run_until(io, [&] { return b.calls == 1; }));
    EXPECT_EQ(b.ec, asio::error::operation_aborted);
    EXPECT_FALSE(pool.contains("b"));
    held.release();
    EXPECT_EQ(pool.stats("a").idle, 1u);
    expect_ended(pool, hosts);
}

// net/http: a dial in flight is used by whoever comes first.
TEST_F(KeyedAsync, AConnectInFlightIsForWhoeverComesFirst) {
    HostPool<> pool{io.get_executor(), hosts, {.per_key = {.size = {.high = 1}}}};
    hosts.set("a", Host::hangs);
    asio::cancellation_signal signal;
    Outcome first, second;
    pool.async_acquire("a", asio::bind_cancellation_slot(signal.slot(), first.handler()));
    EXPECT_TRUE(hosts.await_hanging("a", 1));
    signal.emit(asio::cancellation_type::terminal);
    pool.async_acquire("a", second.handler());
    EXPECT_TRUE(run_until(io, [&] { return first.calls == 1; }));
    EXPECT_EQ(first.ec, asio::error::operation_aborted);
    hosts.set("a", Host::works);
    EXPECT_TRUE(run_until(io, [&] { return second.calls == 1; }));
    EXPECT_TRUE(second.lease);
    EXPECT_EQ(hosts.calls("a"), 1u);
    second.lease = {};
    expect_ended(pool, hosts);
}

TEST_F(KeyedAsync, TakesAnyToken) {
    HostPool<> pool{io.get_executor(), hosts};
    asio_test::Runner runner{io};
    EXPECT_EQ(pool.async_acquire("a", asio::use_future).get()->host(), "a");
    EXPECT_EQ(pool.async_acquire_for("b", 20s)(asio::use_future).get()->host(), "b");
    pool.async_close(asio::use_future).get();
    EXPECT_THROW((void)pool.async_acquire("a", asio::use_future).get(), boost::system::system_error);
    hosts.expect_settled();
}

TEST_F(KeyedAsync, ADeferredOperationKeepsItsKeyAndThePoolsCores) {
    auto pool = std::make_unique<HostPool<>>(io.get_executor(), hosts);
    auto later = pool->async_acquire(std::string(100, 'k'), asio::deferred);
    pool.reset();
    Outcome outcome;
    std::move(later)(outcome.handler());
    EXPECT_TRUE(run_until(io, [&] { return outcome.calls == 1; }));
    EXPECT_EQ(outcome.ec, Errc::closed);
}

/// Memory for a handler, which is asked for when its key has been looked up. Does something else first, once.
template <class T>
struct Interrupting {
    using value_type = T;

    explicit Interrupting(std::function<void()>& first) : before{&first} {}
    template <class U>
    Interrupting(Interrupting<U> const& other) : before{other.before} {}  // NOLINT(google-explicit-constructor)

    T* allocate(std::size_t n) {
        if (auto const act = std::exchange(*before, nullptr)) act();
        return std::allocator<T>{}.allocate(n);
    }
    void deallocate(T* at, std::size_t n) { std::allocator<T>{}.deallocate(at, n); }
    friend bool operator==(Interrupting const&, Interrupting const&) { return true; }

    std::function<void()>* before;
};

TEST_F(KeyedAsync, AKeyWhoseOnlyAcquirerCouldNotBeHelpedVanishes) {
    HostPool<> pool{io.get_executor(), hosts, {}};
    Outcome a;
    std::function<void()> before = [] { throw std::bad_alloc{}; };
    EXPECT_THROW(pool.async_acquire("a", asio::bind_allocator(Interrupting<void>{before}, a.handler())),
                 std::bad_alloc);
    EXPECT_FALSE(pool.contains("a"));
    EXPECT_EQ(a.calls, 0);
    expect_ended(pool, hosts);
}

TEST_F(KeyedAsync, Rule8WhoMeetsAKeyThatVanishesHasRoomMadeAllTheSame) {
    HostPool<> pool{io.get_executor(), hosts, {.per_key = {.size = {.max_waiters = 0}}, .total = 2}};
    pool.acquire("a").release();
    auto last = pool.acquire("b");
    Outcome b;
    std::function<void()> before = [&] {
        last.discard();
        pool.acquire("c").release();
    };
    pool.async_acquire("b", asio::bind_allocator(Interrupting<void>{before}, b.handler()));
    ASSERT_TRUE(run_until(io, [&] { return b.calls == 1; }));
    EXPECT_EQ(b.ec, error_code{});
    EXPECT_EQ(hosts.close_order(), (std::vector<std::string>{"b", "a"}));
    b.lease.release();
    expect_ended(pool, hosts);
}

TEST_F(KeyedAsync, ClosingCompletesWhenTheLastKeyHasEnded) {
    HostPool<> pool{io.get_executor(), hosts, {.per_key = {}, .total = 2}};
    auto held = pool.acquire("a");
    pool.acquire("b").release();
    Outcome waiter;
    pool.async_acquire("c", waiter.handler());
    asio_test::Ended ended, late;
    pool.async_close_for(1ms, late.handler());
    EXPECT_TRUE(run_until(io, [&] { return late.done(); }));
    EXPECT_EQ(late.ec, Errc::timed_out);
    pool.async_close_for(20s, ended.handler());
    asio_test::poll(io);
    EXPECT_FALSE(ended.done());
    held.release();
    EXPECT_TRUE(run_until(io, [&] { return waiter.calls == 1; }));  // served before the close, or told of it
    waiter.lease = {};
    EXPECT_TRUE(run_until(io, [&] { return ended.done(); }));
    EXPECT_FALSE(ended.ec) << ended.ec.message();
    EXPECT_TRUE(asio_test::run_dry(io));
    hosts.expect_settled();
}

// rule 43
TEST_F(KeyedAsync, Rule43AContextMayDieWithWaitersOfManyKeys) {
    auto other = std::make_unique<asio::io_context>();
    HostPool<> pool{io.get_executor(), hosts, {.per_key = {}, .total = 1}};
    auto held = pool.acquire("a");
    auto const alive = std::make_shared<int>();
    for (auto const* key : {"b", "c", "d"})
        pool.async_acquire(key, asio::bind_executor(*other, [alive](error_code, Lease<HostConn>) { FAIL(); }));
    EXPECT_EQ(alive.use_count(), 4);
    other.reset();
    EXPECT_EQ(alive.use_count(), 1);
    EXPECT_FALSE(pool.contains("b"));
    held.release();
    EXPECT_EQ(pool.stats("a").idle, 1u);
    expect_ended(pool, hosts);
}

/// Opens on the pool's executor.
struct Awaitable {
    Hosts hosts;

    asio::awaitable<HostConn> connect(std::string const& host, ConnectContext const&) {
        co_await asio::post(asio::use_awaitable);
        co_return hosts.connect(host);
    }
    asio::awaitable<void> close(HostConn& conn) {
        co_await asio::post(asio::use_awaitable);
        hosts.close(conn);
    }
};

TEST_F(KeyedAsync, TakesAwaitableConnectorsAndHooks) {
    HostPool<> pool{io.get_executor(), Awaitable{hosts}, {.per_key = {}, .total = 2}};
    std::map<std::string, int> seen;
    int left = 60;
    for (int i = 0; i != 60; ++i) {
        auto const key = "k" + std::to_string(i % 7);
        pool.async_acquire(key, [&, key](error_code ec, Lease<HostConn> lease) {
            --left;
            ASSERT_FALSE(ec) << ec.message();
            EXPECT_EQ(lease->host(), key);
            ++seen[key];
        });
    }
    EXPECT_TRUE(run_until(io, [&] { return left == 0; }));
    EXPECT_EQ(seen.size(), 7u);
    EXPECT_LE(hosts.max_open(), 2u);
    asio_test::Ended ended;
    pool.async_close(ended.handler());
    EXPECT_TRUE(run_until(io, [&] { return ended.done(); }));
    EXPECT_FALSE(ended.ec) << ended.ec.message();
    EXPECT_TRUE(asio_test::run_dry(io));
    hosts.expect_settled();
}

// rule 25
/// Opens at once, and closes when it is told to stop.
struct Lingering {
    asio::awaitable<int> connect(std::string const&) { co_return 0; }
    asio::awaitable<void> close(int) {
        asio::steady_timer timer{co_await asio::this_coro::executor, asio::steady_timer::time_point::max()};
        co_await timer.async_wait(asio::use_awaitable);
    }
};

TEST_F(KeyedAsync, ACloseThatMakesRoomIsToldToStopWhenItsTimeIsUp) {
    // So little time is also little for a connect, which is tried again then.
    KeyedPool<std::string, int, Backoff> pool{
        io.get_executor(), Lingering{}, {.per_key = {.connect = {.timeout = 20ms}}, .total = 1}};
    std::vector<std::string> served;
    auto const serve = [&](std::string const& key) {
        pool.async_acquire_for(key, 20s, [&served, key](error_code ec, Lease<int> lease) {
            served.push_back(lease ? key : ec.message());
        });
        return run_until(io, [&, before = served.size()] { return served.size() > before; });
    };
    for (auto const* key : {"a", "b", "c"}) ASSERT_TRUE(serve(key));
    EXPECT_EQ(served, (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(pool.stats().closed_excess, 2u);
}

TEST_F(KeyedAsync, Rule25APlaceThatGoesFromKeyToKeyDoesNotRecurse) {
    HostPool<> pool{io.get_executor(), hosts, {.per_key = {}, .total = 1}};
    constexpr int keys = 3'000;
    auto held = pool.acquire("held");
    int served = 0;
    for (int i = 0; i != keys; ++i)
        pool.async_acquire_for(std::to_string(i), 60s, [&](error_code ec, Lease<HostConn> lease) {
            EXPECT_FALSE(ec) << ec.message();
            lease.discard();
            ++served;
        });
    held.discard();
    EXPECT_TRUE(run_until(io, [&] { return served == keys; }));
    EXPECT_EQ(hosts.max_open(), 1u);
    expect_ended(pool, hosts);
}

}  // namespace
}  // namespace weir::test
