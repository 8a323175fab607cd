// What the tests of Go's net/http Transport ask of its connections, retold. More of them: keyed_pool_transport.cpp.

#include "support/asio.hpp"
#include "support/eventually.hpp"
#include "support/hosts.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <deque>
#include <future>
#include <gtest/gtest.h>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using asio_test::run_until;
using boost::system::error_code;
using testing::ManualClock;
using Names = std::vector<std::string>;

/// Where one request ended.
struct Request {
    int calls = 0;
    error_code ec{};
    Lease<HostConn> lease{};
    asio::cancellation_signal cancel{};

    template <class Pool>
    void start(Pool& pool, std::string const& host) {
        pool.async_acquire(host, asio::bind_cancellation_slot(cancel.slot(), [this](error_code e, Lease<HostConn> l) {
                               ++calls;
                               ec = e;
                               lease = std::move(l);
                           }));
    }
};

struct RetoldTransport : ::testing::Test {
    Hosts hosts;
    asio::io_context io;

    template <class Pool>
    static auto get(Pool& pool, std::string host) {
        return std::async(std::launch::async, [&pool, host] { return pool.try_acquire_for(host, 20s); });
    }
    /// The same, and it stands in line when this returns.
    template <class Pool>
    static auto get_in_line(Pool& pool, std::string const& host) {
        auto const before = pool.stats(host).waiting;
        auto waiter = get(pool, host);
        EXPECT_TRUE(eventually([&] { return pool.stats(host).waiting == before + 1; }));
        return waiter;
    }
};

// ---- MaxConnsPerHost ---------------------------------------------------------------------------------------------------

// TestTransportMaxConnsPerHostIncludeDialInProgress
TEST_F(RetoldTransport, ADialInProgressCountsAgainstTheHostsLimit) {
    HostPool<> pool{hosts, {.per_key = {.size = {.high = 1}}}};
    hosts.set("a", Host::hangs);
    auto first = get(pool, "a");
    ASSERT_TRUE(hosts.await_hanging("a", 1));
    auto second = get_in_line(pool, "a");
    EXPECT_EQ(hosts.calls("a"), 1u);
    hosts.set("a", Host::works);
    EXPECT_TRUE(first.get());
    EXPECT_TRUE(second.get());
    EXPECT_EQ(hosts.calls("a"), 1u);
    expect_ended(pool, hosts);
}

// golang/go#34941: a dial that fails must not keep those behind it from dialing.
TEST_F(RetoldTransport, EachOfThoseWhoWaitForAHostThatRefusesDialsAndIsRefusedItself) {
    HostPool<> pool{hosts, {.per_key = {.size = {.high = 1}}}};
    hosts.set("a", Host::hangs);
    auto first = get(pool, "a");
    ASSERT_TRUE(hosts.await_hanging("a", 1));
    auto second = get_in_line(pool, "a");
    auto third = get_in_line(pool, "a");
    hosts.set("a", Host::refuses);
    for (auto* request : {&first, &second, &third}) EXPECT_EQ(request->get().error(), asio::error::connection_refused);
    EXPECT_EQ(hosts.calls("a"), 3u);
    EXPECT_TRUE(eventually([&] { return !pool.contains("a"); }));
    hosts.set("a", Host::works);
    EXPECT_TRUE(pool.try_acquire_for("a", 20s));
    expect_ended(pool, hosts);
}

// TestTransportMaxConnsPerHostDialCancellation
TEST_F(RetoldTransport, RequestsThatAreCancelledInTheirDialAndInLineLeaveTheLimitAsItWas) {
    HostPool<> pool{io.get_executor(), hosts, {.per_key = {.size = {.high = 1}}}};
    hosts.set("a", Host::hangs);
    Request dials, waits, stays;
    dials.start(pool, "a");
    ASSERT_TRUE(hosts.await_hanging("a", 1));
    waits.start(pool, "a");
    stays.start(pool, "a");
    asio_test::poll(io);
    dials.cancel.emit(asio::cancellation_type::terminal);
    waits.cancel.emit(asio::cancellation_type::terminal);
    EXPECT_TRUE(run_until(io, [&] { return dials.calls + waits.calls == 2; })) << "held up by a dial";
    EXPECT_EQ(dials.ec, asio::error::operation_aborted);
    EXPECT_EQ(waits.ec, asio::error::operation_aborted);
    EXPECT_EQ(stays.calls, 0);
    hosts.set("a", Host::works);
    EXPECT_TRUE(run_until(io, [&] { return stays.calls == 1; }));
    EXPECT_TRUE(stays.lease);
    EXPECT_EQ(hosts.calls("a"), 1u);
    stays.lease = {};
    expect_ended(pool, hosts);
}

// A dial whose request has gone ends up idle, and like any other idle connection it goes for a host that lacks one.
TEST_F(RetoldTransport, ADialThatNobodyWaitsForAnyMoreMakesRoomForAnotherHost) {
    HostPool<> pool{io.get_executor(), hosts, {.per_key = {}, .total = 1}};
    hosts.set("a", Host::hangs);
    Request a, b;
    a.start(pool, "a");
    ASSERT_TRUE(hosts.await_hanging("a", 1));
    b.start(pool, "b");
    a.cancel.emit(asio::cancellation_type::terminal);
    EXPECT_TRUE(run_until(io, [&] { return a.calls == 1; }));
    EXPECT_EQ(hosts.calls("b"), 0u) << "the place is still in use";
    hosts.set("a", Host::works);
    EXPECT_TRUE(run_until(io, [&] { return b.calls == 1; }));
    ASSERT_TRUE(b.lease) << b.ec.message();
    EXPECT_EQ(b.lease->host(), "b");
    EXPECT_EQ(hosts.max_open(), 1u);
    b.lease = {};
    expect_ended(pool, hosts);
}

// The same where the host refuses: nobody is left to be told, and the place is free all the same.
TEST_F(RetoldTransport, ARefusalThatNobodyWaitsForAnyMoreMakesRoomForAnotherHost) {
    HostPool<> pool{io.get_executor(), hosts, {.per_key = {}, .total = 1}};
    hosts.set("a", Host::hangs);
    Request a, b;
    a.start(pool, "a");
    ASSERT_TRUE(hosts.await_hanging("a", 1));
    b.start(pool, "b");
    a.cancel.emit(asio::cancellation_type::terminal);
    EXPECT_TRUE(run_until(io, [&] { return a.calls == 1; }));
    hosts.set("a", Host::refuses);
    EXPECT_TRUE(run_until(io, [&] { return b.calls == 1; }));
    EXPECT_TRUE(b.lease) << b.ec.message();
    EXPECT_FALSE(pool.contains("a"));
    b.lease = {};
    expect_ended(pool, hosts);
}

// wantConnQueue drops whoever has given up before it hands anything out.
TEST_F(RetoldTransport, HostsWhoseRequestsHaveAllGivenUpAreNeitherDialedNorInTheWay) {
    HostPool<> pool{io.get_executor(), hosts, {.per_key = {}, .total = 1}};
    auto held = pool.acquire("held");
    std::deque<Request> gone(200);
    for (std::size_t i = 0; i != gone.size(); ++i) gone[i].start(pool, "gone-" + std::to_string(i));
    Request live;
    live.start(pool, "live");
    asio_test::poll(io);
    for (auto& request : gone) request.cancel.emit(asio::cancellation_type::terminal);
    EXPECT_TRUE(run_until(
        io, [&] { return std::all_of(gone.begin(), gone.end(), [](auto const& one) { return one.calls == 1; }); }));
    held.release();
    EXPECT_TRUE(run_until(io, [&] { return live.calls == 1; }));
    EXPECT_TRUE(live.lease);
    for (std::size_t i = 0; i != gone.size(); ++i) EXPECT_EQ(hosts.calls("gone-" + std::to_string(i)), 0u);
    live.lease = {};
    expect_ended(pool, hosts);
}

// ---- What is not used again --------------------------------------------------------------------------------------------

// TestTransportConnectionCloseOnResponse
TEST_F(RetoldTransport, AConnectionThatTheServerWillCloseIsReplacedForWhoWaits) {
    HostPool<> pool{hosts, {.per_key = {.size = {.high = 1}}}};
    auto last_response = pool.acquire("a");
    auto const id = last_response->id();
    auto next = get_in_line(pool, "a");
    last_response.discard();
    auto served = next.get();
    ASSERT_TRUE(served);
    EXPECT_NE((*served)->id(), id);
    EXPECT_EQ(hosts.max_open(), 1u) << "the old one is closed first";
    served->release();
    expect_ended(pool, hosts);
}

// DisableKeepAlives
TEST_F(RetoldTransport, WithoutKeepAlivesEachRequestDialsAndNoHostIsRemembered) {
    HostPool<DropIdle> pool{hosts};
    for (int i = 0; i != 5; ++i) {
        pool.acquire("a").release();
        EXPECT_FALSE(pool.contains("a"));
    }
    EXPECT_EQ(hosts.calls("a"), 5u);
    EXPECT_EQ(pool.stats().closed_idle, 5u);
    expect_ended(pool, hosts);
}

// MaxIdleConnsPerHost below nothing: none is kept, but one for which somebody waits is handed on.
TEST_F(RetoldTransport, WhereNoneMayIdleOneIsHandedOnAllTheSame) {
    HostPool<> pool{hosts, {.per_key = {.size = {.high = 1}, .idle = {.max_idle = 0}}}};
    auto first = pool.acquire("a");
    auto const id = first->id();
    auto next = get_in_line(pool, "a");
    first.release();
    auto served = next.get();
    ASSERT_TRUE(served);
    EXPECT_EQ((*served)->id(), id);
    served->release();
    EXPECT_FALSE(pool.contains("a"));
    EXPECT_EQ(pool.stats().closed_excess, 1u);
    expect_ended(pool, hosts);
}

// TestTransportIdleConnCrash: requests come and go while idle connections are closed.
TEST_F(RetoldTransport, ClosingIdleConnectionsDuringADialFailsNobodyAndKeepsNothing) {
    HostPool<> pool{hosts};
    hosts.set("a", Host::hangs);
    auto request = get(pool, "a");
    ASSERT_TRUE(hosts.await_hanging("a", 1));
    pool.clear();
    hosts.set("a", Host::works);
    auto served = request.get();
    ASSERT_TRUE(served);
    served->release();
    EXPECT_FALSE(pool.contains("a")) << "it was dialed before";
    EXPECT_EQ(pool.stats().closed_stale, 1u);
    expect_ended(pool, hosts);
}

// ---- Idle connections --------------------------------------------------------------------------------------------------

// TestTransportIdleConnTimeout: the time begins anew with each use.
TEST_F(RetoldTransport, TheIdleTimeoutOfAHostCountsFromItsLastReturn) {
    HostPool<ManualClock> pool{hosts, {.per_key = {.idle = {.ttl = 10s}}}};
    auto const touch = [&](std::string const& host) { pool.acquire(host).release(); };
    touch("often");
    touch("once");
    for (int i = 0; i != 3; ++i) {
        ManualClock::advance(6s);
        touch("often");
        pool.sweep();
    }
    EXPECT_EQ(hosts.close_order(), Names{"once"});
    EXPECT_FALSE(pool.contains("once"));
    EXPECT_EQ(hosts.calls("often"), 1u);
    ManualClock::advance(10s);
    EXPECT_EQ(pool.acquire("often")->host(), "often");
    EXPECT_EQ(hosts.calls("often"), 2u) << "an expired one is not used, though nobody has swept";
    expect_ended(pool, hosts);
}

/// Notices when a server hangs up on a connection that lies idle.
class Noticing {
public:
    explicit Noticing(Hosts hosts) : hosts_{std::move(hosts)} {}

    HostConn connect(std::string const& host, ConnectContext const& context) {
        std::lock_guard const lock{state_->mutex};
        state_->evictors[host] = context.evictor;
        return hosts_.connect(host);
    }
    void close(HostConn& conn) { hosts_.close(conn); }

    void hang_up(std::string const& host) const {
        std::unique_lock lock{state_->mutex};
        Evictor const evictor = state_->evictors.at(host);
        lock.unlock();
        evictor.evict();
    }

private:
    struct State {
        std::mutex mutex{};
        std::map<std::string, Evictor> evictors{};
    };

    Hosts hosts_;
    std::shared_ptr<State> state_ = std::make_shared<State>();
};

// TestTransportRemovesDeadIdleConnections
TEST_F(RetoldTransport, AnIdleConnectionThatDiesIsRemovedAndItsHostWithIt) {
    Noticing const noticing{hosts};
    HostPool<> pool{noticing};
    pool.acquire("dies").release();
    pool.acquire("lives").release();
    noticing.hang_up("dies");
    EXPECT_TRUE(eventually([&] { return !pool.contains("dies"); }));
    EXPECT_EQ(hosts.close_order(), Names{"dies"});
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    EXPECT_EQ(pool.acquire("dies")->host(), "dies");
    noticing.hang_up("dies");
    EXPECT_EQ(pool.stats("lives").idle, 1u);
    expect_ended(pool, hosts);
}

// TestStressSurpriseServerCloses
TEST_F(RetoldTransport, ServersThatHangUpAtAnyTimeFailNobody) {
    Noticing const noticing{hosts};
    HostPool<> pool{noticing, {.per_key = {.size = {.high = 2}}, .total = 3}};
    for (auto const* host : {"a", "b"}) pool.acquire(host).release();
    std::atomic<bool> over{false};
    std::thread server{[&] {
        while (!over)
            for (auto const* host : {"a", "b"}) noticing.hang_up(host);
    }};
    std::vector<std::thread> clients;
    for (int i = 0; i != 4; ++i)
        clients.emplace_back([&, i] {
            for (int n = 0; n != 200; ++n) {
                std::string const host = (n + i) % 3 == 0 ? "a" : "b";
                auto lease = pool.try_acquire_for(host, 20s);
                ASSERT_TRUE(lease) << lease.error().message();
                EXPECT_EQ((*lease)->host(), host);
            }
        });
    for (auto& client : clients) client.join();
    over = true;
    server.join();
    EXPECT_LE(hosts.max_open(), 3u);
    expect_ended(pool, hosts);
}

}  // namespace
}  // namespace weir::test
