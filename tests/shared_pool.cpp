// Connections that many use at once: who opens one, who shares which, and when one goes.

#include "support/eventually.hpp"
#include "support/fake_pool.hpp"
#include "support/invalid.hpp"
#include "support/waiters.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/use_future.hpp>
#include <cstddef>
#include <functional>
#include <future>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <weir/shared_pool.hpp>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

using testing::ManualClock;

template <class... Policies>
using FakeShared = SharedPool<FakeConn, Policies...>;
using Leases = std::vector<Lease<FakeConn>>;

/// Checks at the end that every connection was closed once: a pool that is destroyed waits for none of them (rule 43),
/// nor for a connect that is under way.
struct SharedPools : ::testing::Test {
    FakeConnector connector;
    using Pool = FakeShared<>;

    ~SharedPools() override {
        EXPECT_TRUE(eventually([&] { return connector.complaint().empty(); })) << connector.complaint();
    }

    template <class P>
    static Leases acquire(P& pool, std::size_t n) {
        Leases leases;
        for (std::size_t i = 0; i != n; ++i) leases.push_back(pool.acquire());
        return leases;
    }

    /// How many of these leases there are of each connection, the fewest first.
    static std::vector<std::size_t> spread(Leases const& leases) {
        std::map<std::uint64_t, std::size_t> by_id;
        for (auto const& lease : leases) ++by_id[lease->id()];
        std::vector<std::size_t> counts;
        for (auto const& [id, count] : by_id) counts.push_back(count);
        std::sort(counts.begin(), counts.end());
        return counts;
    }
};

using Counts = std::vector<std::size_t>;

// ---- Opening -----------------------------------------------------------------------------------------------------------

TEST_F(SharedPools, OneConnectionAndNoBoundIsTheSingleton) {
    Pool pool{connector};
    auto leases = acquire(pool, 1'000);
    EXPECT_EQ(spread(leases), Counts{1'000});
    auto stats = pool.stats();
    EXPECT_EQ(stats.acquired, 1'000u);
    EXPECT_EQ(stats.leased, 1u);
    leases.clear();
    stats = pool.stats();
    EXPECT_EQ(stats.idle, 1u);
    EXPECT_EQ(stats.high, 1u);
    EXPECT_EQ(connector.opened(), 1u);
    EXPECT_EQ(pool.acquire()->id(), 1u);
}

TEST_F(SharedPools, ConcurrentFirstAcquiresMakeOneConnect) {
    connector.gate(Hook::connect, Gate::never);
    Pool pool{connector};
    std::vector<decltype(acquire_elsewhere(pool))> many;
    for (int i = 0; i != 8; ++i) many.push_back(acquire_elsewhere(pool));
    ASSERT_TRUE(waiting(pool, 7));
    connector.gate(Hook::connect, Gate::ok);
    Leases leases;
    for (auto& one : many) leases.push_back(one.get().value());
    EXPECT_EQ(spread(leases), Counts{8});
    EXPECT_EQ(connector.calls(Hook::connect), 1u);
}

TEST_F(SharedPools, Rule1AHandlerDoesNotWaitForTheConnectOfAThreadWhereThereIsRoomForAnother) {
    connector.gate(Hook::connect, Gate::never);
    Pool pool{connector, {.size = {.connections = 2}}};
    auto thread = acquire_elsewhere(pool);
    ASSERT_TRUE(connector.await_blocked(Hook::connect, 1));
    auto handler = pool.async_acquire(boost::asio::use_future);
    EXPECT_TRUE(connector.await_blocked(Hook::connect, 2));
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(handler.get());
    EXPECT_TRUE(thread.get());
    EXPECT_TRUE(eventually([&] { return pool.stats().connecting == 0; }));
}

TEST_F(SharedPools, AFailedConnectFailsAllWhoWaitedForItAndIsNotRemembered) {
    connector.gate(Hook::connect, Gate::never);
    auto const refused = make_error_code(boost::system::errc::host_unreachable);
    connector.fail(Hook::connect, refused);
    Pool pool{connector};
    std::vector<decltype(acquire_elsewhere(pool))> many;
    for (int i = 0; i != 8; ++i) many.push_back(acquire_elsewhere(pool));
    ASSERT_TRUE(waiting(pool, 7));
    connector.gate(Hook::connect, Gate::error);
    for (auto& one : many) EXPECT_EQ(one.get().error(), refused);
    EXPECT_EQ(connector.calls(Hook::connect), 1u);
    EXPECT_EQ(pool.last_connect_failure()->error, refused);
    EXPECT_EQ(pool.stats().connect_failed, 1u);
    EXPECT_EQ(pool.stats().open, 0u);

    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(pool.try_acquire_for(generous));
    EXPECT_EQ(connector.calls(Hook::connect), 2u);
}

TEST_F(SharedPools, AnExceptionReachesAllWhoWaitedForIt) {
    connector.gate(Hook::connect, Gate::never);
    connector.fail(Hook::connect, std::make_exception_ptr(std::runtime_error{"no route"}));
    Pool pool{connector};
    std::vector<std::future<std::string>> many;
    for (int i = 0; i != 4; ++i) {
        many.push_back(std::async(std::launch::async, [&] {
            try {
                auto const lease = pool.acquire();
                return std::string{"served"};
            } catch (std::runtime_error const& error) {
                return std::string{error.what()};
            }
        }));
    }
    ASSERT_TRUE(waiting(pool, 3));
    connector.gate(Hook::connect, Gate::error);
    for (auto& one : many) EXPECT_EQ(one.get(), "no route");
}

TEST_F(SharedPools, Rule19WithBackoffThoseWhoWaitAreServedByALaterAttempt) {
    using Retrying = FakeShared<Backoff>;
    connector.pass(Hook::connect, Gate::error, 2);
    Retrying pool{connector, {.connect = {.first = 1ms, .max = 1ms}}};
    std::vector<decltype(acquire_elsewhere(pool))> many;
    for (int i = 0; i != 4; ++i) many.push_back(acquire_elsewhere(pool));
    Leases leases;
    for (auto& one : many) leases.push_back(one.get().value());
    EXPECT_EQ(spread(leases), Counts{4});
    EXPECT_EQ(connector.calls(Hook::connect), 3u);
}

TEST_F(SharedPools, Rule6AConnectThatOutlivesItsTimeFailsAllWhoWaitedForIt) {
    connector.gate(Hook::connect, Gate::never);
    Pool pool{connector, {.connect = {.timeout = 50ms}}};
    std::vector<decltype(acquire_elsewhere(pool))> many;
    EXPECT_TRUE(pool.resize(0));  // so that all are in line before the connect's time begins
    for (int i = 0; i != 4; ++i) many.push_back(wait_in_line(pool));
    EXPECT_TRUE(pool.resize(1));  // has one opened by a thread of the pool's
    for (auto& one : many) EXPECT_EQ(one.get().error(), Errc::timed_out);
    EXPECT_EQ(pool.stats().timed_out, 0u) << "that was the connect, and not their own time";
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(eventually([&] { return pool.stats().open == 0; }));
    EXPECT_TRUE(eventually([&] { return pool.try_acquire_for(generous).has_value(); }));  // the time is short for any
}

TEST_F(SharedPools, WhoHasLessTimeThanAConnectTakesFailsWithItAlone) {
    auto const calls = std::make_shared<std::atomic<int>>(0);
    auto const go_on = std::make_shared<std::atomic<bool>>(false);
    auto const connect = [calls, go_on](ConnectContext const& context) {
        if ((*calls)++ > 0) return 7;
        std::this_thread::sleep_until(context.deadline);
        EXPECT_TRUE(eventually([&] { return go_on->load(); }));
        throw boost::system::system_error{make_error_code(boost::system::errc::timed_out)};
    };
    SharedPool<int> pool{connect};
    auto hasty = std::async(std::launch::async, [&] {
        bool served = false;
        do {
            served = pool.try_acquire_for(20ms).has_value();
        } while (*calls == 0);  // his time may be up before he connects
        return served;
    });
    ASSERT_TRUE(eventually([&] { return *calls == 1; }));
    auto waiter = wait_in_line(pool);
    *go_on = true;
    EXPECT_FALSE(hasty.get());
    auto const patient = waiter.get();
    EXPECT_TRUE(patient) << patient.error().message();
}

TEST_F(SharedPools, AConnectThatOutlivesItsTimeFailsNobodyWhoCanShare) {
    auto const is_slow = std::make_shared<std::atomic<bool>>(false);
    auto const connect = [is_slow](ConnectContext const& context) {
        if (*is_slow) std::this_thread::sleep_until(context.deadline + 1ms);
        return 7;
    };
    SharedPool<int> pool{connect, {.size = {.connections = 2}, .connect = {.timeout = 20ms}}};
    Lease<int> first;
    ASSERT_TRUE(eventually([&] {  // the time is short for a fast one, too
        auto got = pool.try_acquire_for(generous);
        if (got) first = std::move(*got);
        return got.has_value();
    }));
    auto const failed = pool.stats().connect_failed;
    *is_slow = true;
    auto const other = pool.try_acquire_for(generous);
    ASSERT_TRUE(other) << other.error().message();
    EXPECT_EQ(other->get(), first.get());
    EXPECT_GT(pool.stats().connect_failed, failed);
}

TEST_F(SharedPools, Rule1OpensAsManyAsMayBeOpenAndThenSharesTheLeastLoaded) {
    Pool pool{connector, {.size = {.connections = 4}}};
    auto leases = acquire(pool, 40);
    EXPECT_EQ(spread(leases), (Counts{10, 10, 10, 10}));
    EXPECT_EQ(connector.opened(), 4u);
    auto const first = leases.front()->id();
    std::erase_if(leases, [&](auto const& lease) { return lease->id() == first; });
    for (int i = 0; i != 10; ++i) {
        leases.push_back(pool.acquire());
        EXPECT_EQ(leases.back()->id(), first);
    }
}

TEST_F(SharedPools, AboveEightTheLoadStaysEven) {
    Pool pool{connector, {.size = {.connections = 32}}};
    auto const leases = acquire(pool, 32 * 50);
    auto const counts = spread(leases);
    EXPECT_EQ(counts.size(), 32u);
    EXPECT_GE(counts.front(), 40u);
    EXPECT_LE(counts.back(), 60u);
}

TEST_F(SharedPools, WhereThereIsSomethingToShareAFailedConnectFailsNobody) {
    Pool pool{connector, {.size = {.connections = 2}}};
    auto const first = pool.acquire();
    connector.gate(Hook::connect, Gate::error);
    for (int i = 0; i != 100; ++i) EXPECT_EQ(pool.acquire()->id(), 1u);
    EXPECT_GE(connector.calls(Hook::connect), 2u);
    EXPECT_LT(connector.calls(Hook::connect), 50u) << "what keeps failing is tried ever less often";
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(eventually([&] { return pool.acquire()->id() == 2u; })) << "and is tried again";
}

TEST_F(SharedPools, Rule7TryAcquireSharesWhatIsInUseAndHasAnotherOpened) {
    Pool pool{connector, {.size = {.connections = 2}}};
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
    ASSERT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    auto const one = pool.try_acquire().value();
    auto const other = pool.try_acquire().value();
    EXPECT_EQ(one->id(), other->id());
    ASSERT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    EXPECT_NE(pool.try_acquire().value()->id(), one->id());
}

TEST_F(SharedPools, Rule5WithItsTimePastAnAcquireStillSharesWhatIsInUse) {
    Pool pool{connector, {.size = {.connections = 2}}};
    EXPECT_EQ(pool.try_acquire_for(-1s).error(), Errc::timed_out);
    auto const lease = pool.acquire();
    EXPECT_EQ(pool.try_acquire_for(-1s).value()->id(), lease->id());
}

TEST_F(SharedPools, Rule20WarmUpOpensThemAll) {
    Pool pool{connector, {.size = {.connections = 3}}};
    EXPECT_EQ(pool.warm_up(5), 3u);
    EXPECT_EQ(spread(acquire(pool, 6)), (Counts{2, 2, 2}));
}

// ---- Streams -----------------------------------------------------------------------------------------------------------

TEST_F(SharedPools, NoMoreThanStreamsShareOneAndTheNextIsExhausted) {
    Pool pool{connector, {.size = {.connections = 2, .streams = 3}}};
    auto const leases = acquire(pool, 6);
    EXPECT_EQ(spread(leases), (Counts{3, 3}));
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
    wait_in_vain(pool, 1ms);
    EXPECT_EQ(pool.stats().waited, 1u);
}

TEST_F(SharedPools, Rule9AShareThatComesBackIsGivenToTheLongestWaiter) {
    Pool pool{connector, {.size = {.streams = 2}}};
    auto leases = acquire(pool, 2);
    auto first = wait_in_line(pool);
    auto second = wait_in_line(pool);
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
    leases.pop_back();
    auto const lease = first.get().value();
    EXPECT_EQ(pool.stats().waiting, 1u);
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted) << "newcomers do not overtake";
    leases.pop_back();
    EXPECT_TRUE(second.get());
    EXPECT_EQ(connector.opened(), 1u);
}

TEST_F(SharedPools, ANewConnectionServesAsManyAsFit) {
    connector.gate(Hook::connect, Gate::never);
    Pool pool{connector, {.size = {.streams = 3}}};
    std::vector<decltype(acquire_elsewhere(pool))> many;
    many.push_back(acquire_elsewhere(pool));
    ASSERT_TRUE(connector.await_blocked(Hook::connect, 1));
    for (int i = 0; i != 4; ++i) many.push_back(wait_in_line(pool));
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_TRUE(waiting(pool, 2));
    std::size_t served = 0;
    for (auto& one : many) served += one.get() ? 1 : 0;  // whose lease ends here, and serves the next
    EXPECT_EQ(served, 5u);
    EXPECT_EQ(connector.opened(), 1u);
}

TEST_F(SharedPools, Rule8MaxWaitersIsKept) {
    Pool pool{connector, {.size = {.streams = 1, .max_waiters = 1}}};
    auto const lease = pool.acquire();
    wait_in_vain(pool, 1ms);
    auto next = wait_in_line(pool, 10s);
    EXPECT_EQ(pool.try_acquire_for(10s).error(), Errc::too_many_waiters);
    pool.close(0ms);
    EXPECT_EQ(next.get().error(), Errc::closed);
}

/// Opens connections whose `Streams` the test keeps, by number from 1.
struct Peers {
    struct State {
        std::mutex mutex;
        std::map<int, Streams> streams;
        std::map<int, Evictor> evictors;
        std::vector<int> closed;
        std::optional<std::size_t> limit_at_once;
        bool drain_at_once = false;
    };
    std::shared_ptr<State> state = std::make_shared<State>();

    int connect(ConnectContext const& context) {
        std::lock_guard const lock{state->mutex};
        int const number = static_cast<int>(state->streams.size()) + 1;
        state->streams[number] = context.streams;
        state->evictors[number] = context.evictor;
        if (state->limit_at_once) context.streams.limit(*state->limit_at_once);
        if (state->drain_at_once) context.streams.drain();
        return number;
    }
    void close(int number) {
        std::lock_guard const lock{state->mutex};
        state->closed.push_back(number);
    }

    Streams streams(int number) const {
        std::lock_guard const lock{state->mutex};
        return state->streams.at(number);
    }
    void evict(int number) const {
        std::unique_lock lock{state->mutex};
        Evictor const evictor = state->evictors.at(number);
        lock.unlock();
        evictor.evict();
    }
    std::vector<int> closed() const {
        std::lock_guard const lock{state->mutex};
        return state->closed;
    }
};

/// Whether something of an older generation is to come back, for which everybody goes the slow way.
template <class Pool>
bool looks_out_for_outdated(Pool const& pool) {
    std::ostringstream report;
    pool.dump(report);
    return report.str().find("older generation") != std::string::npos;
}

using Numbers = std::vector<int>;
using PeerPool = SharedPool<int, Multiplex>;

TEST(SharedPoolStreams, ALowerLimitHoldsFromTheNextShareOn) {
    Peers peers;
    PeerPool pool{peers};
    auto one = pool.acquire();
    auto other = pool.acquire();
    auto third = pool.acquire();
    peers.streams(1).limit(2);
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
    third.release();
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
    other.release();
    EXPECT_TRUE(pool.try_acquire());
    peers.streams(1).limit(0);
    one.release();
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted) << "paused by its peer";
    EXPECT_EQ(pool.stats().open, 1u);
}

TEST(SharedPoolStreams, AHigherLimitServesThoseWhoWait) {
    Peers peers;
    SharedPool<int, KeepIdle> pool{peers, {.size = {.streams = 1}}};
    auto const lease = pool.acquire();
    auto first = wait_in_line(pool);
    auto second = wait_in_line(pool);
    auto third = wait_in_line(pool);
    peers.streams(1).limit(3);
    EXPECT_TRUE(waiting(pool, 1));
    auto const one = first.get();
    auto const other = second.get();
    EXPECT_TRUE(one && other);
    peers.streams(1).limit(4);
    EXPECT_TRUE(third.get());
}

TEST(SharedPoolStreams, AConnectorMaySayHowManyAsItConnects) {
    Peers peers;
    peers.state->limit_at_once = 2;
    PeerPool pool{peers};
    auto const one = pool.acquire();
    auto const other = pool.acquire();
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
}

TEST(SharedPoolStreams, OneThatIsPausedAsItConnectsIsNotLentUntilItMay) {
    Peers peers;
    peers.state->limit_at_once = 0;
    SharedPool<int, KeepIdle> pool{peers};
    auto one = acquire_elsewhere(pool);
    ASSERT_TRUE(waiting(pool, 1));
    EXPECT_EQ(pool.stats().idle, 1u);
    peers.streams(1).limit(1);
    EXPECT_EQ(*one.get().value(), 1);
}

TEST(SharedPoolStreams, OneThatIsPausedAsItConnectsIsOpenedForWhoeverHasNothingToShare) {
    Peers peers;
    SharedPool<int, KeepIdle> pool{peers, {.size = {.connections = 2}}};
    auto const first = pool.acquire();
    peers.state->limit_at_once = 0;
    auto const other = pool.try_acquire_for(generous);
    ASSERT_TRUE(other);
    EXPECT_EQ(**other, 1) << "who opened it shares the other";
    EXPECT_EQ(pool.stats().open, 2u);
}

TEST(SharedPoolStreams, OneThatIsPausedAsItConnectsForAHandlerIsNotHisEither) {
    Peers peers;
    SharedPool<int, KeepIdle> pool{peers, {.size = {.connections = 2}}};
    auto const first = pool.acquire();
    peers.state->limit_at_once = 0;
    auto const other = pool.async_acquire_for(generous, boost::asio::use_future).get();
    EXPECT_EQ(*other, 1);
    EXPECT_EQ(pool.stats().open, 2u);
}

TEST(SharedPoolStreams, Rule11OneThatIsPausedAsItConnectsKeepsItsHandlerFromNoOther) {
    auto const connect = [calls = std::make_shared<std::atomic<int>>(0)](ConnectContext const& context) {
        int const number = ++*calls;
        if (number == 1) context.streams.limit(0);
        return number;
    };
    SharedPool<int, KeepIdle> pool{connect, {.size = {.connections = 2}}};
    EXPECT_EQ(*pool.async_acquire_for(generous, boost::asio::use_future).get(), 2);
}

TEST(SharedPoolStreams, OneThatDrainsAsItConnectsIsForOneAlone) {
    Peers peers;
    peers.state->drain_at_once = true;
    PeerPool pool{peers};
    auto one = pool.acquire();
    peers.state->drain_at_once = false;
    EXPECT_EQ(*one, 1);
    auto const other = pool.acquire();
    EXPECT_EQ(*other, 2);
    one.release();
    EXPECT_EQ(peers.closed(), Numbers{1});
    EXPECT_EQ(pool.stats().closed_stale, 1u);
    EXPECT_EQ(*pool.acquire(), 2) << "the way of the others is open again";
    EXPECT_FALSE(looks_out_for_outdated(pool));
}

TEST(SharedPoolStreams, OneThatDrainsAsItConnectsForNobodyGoes) {
    Peers peers;
    peers.state->drain_at_once = true;
    PeerPool pool{peers};
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_stale == 1; }));
    EXPECT_EQ(peers.closed(), Numbers{1});
}

TEST(SharedPoolStreams, OneThatDrainsAndIsPausedAsItConnectsIsNotKeptForThoseWhoWait) {
    auto const connect = [calls = std::make_shared<std::atomic<int>>(0)](ConnectContext const& context) {
        int const number = ++*calls;
        if (number > 1) return number;
        context.streams.limit(0);
        context.streams.drain();
        return number;
    };
    SharedPool<int, KeepIdle> pool{connect};
    auto handler = pool.async_acquire_for(generous, boost::asio::use_future);
    EXPECT_EQ(*handler.get(), 2);
    EXPECT_EQ(pool.stats().closed_stale, 1u);
}

TEST(SharedPoolStreams, OneThatIsPausedAsItConnectsIsNotOpenedAgainAndAgain) {
    Peers peers;
    peers.state->limit_at_once = 0;
    SharedPool<int, DropIdle> pool{peers};
    auto one = acquire_elsewhere(pool);
    EXPECT_TRUE(waiting(pool, 1));
    EXPECT_EQ(pool.stats().connected, 1u);
    peers.streams(1).limit(1);
    EXPECT_EQ(*one.get().value(), 1);
}

TEST(SharedPoolStreams, ALowerLimitHoldsAlsoForThoseWhoWait) {
    Peers peers;
    SharedPool<int, KeepIdle> pool{peers, {.size = {.streams = 2}}};
    auto one = pool.acquire();
    auto other = pool.acquire();
    auto waiter = wait_in_line(pool);
    peers.streams(1).limit(1);
    one.release();
    EXPECT_EQ(pool.stats().waiting, 1u) << "the other still uses all that may be used";
    other.release();
    EXPECT_TRUE(waiter.get());
}

TEST(SharedPoolStreams, Rule38APoolOfWhichAllArePausedEnds) {
    Peers peers;
    SharedPool<int, KeepIdle> pool{peers, {.size = {.connections = 2}}};
    auto used = pool.acquire();
    auto const idle = pool.acquire();
    for (int const number : {1, 2}) peers.streams(number).limit(0);
    auto waiter = wait_in_line(pool);
    used.release();
    EXPECT_FALSE(pool.close(0ms));
    EXPECT_EQ(waiter.get().error(), Errc::closed);
    EXPECT_TRUE(eventually([&] { return peers.closed() == Numbers{1}; }));
}

TEST(SharedPoolStreams, Rule11OneThatIsPausedKeepsNobodyFromOpeningAnother) {
    Peers peers;
    SharedPool<int, KeepIdle> pool{peers, {.size = {.connections = 2, .streams = 1}}};
    auto paused = pool.acquire();
    auto other = pool.acquire();
    peers.streams(1).limit(0);
    paused.release();
    auto waiter = wait_in_line(pool);
    other.discard();
    EXPECT_EQ(*waiter.get().value(), 3);
}

TEST(SharedPoolStreams, OneThatDrainsIsReplacedAtOnceAndClosedWithItsLastShare) {
    Peers peers;
    PeerPool pool{peers};
    auto one = pool.acquire();
    auto other = pool.acquire();
    peers.streams(1).drain();
    peers.streams(1).drain();
    auto next = pool.acquire();
    EXPECT_EQ(*next, 2);
    auto stats = pool.stats();
    EXPECT_EQ(stats.open, 2u);
    EXPECT_EQ(stats.leased, 2u);
    one.release();
    EXPECT_EQ(*pool.acquire(), 2);
    EXPECT_EQ(peers.closed(), Numbers{});
    other.release();
    EXPECT_EQ(peers.closed(), Numbers{1});
    stats = pool.stats();
    EXPECT_EQ(stats.closed_stale, 1u);
    EXPECT_EQ(stats.open, 1u);
    peers.streams(1).drain();
    peers.streams(1).limit(0);
    EXPECT_EQ(*pool.acquire(), 2) << "what has gone says nothing about what is open now";
}

TEST(SharedPoolStreams, ADrainServesThoseWhoWaitWithANewOne) {
    Peers peers;
    SharedPool<int, KeepIdle> pool{peers, {.size = {.streams = 1}}};
    auto const lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    peers.streams(1).drain();
    EXPECT_EQ(*waiter.get().value(), 2);
}

TEST(SharedPoolStreams, AnIdleOneThatDrainsIsClosedAndAnEvictedOneInUseDrains) {
    Peers peers;
    PeerPool pool{peers};
    pool.acquire().release();
    peers.streams(1).drain();
    EXPECT_TRUE(eventually([&] { return peers.closed() == Numbers{1}; }));
    auto lease = pool.acquire();
    peers.evict(2);
    EXPECT_EQ(*pool.acquire(), 3);
    lease.release();
    EXPECT_EQ(peers.closed(), (Numbers{1, 2}));
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
}

/// A clock that a test can have its say in when it is read next: an acquirer reads it when he has a share, and before he
/// looks closer at one that may be over its time.
struct Interrupted {
    using policy_slot = slot::Clock;
    static constexpr bool is_cheap = true;
    static inline std::function<void()> next;

    static ManualClock::time_point now() {
        if (auto const say = std::exchange(next, nullptr)) say();
        return ManualClock::now();
    }
};

TEST(SharedPoolStreams, OneThatDrainsAsItIsTakenIsLentToNobodyElseAndClosedWithItsLastShare) {
    Peers peers;
    SharedPool<int, Interrupted> pool{peers, {.idle = {.ttl = 10s}}};
    pool.acquire().release();
    ManualClock::advance(10s);
    Interrupted::next = [&] { peers.streams(1).drain(); };
    auto one = pool.acquire();
    EXPECT_EQ(*one, 1);
    EXPECT_EQ(*pool.acquire(), 2);
    one.release();
    EXPECT_EQ(peers.closed(), Numbers{1});
    EXPECT_EQ(pool.stats().open, 1u);
}

TEST(SharedPoolStreams, MeanNothingOnceTheConnectHasFailed) {
    Streams failed;
    auto const connect = [&](ConnectContext const& context) -> int {
        failed = context.streams;
        throw std::runtime_error{"refused"};
    };
    SharedPool<int> pool{connect};
    EXPECT_THROW((void)pool.acquire(), std::runtime_error);
    failed.drain();
    EXPECT_FALSE(looks_out_for_outdated(pool));
}

TEST(SharedPoolStreams, OutliveTheirPoolAndMeanNothingInOthers) {
    Peers peers;
    { PeerPool{peers}.acquire().release(); }
    peers.streams(1).limit(7);
    peers.streams(1).drain();
    Streams{}.drain();
    Pool<int> exclusive{peers};
    auto const lease = exclusive.acquire();
    peers.streams(2).limit(0);
    peers.streams(2).drain();
    EXPECT_EQ(exclusive.stats().leased, 1u);
}

// ---- What goes ---------------------------------------------------------------------------------------------------------

TEST_F(SharedPools, ADeadOneIsReplacedAtTheNextAcquireAndClosedWithItsLastShare) {
    Pool pool{connector};
    auto leases = acquire(pool, 3);
    leases[1].discard();
    EXPECT_EQ(connector.closed(), 0u);
    EXPECT_EQ(connector.opened(), 1u) << "nobody has asked yet";
    auto const next = pool.acquire();
    EXPECT_EQ(next->id(), 2u);
    leases[0].release();
    EXPECT_EQ(connector.closed(), 0u);
    EXPECT_EQ(leases[2]->id(), 1u);
    leases[2].discard();
    EXPECT_EQ(connector.closed(), 1u);
    EXPECT_EQ(pool.stats().closed_discarded, 1u);
    EXPECT_EQ(pool.acquire()->id(), 2u);
}

// rule 11: at once. Nothing ages here, so no round comes by that would find them waiting.
TEST_F(SharedPools, ADeadOneServesThoseWhoWaitWithItsReplacement) {
    FakeShared<KeepIdle> pool{connector, {.size = {.streams = 2}}};
    auto leases = acquire(pool, 2);
    auto first = wait_in_line(pool);
    auto second = wait_in_line(pool);
    leases[0].discard();
    EXPECT_EQ(first.get().value()->id(), 2u);
    EXPECT_EQ(second.get().value()->id(), 2u);
    EXPECT_EQ(leases[1]->id(), 1u);
}

TEST_F(SharedPools, OneThatRecycleFindsUnfitDrains) {
    Pool pool{connector};
    auto leases = acquire(pool, 2);
    leases[0]->spoil();
    leases.pop_back();
    EXPECT_EQ(pool.acquire()->id(), 2u);
    EXPECT_EQ(connector.closed(), 0u);
    leases.pop_back();
    EXPECT_EQ(connector.closed(), 1u);
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
}

TEST_F(SharedPools, Rule35RefreshDrainsWhatIsInUseAndHighNeverDips) {
    Pool pool{connector, {.size = {.connections = 2}}};
    auto used = acquire(pool, 1);
    {
        auto const idle = pool.acquire();
        ASSERT_EQ(idle->id(), 2u);
    }
    pool.refresh();
    EXPECT_EQ(connector.close_order(), (std::vector<std::uint64_t>{2}));
    EXPECT_EQ(connector.opened(), 2u) << "nothing is opened without demand";
    auto fresh = acquire(pool, 4);
    EXPECT_EQ(spread(fresh), (Counts{2, 2}));
    used.clear();
    EXPECT_EQ(connector.closed(), 2u);
    EXPECT_EQ(pool.stats().closed_stale, 2u);
    fresh.clear();
    EXPECT_EQ(pool.stats().idle, 2u);
}

TEST_F(SharedPools, Rule36ASmallerBoundDrainsTheLeastUsed) {
    Pool pool{connector, {.size = {.connections = 3}}};
    auto leases = acquire(pool, 6);
    leases.push_back(pool.acquire());  // one has three
    EXPECT_FALSE(pool.resize(1));
    auto const next = pool.acquire();
    EXPECT_EQ(next->id(), leases.back()->id());
    EXPECT_EQ(pool.stats().open, 3u);
    std::erase_if(leases, [&](auto const& lease) { return lease->id() != next->id(); });
    EXPECT_EQ(pool.stats().open, 1u);
    EXPECT_EQ(pool.stats().closed_excess, 2u);
    EXPECT_TRUE(pool.resize(3));
    EXPECT_EQ(spread(acquire(pool, 2)), (Counts{1, 1})) << "what is idle first, then one is opened";
}

TEST_F(SharedPools, Rule37ResizeToNothingPauses) {
    Pool pool{connector};
    auto lease = pool.acquire();
    EXPECT_FALSE(pool.resize(0));
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
    auto waiter = wait_in_line(pool);
    lease.release();
    EXPECT_EQ(connector.closed(), 1u);
    EXPECT_EQ(pool.stats().waiting, 1u);
    EXPECT_TRUE(pool.resize(1));
    EXPECT_EQ(waiter.get().value()->id(), 2u);
}

TEST_F(SharedPools, Rule28OneInUseNeverExpiresAndAnIdleOneDoes) {
    using Ageing = FakeShared<ManualClock>;
    Ageing pool{connector, {.idle = {.ttl = 10s}}};
    auto held = pool.acquire();
    for (int i = 0; i != 5; ++i) {
        ManualClock::advance(9s);
        EXPECT_EQ(pool.acquire()->id(), 1u);
        pool.sweep();
    }
    ManualClock::advance(1h);
    pool.sweep();
    EXPECT_EQ(pool.acquire()->id(), 1u) << "somebody holds it";
    held.release();
    ManualClock::advance(10s - 1ns);
    EXPECT_EQ(pool.acquire()->id(), 1u);
    ManualClock::advance(10s);
    EXPECT_EQ(pool.acquire()->id(), 2u) << "an expired one is not lent, though no sweep came";
    ManualClock::advance(10s);
    pool.sweep();
    EXPECT_EQ(pool.stats().open, 0u);
    EXPECT_EQ(pool.stats().closed_idle, 2u);
}

TEST_F(SharedPools, Rule27DropIdleClosesWithTheLastShare) {
    FakeShared<DropIdle> pool{connector};
    auto leases = acquire(pool, 2);
    leases.pop_back();
    EXPECT_EQ(connector.closed(), 0u);
    EXPECT_EQ(pool.acquire()->id(), 1u);
    leases.pop_back();
    EXPECT_EQ(connector.closed(), 1u);
    EXPECT_EQ(pool.stats().closed_idle, 1u);
}

TEST_F(SharedPools, Rule31OneOverItsAgeDrains) {
    using Ageing = FakeShared<ManualClock, Upkeep>;
    Ageing pool{connector, {.upkeep = {.max_age = 60s, .age_jitter = 0}}};
    auto lease = pool.acquire();
    ManualClock::advance(60s - 1ns);
    EXPECT_EQ(pool.acquire()->id(), 1u);
    ManualClock::advance(1ns);
    EXPECT_EQ(pool.acquire()->id(), 2u);
    EXPECT_EQ(connector.closed(), 0u);
    lease.release();
    EXPECT_EQ(pool.stats().closed_age, 1u);
}

TEST_F(SharedPools, Rule8OneOverItsAgeMakesRoomForWhoMayNotWait) {
    using Ageing = FakeShared<ManualClock, Upkeep, DropIdle>;  // without idle ones everybody takes the slow way
    Ageing pool{connector, {.size = {.max_waiters = 0}, .upkeep = {.max_age = 60s, .age_jitter = 0}}};
    auto const lease = pool.acquire();
    ManualClock::advance(60s);
    auto const other = pool.try_acquire_for(generous);
    ASSERT_TRUE(other) << other.error().message();
    EXPECT_EQ((*other)->id(), 2u);
}

TEST_F(SharedPools, OneIsSharedNoMoreThanMaxUsesTimes) {
    FakeShared<Upkeep> pool{connector, {.upkeep = {.max_uses = 3}}};
    auto leases = acquire(pool, 7);
    EXPECT_EQ(spread(leases), (Counts{1, 3, 3}));
    leases.clear();
    EXPECT_EQ(pool.stats().closed_age, 2u);
    EXPECT_EQ(pool.stats().acquired, 7u);
}

TEST_F(SharedPools, Rule24ShareReturnsFromAnywhereAlsoWhenThePoolHasGone) {
    auto pool = std::make_unique<Pool>(connector);
    auto leases = acquire(*pool, 3);
    pool.reset();
    EXPECT_EQ(connector.closed(), 0u);
    leases.pop_back();
    std::async(std::launch::async, [&] { leases.pop_back(); }).get();
    EXPECT_EQ(connector.closed(), 0u);
    leases[0].release();
    EXPECT_EQ(connector.closed(), 1u);
}

TEST_F(SharedPools, Rule38CloseEndsWithTheLastShare) {
    Pool pool{connector};
    auto leases = acquire(pool, 2);
    EXPECT_FALSE(pool.close(0ms));
    EXPECT_THROW((void)pool.acquire(), boost::system::system_error);
    leases.pop_back();
    EXPECT_EQ(pool.stats().open, 1u);
    auto closing = std::async(std::launch::async, [&] { return pool.close(generous); });
    leases.pop_back();
    EXPECT_TRUE(closing.get());
    EXPECT_EQ(pool.stats().closed_drained, 1u);
}

TEST_F(SharedPools, Rule38WhoWaitsForAConnectThatFailsAsThePoolClosesIsToldOfTheClose) {
    connector.gate(Hook::connect, Gate::never);
    Pool pool{connector};
    auto opening = acquire_elsewhere(pool);
    ASSERT_TRUE(connector.await_blocked(Hook::connect, 1));
    auto waiter = wait_in_line(pool);
    std::stop_callback const fail_now{pool.lifetime().stop_token(), [&] {
                                          connector.gate(Hook::connect, Gate::error);
                                          EXPECT_TRUE(eventually([&] { return pool.stats().connect_failed == 1; }));
                                      }};
    EXPECT_TRUE(pool.close(generous));
    EXPECT_EQ(opening.get().error(), Errc::closed);
    EXPECT_EQ(waiter.get().error(), Errc::closed);
}

TEST_F(SharedPools, AShareCannotBeDetached) {
    Pool pool{connector};
    auto leases = acquire(pool, 2);
    EXPECT_THROW((void)leases[0].detach(), std::logic_error);
    EXPECT_EQ(leases[0]->id(), 1u);
    leases.clear();
    EXPECT_EQ(pool.stats().idle, 1u);
}

/// A connector whose check can be told what to say, and waits at its gate.
struct Checked {
    struct State {
        std::atomic<bool> fit{true};
        std::atomic<int> checks{0};
        std::atomic<int> opened{0};
        std::atomic<bool> held{false};
    };
    std::shared_ptr<State> state = std::make_shared<State>();

    int connect() { return ++state->opened; }
    bool check(int) {
        ++state->checks;
        bool const let_go = !state->held || eventually([&] { return !state->held; });
        EXPECT_TRUE(let_go);
        return state->fit;
    }
};

using CheckedPool = SharedPool<int, ManualClock, Upkeep>;

TEST(SharedPoolChecks, Rule32OneThatLayIdleIsCheckedBeforeAnybodyGetsIt) {
    Checked connector;
    CheckedPool pool{connector, {.idle = {.ttl = 1h}, .upkeep = {.check_after_idle = 10s}}};
    pool.acquire().release();
    ManualClock::advance(10s);
    connector.state->held = true;
    auto first = acquire_elsewhere(pool);
    ASSERT_TRUE(eventually([&] { return connector.state->checks == 1; }));
    auto second = wait_in_line(pool);
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted) << "it is being checked";
    connector.state->held = false;
    auto const one = first.get();
    auto const other = second.get();
    EXPECT_EQ(**one, 1);
    EXPECT_EQ(**other, 1);
    ManualClock::advance(1h);
    EXPECT_EQ(*pool.acquire(), 1);
    EXPECT_EQ(connector.state->checks, 1) << "one in use is not idle";
}

TEST(SharedPoolChecks, Rule32OneThatIsUnfitIsReplacedForAllWhoWait) {
    Checked connector;
    CheckedPool pool{connector, {.idle = {.ttl = 1h}, .upkeep = {.check_after_idle = 10s}}};
    pool.acquire().release();
    ManualClock::advance(10s);
    connector.state->held = true;
    connector.state->fit = false;
    auto first = acquire_elsewhere(pool);
    ASSERT_TRUE(eventually([&] { return connector.state->checks == 1; }));
    auto second = wait_in_line(pool);
    connector.state->held = false;
    EXPECT_EQ(*first.get().value(), 2);
    EXPECT_EQ(*second.get().value(), 2);
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
}

TEST(SharedPoolObserver, IsToldOfSharesAndOfConnections) {
    struct Told {
        std::atomic<int> connected{0}, acquired{0}, released{0}, closed{0};
    };
    struct Observer {
        using policy_slot = slot::Observer;
        using duration = std::chrono::steady_clock::duration;
        Told* counts = nullptr;
        void connected(duration) noexcept { ++counts->connected; }
        void connect_failed(boost::system::error_code) noexcept {}
        void acquired(duration) noexcept { ++counts->acquired; }
        void released(duration) noexcept { ++counts->released; }
        void closed(Cause) noexcept { ++counts->closed; }
        void timed_out() noexcept {}
        void rejected() noexcept {}
        void overdue(std::uint64_t, duration) noexcept {}
        void returned_overdue(std::uint64_t, duration) noexcept {}
    };
    Told counts;
    {
        SharedPool<int, Observer> pool{[] { return 1; }, {.observer = {&counts}}};
        auto const one = pool.acquire();
        auto const other = pool.acquire();
    }
    EXPECT_EQ(counts.connected, 1);
    EXPECT_EQ(counts.acquired, 2);
    EXPECT_EQ(counts.released, 2);
    EXPECT_EQ(counts.closed, 1);
}

TEST(SharedPoolOptions, BadOnesAreRefusedByName) {
    expect_refused<FakeShared<>>({.size = {.connections = 0}}, "Multiplex::connections");
    expect_refused<FakeShared<>>({.size = {.streams = 0}}, "Multiplex::streams");
    expect_refused<FakeShared<>>({.wait = {.patience = 1ms}}, "Fifo::patience");
    expect_refused<FakeShared<Upkeep>>({.upkeep = {.overdue_after = 1s}}, "Upkeep::overdue_after");
    expect_accepted<FakeShared<Codel, DropIdle, Backoff, DiscardOnDrop>>({});
    expect_accepted<FakeShared<Watermark>>({.size = {.high = 2}});
}

}  // namespace
}  // namespace weir::test
