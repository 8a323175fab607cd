// The lifetime token: what it tells, and what holding one does to a close.
// rule 38, rule 40 (for what a token says), rule 43 (after the pool)

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <weir/lifetime.hpp>

#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <type_traits>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;

static_assert(std::is_copy_constructible_v<weir::Lifetime>);
static_assert(std::is_copy_assignable_v<weir::Lifetime>);
static_assert(std::is_same_v<decltype(std::declval<weir::Lifetime const&>().stop_token()), std::stop_token>);
static_assert(std::is_same_v<decltype(std::declval<weir::Lifetime const&>().stopped()), bool>);
static_assert(noexcept(std::declval<weir::Lifetime const&>().stopped()));

TEST(Lifetime, Rule38StopsOnceClosingHasBegun) {
    Loop<> world;
    Lease held = world.take();
    std::stop_token const token = world.pool.lifetime().stop_token();
    {
        weir::Lifetime const lifetime = world.pool.lifetime();
        EXPECT_FALSE(lifetime.stopped());
        EXPECT_FALSE(token.stop_requested());
        EXPECT_TRUE(token.stop_possible());
        EXPECT_FALSE(world.pool.close(0s));
        EXPECT_TRUE(lifetime.stopped());
        EXPECT_TRUE(lifetime.stop_token().stop_requested());
    }
    EXPECT_TRUE(token.stop_requested());
    EXPECT_TRUE(world.pool.lifetime().stopped());
    held.release();
    world.end();
}

// rule 38: while a copy lives, a close goes on draining, exactly as for a lease.
TEST(Lifetime, Rule38HoldsTheCloseAsALeaseDoes) {
    Loop<> world;
    std::optional<weir::Lifetime> lifetime = world.pool.lifetime();
    EXPECT_FALSE(world.pool.close(1ms));
    Ended ended;
    Ended hasty;
    world.pool.async_close_for(patience, ended.handler());
    world.pool.async_close_for(1ms, hasty.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return hasty.done(); }));
    EXPECT_EQ(hasty.ec, weir::Errc::timed_out);
    EXPECT_EQ(ended.calls, 0);
    lifetime.reset();
    ASSERT_TRUE(run_until(world.io, [&] { return ended.done(); }));
    EXPECT_FALSE(ended.ec);
    world.end();
}

TEST(Lifetime, Rule38EveryCopyHolds) {
    Loop<> world;
    std::optional<weir::Lifetime> original = world.pool.lifetime();
    std::optional<weir::Lifetime> copy = *original;
    std::optional<weir::Lifetime> moved = std::move(*original);
    original.reset();
    EXPECT_FALSE(world.pool.close(0s));
    EXPECT_TRUE(copy->stopped());
    copy.reset();
    EXPECT_FALSE(world.pool.close(0s)) << "the copy that was moved to does not count";
    EXPECT_TRUE(moved->stopped());
    moved.reset();
    EXPECT_TRUE(world.pool.close(0s));
    world.end();
}

TEST(Lifetime, Rule38AssignmentGivesUpTheOldHold) {
    Loop<> first;
    Loop<> second;
    weir::Lifetime lifetime = first.pool.lifetime();
    lifetime = second.pool.lifetime();
    EXPECT_TRUE(first.pool.close(0s));
    weir::Lifetime& alias = lifetime;
    lifetime = alias;
    EXPECT_FALSE(second.pool.close(0s));
    EXPECT_TRUE(lifetime.stopped());
    lifetime = first.pool.lifetime();
    EXPECT_TRUE(second.pool.close(0s));
    lifetime = second.pool.lifetime();
    first.end();
    lifetime = first.pool.lifetime();
    second.end();
}

// rule 38: a stop_token alone holds nothing.
TEST(Lifetime, Rule38AStopTokenHoldsNothing) {
    Loop<> world;
    std::stop_token const token = world.pool.lifetime().stop_token();
    EXPECT_TRUE(world.pool.close(0s));
    EXPECT_TRUE(token.stop_requested());
    world.end();
}

// rule 38: background work that uses the pool ends in order: told by the token, its last lease back, then its hold.
TEST(Lifetime, Rule38LetsBackgroundWorkEndInOrder) {
    Ledger ledger;
    weir::Pool<Conn> pool{PlainOpener{ledger}};
    std::atomic<bool> ready{false};
    std::atomic<bool> finished{false};
    std::thread worker{[&, lifetime = std::make_unique<weir::Lifetime>(pool.lifetime())]() mutable {
        while (!lifetime->stopped()) {
            if (auto lease = pool.try_acquire_for(1min)) ++(*lease)->payload;
            ready = true;
        }
        finished = true;
        lifetime.reset();
    }};
    ASSERT_TRUE(wait_until([&] { return ready.load(); }));
    EXPECT_TRUE(pool.close(patience));
    EXPECT_TRUE(finished);
    worker.join();
    EXPECT_TRUE(ledger.all_closed_once());
}

// rule 43: it may outlive the pool, as a lease may.
TEST(Lifetime, Rule43OutlivesThePool) {
    asio::io_context io;
    std::optional<weir::Lifetime> lifetime;
    {
        weir::Pool<int> pool{io.get_executor(), [] { return 1; }};
        lifetime = pool.lifetime();
        EXPECT_FALSE(lifetime->stopped());
    }
    EXPECT_TRUE(lifetime->stopped());
    weir::Lifetime const copy = *lifetime;
    lifetime.reset();
    EXPECT_TRUE(copy.stopped());
    EXPECT_TRUE(copy.stop_token().stop_requested());
    EXPECT_TRUE(run_dry(io));
}

// rule 43: and be what the pool's destruction is told by.
// A pool's core ends with its last user, however many tokens it has given out: a token must not be what keeps it.
TEST(Lifetime, Rule43KeepsNothingOnceItIsGone) {
    auto const owned = std::make_shared<int>(0);
    Ledger ledger;
    {
        weir::Pool<Conn> pool{[&ledger, owned](weir::ConnectContext const&) { return Conn{ledger}; }};
        { auto const lifetime = pool.lifetime(); }
        pool.acquire().release();
        EXPECT_GT(owned.use_count(), 1);
        EXPECT_TRUE(pool.close(patience));
    }
    EXPECT_TRUE(wait_until([&] { return owned.use_count() == 1; })) << "the connector outlives its pool";
}

TEST(Lifetime, Rule43IsStoppedByTheDestructor) {
    auto pool = std::make_unique<weir::Pool<int>>([] { return 1; });
    int told = 0;
    std::stop_callback on_stop{pool->lifetime().stop_token(), [&] { ++told; }};
    pool.reset();
    EXPECT_EQ(told, 1);
}

// rule 40: the connector's context carries one, for its own connect.
TEST(Lifetime, Rule40IsInTheConnectorsContext) {
    bool before = true;
    std::optional<std::stop_token> token;
    weir::Pool<int> pool{[&](weir::ConnectContext const& context) {
        before = context.lifetime.stopped();
        token = context.lifetime.stop_token();
        return 1;
    }};
    pool.acquire().release();
    EXPECT_FALSE(before);
    ASSERT_TRUE(token.has_value());
    EXPECT_FALSE(token->stop_requested());
    EXPECT_TRUE(pool.close(patience)) << "the context's lifetime outlived its connect";
    EXPECT_TRUE(token->stop_requested());
}

}  // namespace
