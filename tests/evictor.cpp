// Resources that are known to be past use before anybody asks for them.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <weir/connector.hpp>
#include <weir/pool.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/coroutine.hpp"
#include "support/eventually.hpp"

namespace {

namespace asio = boost::asio;
using weir::Evictor;
using weir::test::eventually;

/// Opens numbers, and keeps what it is given to say that they are past use.
struct Peer {
    struct State {
        std::mutex mutex;
        std::vector<Evictor> evictors;
        std::vector<int> closed;
        std::vector<std::thread::id> closed_on;
    };
    std::shared_ptr<State> state = std::make_shared<State>();

    int connect(weir::ConnectContext const& context) const {
        std::lock_guard const lock{state->mutex};
        state->evictors.push_back(context.evictor);
        return static_cast<int>(state->evictors.size()) - 1;
    }
    void close(int number) const {
        std::lock_guard const lock{state->mutex};
        state->closed.push_back(number);
        state->closed_on.push_back(std::this_thread::get_id());
    }

    void hang_up(int number) const { state->evictors.at(static_cast<std::size_t>(number)).evict(); }
    std::vector<int> closed() const {
        std::lock_guard const lock{state->mutex};
        return state->closed;
    }
};

template <class Pool>
class EvictorIn : public testing::Test {};
using Pools = testing::Types<weir::Pool<int>, weir::Pool<int, weir::Upkeep>, weir::Pool<int, weir::TaggedStack>,
                             weir::Pool<int, weir::LockedQueue>, weir::Pool<int, weir::SettingBuckets<int>>>;
TYPED_TEST_SUITE(EvictorIn, Pools);

TYPED_TEST(EvictorIn, ClosesAnIdleResourceAndNoOther) {
    Peer peer;
    TypeParam pool{peer};
    {
        auto a = pool.acquire();
        auto b = pool.acquire();
        auto c = pool.acquire();
    }
    peer.hang_up(1);
    EXPECT_TRUE(eventually([&] { return peer.closed() == std::vector<int>{1}; }));
    EXPECT_NE(peer.state->closed_on.front(), std::this_thread::get_id());
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_unhealthy == 1; }));
    EXPECT_EQ(pool.stats().idle, 2u);
    auto leases = pool.acquire_idle();
    for (auto const& lease : leases) EXPECT_NE(*lease, 1);
    peer.hang_up(1);
    EXPECT_EQ(pool.stats().open, 2u);
}

TYPED_TEST(EvictorIn, LeavesALentResourceToItsHolder) {
    Peer peer;
    TypeParam pool{peer};
    auto lease = pool.acquire();
    peer.hang_up(0);
    EXPECT_EQ(pool.stats().leased, 1u);
    EXPECT_TRUE(peer.closed().empty());
    EXPECT_EQ(*lease, 0);
}

TEST(Evictor, WithUpkeepALentResourceIsClosedAtItsReturn) {
    Peer peer;
    weir::Pool<int, weir::Upkeep> pool{peer};
    auto lease = pool.acquire();
    peer.hang_up(0);
    lease.release();
    EXPECT_EQ(peer.closed(), std::vector<int>{0});
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    EXPECT_EQ(*pool.acquire(), 1);
}

/// Opens what is past use before anybody has it.
int connect_in_vain(weir::ConnectContext const& context) {
    context.evictor.evict();
    return 0;
}

TEST(Evictor, WithUpkeepOneThatIsEvictedAsItConnectsIsLentOnceAtMost) {
    weir::Pool<int, weir::Upkeep> pool{connect_in_vain, {.upkeep = {.max_age = std::chrono::hours{1}}}};
    pool.acquire().release();
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    EXPECT_EQ(pool.try_acquire().error(), weir::Errc::exhausted);  // has one opened for nobody
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_unhealthy == 2; }));
    EXPECT_EQ(pool.stats().acquired, 1u);
}

TEST(Evictor, OfAResourceThatHasGoneDoesNothingToTheNextInItsPlace) {
    Peer peer;
    weir::Pool<int, weir::Upkeep> pool{peer, {.size = {.high = 1}}};
    pool.acquire().discard();
    {
        auto lease = pool.acquire();
        EXPECT_EQ(*lease, 1);
        peer.hang_up(0);
    }
    peer.hang_up(0);
    EXPECT_EQ(pool.stats().idle, 1u);
    EXPECT_EQ(*pool.acquire(), 1);
}

TEST(Evictor, OutlivesItsPool) {
    Peer peer;
    {
        weir::Pool<int> pool{peer};
        auto lease = pool.acquire();
    }
    peer.hang_up(0);
    Evictor{}.evict();
    EXPECT_EQ(peer.closed(), std::vector<int>{0});
}

TEST(Evictor, BringsUpWhatFallsShortOfLow) {
    Peer peer;
    weir::Pool<int> pool{peer, {.size = {.low = 1, .eager = true}}};
    ASSERT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
    peer.hang_up(0);
    EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1 && pool.stats().connected == 2; }));
}

TYPED_TEST(EvictorIn, FindsWhatLiesBelowThoseThatComeAndGo) {
    for (int round = 0; round != 300; ++round) {
        Peer peer;
        TypeParam pool{peer, {.size = {.high = 8}}};
        std::vector<weir::Lease<int>> leases;
        for (int i = 0; i != 4; ++i) leases.push_back(pool.acquire());
        for (auto& lease : leases) lease.release();
        std::atomic<bool> has_begun = false;
        std::atomic<bool> done = false;
        std::atomic<bool> is_lent = false;
        std::thread user{[&] {
            for (; !done; has_begun = true) {
                auto a = pool.try_acquire();
                auto b = pool.try_acquire();
                for (auto* each : {&a, &b}) {
                    if (!*each) continue;
                    if (***each == 0) is_lent = true;  // where the oldest is not the last to be lent
                    (*each)->release();
                }
            }
        }};
        while (!has_begun) std::this_thread::yield();
        peer.hang_up(0);
        done = true;
        user.join();
        ASSERT_TRUE(is_lent || eventually([&] { return pool.stats().closed_unhealthy == 1; })) << "in round " << round;
    }
}

TEST(Evictor, RacesWithEverybodyAndLosesNothing) {
    constexpr int rounds = 2000;
    Peer peer;
    weir::Pool<int, weir::Upkeep> pool{peer, {.size = {.high = 4}}};
    std::atomic<bool> done = false;
    std::thread killer{[&] {
        for (std::size_t next = 0; !done;) {
            Evictor evictor;
            {
                std::lock_guard const lock{peer.state->mutex};
                if (next == peer.state->evictors.size()) continue;
                evictor = peer.state->evictors[next++];
            }
            evictor.evict();
        }
    }};
    std::vector<std::thread> users;
    for (int i = 0; i != 3; ++i)
        users.emplace_back([&] {
            for (int round = 0; round != rounds; ++round) pool.acquire().release();
        });
    for (auto& each : users) each.join();
    done = true;
    killer.join();
    EXPECT_TRUE(pool.close());
    auto const stats = pool.stats();
    EXPECT_EQ(stats.open, 0u);
    EXPECT_EQ(stats.connected, peer.closed().size());
}

// ---- What a close waits for --------------------------------------------------------------------------------------------

/// Holds whoever hands it work at a gate, once that is in the context's queue.
struct LingeringExecutor {
    struct Gate {
        std::atomic<bool> entered = false;
        std::atomic<bool> open = false;
    };

    asio::io_context* io;
    std::atomic<std::thread::id> const* who;
    Gate* gate;

    asio::execution_context& query(asio::execution::context_t) const noexcept { return *io; }
    static constexpr asio::execution::blocking_t query(asio::execution::blocking_t) noexcept {
        return asio::execution::blocking.never;
    }
    LingeringExecutor require(asio::execution::blocking_t::never_t) const noexcept { return *this; }
    template <class Function>
    void execute(Function function) const {
        bool const lingers = std::this_thread::get_id() == who->load();
        asio::post(*io, std::move(function));
        if (!lingers) return;
        gate->entered = true;
        while (!gate->open) std::this_thread::yield();
    }
    bool operator==(LingeringExecutor const&) const noexcept = default;
};

struct AwaitablyClosed : Peer {
    asio::awaitable<void> close(int number) const {
        Peer::close(number);
        co_return;
    }
};

// Rule 38.
TEST(Evictor, HoldsBackTheEndOfACloseUntilItIsDoneWithTheExecutor) {
    asio::io_context io;
    LingeringExecutor::Gate gate;
    std::atomic<std::thread::id> killers;
    AwaitablyClosed peer;
    weir::Pool<int> pool{LingeringExecutor{&io, &killers, &gate}, peer};
    asio_test::Runner const running{io};
    pool.acquire().release();
    std::thread killer{[&] {
        killers = std::this_thread::get_id();
        peer.hang_up(0);
    }};
    ASSERT_TRUE(eventually([&] { return gate.entered && pool.stats().open == 0; }));
    EXPECT_FALSE(pool.close(std::chrono::milliseconds{50}));
    gate.open = true;
    EXPECT_TRUE(pool.close());
    killer.join();
}

}  // namespace
