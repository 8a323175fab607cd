// Stackful coroutines; apart from the other tokens because they need Boost.Context to link.
// rule 46 (with rule 13 and rule 43 where a stack is cancelled or unwound)

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/spawn.hpp>
#include <boost/system/system_error.hpp>

#include <optional>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using weir::Errc;

constexpr weir::Watermark one{.low = 0, .high = 1};

// rule 46
TEST(AsyncTokensSpawn, Rule46CompletesAYieldContext) {
    Loop<> world{{.size = one}};
    bool ended = false;
    asio::spawn(
        world.io,
        [&](asio::yield_context yield) {
            Lease lease = world.pool.async_acquire(yield);
            EXPECT_TRUE(lease);
            error_code ec;
            Lease nothing = world.pool.async_acquire_for(1ms, yield[ec]);
            EXPECT_EQ(ec, Errc::timed_out);
            EXPECT_FALSE(nothing);
            EXPECT_THROW(nothing = world.pool.async_acquire_for(1ms, yield), boost::system::system_error);
            lease.release();
            world.pool.async_close(yield[ec]);
            EXPECT_FALSE(ec);
            ended = true;
        },
        asio::detached);
    EXPECT_TRUE(run_until(world.io, [&] { return ended; }));
    world.end();
}

// rule 46, rule 13
TEST(AsyncTokensSpawn, Rule13LeavesTheLineWhenItsStackIsCancelled) {
    Loop<> world{{.size = one}};
    Lease held = world.take();
    asio::cancellation_signal signal;
    error_code seen;
    bool ended = false;
    asio::spawn(
        world.io, [&](asio::yield_context yield) { Lease lease = world.pool.async_acquire(yield[seen]); },
        asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr) { ended = true; }));
    ASSERT_TRUE(run_until(world.io, [&] { return world.pool.stats().waiting == 1; }));
    signal.emit(asio::cancellation_type::terminal);
    ASSERT_TRUE(run_until(world.io, [&] { return ended; }));
    EXPECT_EQ(world.pool.stats().waiting, 0u);
    EXPECT_EQ(seen, asio::error::operation_aborted);
    held.release();
    EXPECT_EQ(world.pool.stats().idle, 1u);
    world.end();
}

// rule 46, rule 43: a stack that dies with its context is unwound; what it leases goes back, what it waits for is left.
TEST(AsyncTokensSpawn, Rule43GivesItsLeasesBackWhenItsStackIsUnwound) {
    Loop<> world{{.size = one}};
    auto other = std::make_optional<asio::io_context>();
    bool unwound = false;
    struct OnUnwind {
        bool& flag;
        ~OnUnwind() { flag = true; }
    };
    asio::spawn(
        *other,
        [&](asio::yield_context yield) {
            OnUnwind guard{unwound};
            Lease mine = world.pool.async_acquire(yield);
            Lease never = world.pool.async_acquire(yield);
        },
        asio::detached);
    ASSERT_TRUE(run_until(world.io, [&] {
        poll(*other);
        return world.pool.stats().waiting == 1;
    }));
    other.reset();
    EXPECT_TRUE(unwound);
    EXPECT_EQ(world.pool.stats().waiting, 0u);
    EXPECT_EQ(world.pool.stats().idle, 1u);
    world.end();
}

}  // namespace
