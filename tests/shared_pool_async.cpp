// Handlers that share connections: one connect for all, and what becomes of those who leave.

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>
#include <weir/shared_pool.hpp>

#include <algorithm>
#include <chrono>
#include <deque>
#include <thread>

using namespace asio_test;
using namespace std::chrono_literals;

namespace {

using Shared = weir::SharedPool<Conn, weir::Multiplex>;

struct SharedPoolAsync : testing::Test {
    asio::io_context io;
    Ledger ledger;
    GatedOpener::State state{ledger, io.get_executor()};

    ~SharedPoolAsync() override { EXPECT_TRUE(ledger.all_closed_once()); }

    template <class Many>
    static bool all(Many const& many) {
        return std::all_of(many.begin(), many.end(), [](Got const& got) { return got.done(); });
    }
};

TEST_F(SharedPoolAsync, AllWhoComeFirstAreServedByOneConnect) {
    Shared pool{io.get_executor(), GatedOpener{state}};
    state.mode = Mode::slow;
    std::deque<Got> many(1'000);
    for (Got& got : many) pool.async_acquire(got.handler());
    poll(io);
    EXPECT_EQ(state.begun, 1);
    EXPECT_EQ(pool.stats().waiting, 999u);
    state.gate.open();
    ASSERT_TRUE(run_until(io, [&] { return all(many); }));
    for (Got const& got : many) {
        ASSERT_TRUE(got.succeeded());
        ASSERT_EQ(got.lease.get(), many.front().lease.get());
    }
    many.clear();
    EXPECT_EQ(ledger.opened(), 1);
    expect_clean_end(pool, io);
}

TEST_F(SharedPoolAsync, AFailedConnectReachesAllWithItsErrorAndTheNextTriesAgain) {
    Shared pool{io.get_executor(), GatedOpener{state}};
    state.mode = Mode::error;
    std::deque<Got> many(100);
    for (Got& got : many) pool.async_acquire(got.handler());
    ASSERT_TRUE(run_until(io, [&] { return all(many); }));
    for (Got const& got : many) ASSERT_TRUE(got.failed_with(refused())) << got.ec.message();
    EXPECT_EQ(state.begun, 1);
    state.mode = Mode::ok;
    Got next;
    pool.async_acquire(next.handler());
    ASSERT_TRUE(run_until(io, [&] { return next.done(); }));
    EXPECT_TRUE(next.succeeded());
    next.lease = {};
    expect_clean_end(pool, io);
}

TEST_F(SharedPoolAsync, Rule17WhoeverStartedTheConnectMayLeaveAndTheOthersAreServed) {
    Shared pool{io.get_executor(), GatedOpener{state}};
    state.mode = Mode::slow;
    asio::cancellation_signal leave;
    Got first;
    std::deque<Got> others(10);
    pool.async_acquire(asio::bind_cancellation_slot(leave.slot(), first.handler()));
    for (Got& got : others) pool.async_acquire(got.handler());
    poll(io);
    leave.emit(asio::cancellation_type::total);
    ASSERT_TRUE(run_until(io, [&] { return first.done(); }));
    EXPECT_TRUE(first.failed_with(asio::error::operation_aborted));
    EXPECT_FALSE(all(others));
    state.gate.open();
    ASSERT_TRUE(run_until(io, [&] { return all(others); }));
    for (Got& got : others) EXPECT_TRUE(got.succeeded());
    EXPECT_EQ(state.begun, 1);
    others.clear();
    expect_clean_end(pool, io);
}

TEST_F(SharedPoolAsync, Rule35OneThatWasBeingOpenedAtARefreshIsReplacedWhileItsOnlyUserHasIt) {
    Shared pool{io.get_executor(), GatedOpener{state}};
    state.mode = Mode::slow;
    Got first;
    Got second;
    pool.async_acquire(first.handler());
    pool.async_acquire(second.handler());
    poll(io);
    pool.refresh();
    state.gate.open();
    ASSERT_TRUE(run_until(io, [&] { return first.done(); }));
    EXPECT_TRUE(run_until(io, [&] { return second.done(); }));
    first.lease = {};
    ASSERT_TRUE(run_until(io, [&] { return second.done(); }));
    EXPECT_EQ(pool.stats().closed_stale, 1u);
    second.lease = {};
    expect_clean_end(pool, io);
}

TEST_F(SharedPoolAsync, WhereThereIsSomethingToShareOnlyTheOneWhoOpensAnotherWaits) {
    Shared pool{io.get_executor(), GatedOpener{state}, {.size = {.connections = 2}}};
    Got first, second, third;
    pool.async_acquire(first.handler());
    ASSERT_TRUE(run_until(io, [&] { return first.done(); }));
    state.mode = Mode::slow;
    pool.async_acquire(second.handler());
    pool.async_acquire(third.handler());
    ASSERT_TRUE(run_until(io, [&] { return third.done(); }));
    EXPECT_EQ(third.lease.get(), first.lease.get());
    EXPECT_FALSE(second.done());
    EXPECT_EQ(pool.stats().waiting, 0u);
    state.gate.open();
    ASSERT_TRUE(run_until(io, [&] { return second.done(); }));
    EXPECT_NE(second.lease.get(), first.lease.get());
    for (Got* got : {&first, &second, &third}) got->lease = {};
    expect_clean_end(pool, io);
}

TEST_F(SharedPoolAsync, WhoseOwnConnectFailsSharesWhatThereIs) {
    Shared pool{io.get_executor(), GatedOpener{state}, {.size = {.connections = 2}}};
    Got first, second;
    pool.async_acquire(first.handler());
    ASSERT_TRUE(run_until(io, [&] { return first.done(); }));
    state.mode = Mode::error;
    pool.async_acquire(second.handler());
    ASSERT_TRUE(run_until(io, [&] { return second.done(); }));
    EXPECT_TRUE(second.succeeded());
    EXPECT_EQ(second.lease.get(), first.lease.get());
    EXPECT_EQ(pool.stats().connect_failed, 1u);
    for (Got* got : {&first, &second}) got->lease = {};
    expect_clean_end(pool, io);
}

TEST_F(SharedPoolAsync, AFailedConnectFailsNobodyElseWhileAnotherIsOnItsWay) {
    Shared pool{io.get_executor(), GatedOpener{state}, {.size = {.connections = 2, .streams = 2}}};
    Got first, opening, third, failing, patient;
    pool.async_acquire(first.handler());
    ASSERT_TRUE(run_until(io, [&] { return first.done(); }));
    state.mode = Mode::slow;
    pool.async_acquire(opening.handler());  // another, rather than crowd the first
    for (Got* got : {&third, &failing, &patient}) pool.async_acquire(got->handler());
    ASSERT_TRUE(run_until(io, [&] { return third.done() && state.begun == 2; }));
    ASSERT_EQ(pool.stats().waiting, 2u);
    state.mode = Mode::error;
    first.lease.discard();  // which drains, and makes room for one more
    ASSERT_TRUE(run_until(io, [&] { return state.begun == 3; }));
    state.mode = Mode::slow;
    ASSERT_TRUE(run_until(io, [&] { return failing.done(); }));
    EXPECT_TRUE(failing.failed_with(refused()));
    poll(io);
    EXPECT_FALSE(patient.done());
    state.gate.open();
    ASSERT_TRUE(run_until(io, [&] { return opening.done() && patient.done(); }));
    EXPECT_TRUE(patient.succeeded());
    for (Got* got : {&opening, &third, &patient}) got->lease = {};
    expect_clean_end(pool, io);
}

TEST_F(SharedPoolAsync, Rule38ACloseFailsAllWhoWaitForTheConnectWhateverItDoes) {
    Shared pool{io.get_executor(), GatedOpener{state}};
    state.mode = Mode::never;
    std::deque<Got> many(10);
    for (Got& got : many) pool.async_acquire(got.handler());
    poll(io);
    EXPECT_FALSE(pool.close(0ms));
    ASSERT_TRUE(run_until(io, [&] { return all(many); }));
    for (Got const& got : many) EXPECT_TRUE(got.failed_with(weir::Errc::closed));
    state.gate.open();
    expect_clean_end(pool, io);
}

TEST_F(SharedPoolAsync, CoroutinesOnSeveralThreadsShareAndEnd) {
    Shared pool{io.get_executor(), Opener{ledger}, {.size = {.connections = 2, .streams = 3}}};
    std::atomic<int> served{0};
    constexpr int users = 50;
    {
        Runner const runner{io, 3};
        for (int i = 0; i != users; ++i) {
            asio::co_spawn(
                io,
                [&]() -> asio::awaitable<void> {
                    for (int n = 0; n != 40; ++n) {
                        auto lease = co_await pool.async_acquire(asio::use_awaitable);
                        if (n % 16 == 15) lease.discard();
                        ++served;
                    }
                },
                asio::detached);
        }
        ASSERT_TRUE(wait_until([&] { return served == users * 40; }));
    }
    expect_clean_end(pool, io);
    EXPECT_EQ(pool.stats().acquired, static_cast<std::uint64_t>(users) * 40);
}

}  // namespace
