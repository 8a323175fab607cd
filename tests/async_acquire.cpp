// Asynchronous acquires: when, where and with what they complete.
// rule 13, rule 17, rule 44, rule 47 (and rule 5, rule 6, rule 16 as far as they meet Asio)

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/version.hpp>
#if BOOST_ASIO_VERSION >= 102800
#include <boost/asio/bind_immediate_executor.hpp>
#include <boost/asio/system_executor.hpp>
#endif

#include <cstddef>
#include <memory>
#include <optional>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using weir::Errc;

constexpr std::size_t nobody = 0;

weir::Watermark one(std::optional<std::size_t> max_waiters = std::nullopt) {
    return {.low = 0, .high = 1, .max_waiters = max_waiters};
}

// ---- never from inside the initiating function

// rule 44. The initiation runs inside the handler's own executor, where a dispatch would call the handler at once.
template <class WorldType, class Initiate>
void expect_not_inline(WorldType& world, Initiate initiate, error_code expected) {
    Got got;
    bool initiated = false;
    asio::post(world.io, [&] {
        initiate(got.handler());
        EXPECT_EQ(got.calls, 0) << "called from inside the initiating function";
        initiated = true;
    });
    ASSERT_TRUE(run_until(world.io, [&] { return initiated && got.done(); }));
    EXPECT_EQ(got.calls, 1);
    EXPECT_EQ(got.ec, expected) << got.ec.message();
}

TEST(AsyncAcquire, Rule44NeverCallsTheHandlerFromInsideTheInitiationOfAnIdleHit) {
    Loop<> world;
    world.take().release();
    ASSERT_EQ(world.pool.stats().idle, 1u);
    expect_not_inline(world, [&](auto h) { world.pool.async_acquire(std::move(h)); }, {});
    expect_not_inline(world, [&](auto h) { world.pool.async_acquire_for(1min, std::move(h)); }, {});
    world.end();
}

TEST(AsyncAcquire, Rule44NeverCallsTheHandlerFromInsideTheInitiationOfAnOpening) {
    Loop<> world;
    expect_not_inline(world, [&](auto h) { world.pool.async_acquire(std::move(h)); }, {});
    world.end();
}

TEST(AsyncAcquire, Rule44NeverCallsTheHandlerFromInsideTheInitiationOfAnImmediateError) {
    Loop<> world{{.size = one(nobody)}};
    Lease held = world.take();
    expect_not_inline(
        world, [&](auto h) { world.pool.async_acquire(std::move(h)); }, Errc::too_many_waiters);
    expect_not_inline(
        world, [&](auto h) { world.pool.async_acquire_for(0s, std::move(h)); }, Errc::timed_out);
    held.release();
    world.end();
    expect_not_inline(
        world, [&](auto h) { world.pool.async_acquire(std::move(h)); }, Errc::closed);
}

TEST(AsyncAcquire, Rule44NeverCallsAWaiterFromInsideAReleaseOnItsOwnExecutor) {
    Loop<> world{{.size = one()}};
    Lease held = world.take();
    Got got;
    world.pool.async_acquire(got.handler());
    poll(world.io);
    asio::post(world.io, [&] {
        held.release();
        EXPECT_EQ(got.calls, 0) << "the returner ran its successor's code";
    });
    ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
    EXPECT_TRUE(got.succeeded());
    got.lease.release();
    world.end();
}

// ---- the handler's executor

// rule 44: through the associated executor, also for what is decided at once.
TEST(AsyncAcquire, Rule44CompletesImmediateResultsThroughTheHandlersExecutor) {
    Loop<> world{{.size = one(nobody)}};
    asio::io_context other;
    Lease held = world.take();
    Got rejected;
    Got late;
    world.pool.async_acquire(asio::bind_executor(other, rejected.handler()));
    world.pool.async_acquire_for(-1s, asio::bind_executor(other, late.handler()));
    poll(world.io);
    EXPECT_EQ(rejected.calls + late.calls, 0) << "ran on the pool's executor";
    poll(other);
    EXPECT_TRUE(rejected.failed_with(Errc::too_many_waiters));
    EXPECT_TRUE(late.failed_with(Errc::timed_out));

    held.release();
    Got hit;
    world.pool.async_acquire(asio::bind_executor(other, hit.handler()));
    poll(world.io);
    EXPECT_EQ(hit.calls, 0) << "ran on the pool's executor";
    poll(other);
    EXPECT_TRUE(hit.succeeded());
    hit.lease.release();

    world.end();
    Got closed;
    world.pool.async_acquire(asio::bind_executor(other, closed.handler()));
    poll(world.io);
    EXPECT_EQ(closed.calls, 0) << "ran on the pool's executor";
    poll(other);
    EXPECT_TRUE(closed.failed_with(Errc::closed));
    EXPECT_TRUE(run_dry(other));
}

// rule 44, for what is decided later: an opening, a hand-off, a deadline.
TEST(AsyncAcquire, Rule44CompletesLaterResultsThroughTheHandlersExecutor) {
    Loop<> world{{.size = one()}};
    asio::io_context other;
    Got opened;
    world.pool.async_acquire(asio::bind_executor(other, opened.handler()));
    ASSERT_TRUE(run_until(world.io, [&] { return world.pool.stats().leased == 1; }));
    EXPECT_EQ(opened.calls, 0);
    poll(other);
    ASSERT_TRUE(opened.succeeded());

    Got granted;
    world.pool.async_acquire(asio::bind_executor(other, granted.handler()));
    poll(world.io);
    opened.lease.release();
    poll(world.io);
    EXPECT_EQ(granted.calls, 0);
    poll(other);
    ASSERT_TRUE(granted.succeeded());

    Got expired;
    world.pool.async_acquire_for(1ms, asio::bind_executor(other, expired.handler()));
    ASSERT_TRUE(run_until(world.io, [&] { return world.pool.stats().timed_out == 1; }));
    EXPECT_EQ(expired.calls, 0);
    ASSERT_TRUE(run_until(other, [&] { return expired.done(); }));
    EXPECT_TRUE(expired.failed_with(Errc::timed_out));

    granted.lease.release();
    world.end();
    EXPECT_TRUE(run_dry(other));
}

// rule 47
TEST(AsyncAcquire, Rule47CompletesEachWaiterOnItsOwnExecutorOrStrand) {
    Loop<> world{{.size = one()}};
    asio::io_context second;
    auto strand = asio::make_strand(world.io);
    Lease held = world.take();
    Got on_pool;
    Got on_second;
    Got on_strand;
    bool in_strand = false;
    world.pool.async_acquire(on_pool.handler());
    world.pool.async_acquire(asio::bind_executor(second, on_second.handler()));
    world.pool.async_acquire(asio::bind_executor(strand, [&, record = on_strand.handler()](error_code ec, Lease l) {
        in_strand = strand.running_in_this_thread();
        record(ec, std::move(l));
    }));
    poll(world.io);

    held.release();
    poll(second);
    EXPECT_EQ(on_pool.calls, 0) << "ran on a context that is not its own";
    ASSERT_TRUE(run_until(world.io, [&] { return on_pool.done(); }));

    on_pool.lease.release();
    poll(world.io);
    EXPECT_EQ(on_second.calls, 0) << "ran on a context that is not its own";
    ASSERT_TRUE(run_until(second, [&] { return on_second.done(); }));

    on_second.lease.release();
    poll(second);
    EXPECT_EQ(on_strand.calls, 0) << "ran on a context that is not its own";
    ASSERT_TRUE(run_until(world.io, [&] { return on_strand.done(); }));
    EXPECT_TRUE(in_strand);
    EXPECT_TRUE(on_strand.succeeded());
    on_strand.lease.release();
    world.end();
    EXPECT_TRUE(run_dry(second));
}

#if BOOST_ASIO_VERSION >= 102800
// rule 44: whoever asks for it has what is decided at once at once; everybody else is posted to.
TEST(AsyncAcquire, Rule44CompletesImmediateResultsOnTheImmediateExecutor) {
    Loop<> world;
    world.take().release();
    Got hit;
    world.pool.async_acquire(asio::bind_immediate_executor(asio::system_executor{}, hit.handler()));
    EXPECT_TRUE(hit.succeeded());
    hit.lease.release();
    world.end();
}
#endif

// ---- deadlines

// rule 44: the time of a deferred acquire begins when it is launched. Never too early, however slow the machine.
TEST(AsyncAcquire, Rule44AcquireForCountsItsTimeFromTheLaunch) {
    Loop<> world{{.size = one()}};
    Lease held = world.take();
    auto const created = Clock::now();
    auto operation = world.pool.async_acquire_for(100ms, asio::deferred);
    std::this_thread::sleep_until(created + 150ms);  // what a launch-relative deadline must not notice
    Got got;
    auto const launched = Clock::now();
    std::move(operation)(got.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
    EXPECT_GE(Clock::now() - launched, 100ms);
    EXPECT_TRUE(got.failed_with(Errc::timed_out));
    held.release();
    world.end();
}

// rule 5: a deadline already past still borrows what is idle; else it ends at once, without a connect or a wait.
TEST(AsyncAcquire, Rule5APastDeadlineBorrowsTheIdleAndNothingElse) {
    Loop<> world{{.size = one()}};
    Got nothing;
    world.pool.async_acquire_for(0s, nothing.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return nothing.done(); }));
    EXPECT_TRUE(nothing.failed_with(Errc::timed_out));
    EXPECT_EQ(world.ledger.opened(), 0);
    EXPECT_EQ(world.pool.stats().waited, 0u);

    world.take().release();
    Got idle;
    world.pool.async_acquire_for(-1s, idle.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return idle.done(); }));
    EXPECT_TRUE(idle.succeeded());
    idle.lease.release();
    world.end();
}

TEST(AsyncAcquire, Rule6TakesItsDeadlineFromTheWaitingPolicy) {
    Loop<> world{{.size = one(), .wait = {.timeout = 100ms}}};
    Lease held = world.take();
    Got got;
    auto const launched = Clock::now();
    world.pool.async_acquire(got.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
    EXPECT_TRUE(got.failed_with(Errc::timed_out));
    EXPECT_GE(Clock::now() - launched, 100ms);
    EXPECT_EQ(world.pool.stats().timed_out, 1u);
    held.release();
    world.end();
}

// rule 13: an expired waiter leaves no trace, and its place under max_waiters is free again.
TEST(AsyncAcquire, Rule13AnExpiredWaiterLeavesItsPlaceToAnother) {
    Loop<> world{{.size = one(1)}};
    Lease held = world.take();
    Got expired;
    world.pool.async_acquire_for(5ms, expired.handler());
    EXPECT_EQ(world.pool.stats().waited, 1u);
    ASSERT_TRUE(run_until(world.io, [&] { return expired.done(); }));
    EXPECT_TRUE(expired.failed_with(Errc::timed_out));
    EXPECT_EQ(world.pool.stats().waiting, 0u);

    Got next;
    world.pool.async_acquire(next.handler());
    EXPECT_EQ(world.pool.stats().waiting, 1u);
    Got refused_one;
    world.pool.async_acquire(refused_one.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return refused_one.done(); }));
    EXPECT_TRUE(refused_one.failed_with(Errc::too_many_waiters));
    held.release();
    ASSERT_TRUE(run_until(world.io, [&] { return next.done(); }));
    EXPECT_TRUE(next.succeeded());
    next.lease.release();
    world.end();
}

// rule 17, by deadline instead of by cancellation; rule 16: the connect belongs to the pool and becomes idle.
TEST(AsyncAcquire, Rule17AnExpiredOpeningFreesTheCallerButNotTheSlot) {
    Gated<> world{{.size = one()}};
    world.script.mode = Mode::never;
    Got got;
    world.pool.async_acquire_for(50ms, got.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
    EXPECT_TRUE(got.failed_with(Errc::timed_out));
    EXPECT_EQ(world.pool.stats().open, 1u);
    EXPECT_EQ(world.pool.stats().connecting, 1u);
    world.script.gate.open();
    EXPECT_TRUE(run_until(world.io, [&] { return world.pool.stats().idle == 1; }));
    world.end();
}

// ---- associated allocator

struct Account {
    std::size_t blocks = 0;
    std::size_t outstanding = 0;
};

template <class T>
struct Counting {
    using value_type = T;
    explicit Counting(Account& a) noexcept : account{&a} {}
    template <class U>
    Counting(Counting<U> const& other) noexcept : account{other.account} {}
    T* allocate(std::size_t n) {
        ++account->blocks;
        ++account->outstanding;
        return std::allocator<T>{}.allocate(n);
    }
    void deallocate(T* p, std::size_t n) noexcept {
        --account->outstanding;
        std::allocator<T>{}.deallocate(p, n);
    }
    template <class U>
    bool operator==(Counting<U> const& other) const noexcept {
        return account == other.account;
    }
    Account* account;
};

// rule 44: the waiter's memory comes from the handler's allocator and is given back before the handler runs.
TEST(AsyncAcquire, Rule44KeepsAWaiterInMemoryOfTheHandlersAllocator) {
    Loop<> world{{.size = one()}};
    Lease held = world.take();
    Account account;
    std::size_t in_handler = 99;
    Got got;
    world.pool.async_acquire(
        asio::bind_allocator(Counting<char>{account}, [&, record = got.handler()](error_code ec, Lease l) {
            in_handler = account.outstanding;
            record(ec, std::move(l));
        }));
    EXPECT_GT(account.blocks, 0u);
    EXPECT_GT(account.outstanding, 0u);
    held.release();
    ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
    EXPECT_EQ(in_handler, 0u) << "memory still held while the handler runs";
    EXPECT_EQ(account.outstanding, 0u);
    got.lease.release();
    world.end();
}

}  // namespace
