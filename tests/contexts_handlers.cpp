// A handler's own context ends while the pool lives on: nobody else is held up, nothing is lost.
// rule 43 (and rule 46 for grants that never arrive)

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/execution/allocator.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <memory>
#include <new>
#include <optional>
#include <thread>
#include <utility>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;

constexpr weir::Watermark one{.low = 0, .high = 1};

// rule 43: some handlers' context dies while the pool lives on: nobody else is held up.
TEST(HandlerContexts, Rule43AHandlersContextDiesUnderItsWaiters) {
    Loop<> world{{.size = one}};
    Alive alive;
    auto other = std::make_optional<asio::io_context>();
    Lease held = world.take();
    for (int i = 0; i != 3; ++i) world.pool.async_acquire(asio::bind_executor(*other, alive.handler()));
    Got behind;
    world.pool.async_acquire(behind.handler());
    for (int i = 0; i != 3; ++i) world.pool.async_acquire_for(1min, asio::bind_executor(*other, alive.handler()));
    ASSERT_EQ(world.pool.stats().waiting, 7u);
    other.reset();
    EXPECT_EQ(alive.handlers() + alive.calls, 0);
    EXPECT_EQ(world.pool.stats().waiting, 1u);
    held.release();
    ASSERT_TRUE(run_until(world.io, [&] { return behind.done(); }));
    EXPECT_TRUE(behind.succeeded());
    behind.lease.release();
    world.end();
}

// rule 43: a strand is a context's as much as the context's executor is.
TEST(HandlerContexts, Rule43AStrandsContextDiesUnderItsWaiters) {
    Loop<> world{{.size = one}};
    Alive alive;
    auto other = std::make_optional<asio::io_context>();
    Lease held = world.take();
    world.pool.async_acquire(asio::bind_executor(asio::make_strand(*other), alive.handler()));
    world.pool.async_acquire(
        asio::bind_executor(asio::any_io_executor{asio::make_strand(other->get_executor())}, alive.handler()));
    other.reset();
    EXPECT_EQ(alive.handlers() + alive.calls, 0);
    EXPECT_EQ(world.pool.stats().waiting, 0u);
    held.release();
    EXPECT_EQ(world.pool.stats().idle, 1u);
    world.end();
}

// rule 43, rule 46: a strand is shut down before what was to run it is, and both lie in the waiter's memory.
template <class Context>
void expect_that_a_grant_outlives_no_strand(std::optional<Context>& other) {
    Loop<> world{{.size = one}};
    Alive alive;
    Lease held = world.take();
    world.pool.async_acquire(asio::bind_executor(asio::make_strand(other->get_executor()), alive.handler()));
    world.pool.async_acquire(
        asio::bind_executor(asio::make_strand(asio::make_strand(other->get_executor())), alive.handler()));
    held.release();
    EXPECT_EQ(world.pool.stats().waiting, 1u);
    other.reset();
    EXPECT_EQ(alive.handlers() + alive.calls, 0);
    EXPECT_EQ(world.pool.stats().leased, 0u);
    world.end();
}

TEST(HandlerContexts, Rule43AGrantOnItsWayToAStrandOfADyingContext) {
    std::optional<asio::io_context> other{std::in_place};
    expect_that_a_grant_outlives_no_strand(other);
}

TEST(HandlerContexts, Rule43AGrantOnItsWayToAStrandOfADyingThreadPool) {
    std::optional<asio::thread_pool> threads{std::in_place, 1};
    threads->stop();  // what comes now is never run
    threads->join();
    expect_that_a_grant_outlives_no_strand(threads);
}

struct Cancels {
    void operator()(asio::cancellation_signal* signal) const { signal->emit(asio::cancellation_type::terminal); }
};

// rule 43, rule 13: a grant that a dying strand has dropped was the last that kept what is behind the pool. Its memory
// waits for what was to run the strand; a cancellation that comes meanwhile concerns nobody.
TEST(HandlerContexts, Rule43ACancellationAfterADyingStrandHasDroppedTheGrant) {
    Ledger ledger;
    Alive alive;
    asio::cancellation_signal signal;
    auto other = std::make_optional<asio::io_context>();
    {
        weir::Pool<Conn> pool{PlainOpener{ledger}, {.size = one}};
        Lease held = pool.acquire();
        // In front of the strand, so it is destroyed between the two.
        asio::post(*other, [stop = std::unique_ptr<asio::cancellation_signal, Cancels>{&signal}] {});
        pool.async_acquire(asio::bind_executor(asio::make_strand(other->get_executor()),
                                               asio::bind_cancellation_slot(signal.slot(), alive.handler())));
        held.release();
    }
    EXPECT_EQ(ledger.alive(), 1);
    other.reset();
    EXPECT_EQ(alive.handlers() + alive.calls, 0);
    EXPECT_TRUE(ledger.all_closed_once());
}

/// An executor over an `io_context` that frees what it kept of a function after it has called it, as it may.
template <class Allocator = std::allocator<void>>
struct Keeping {
    asio::io_context* io;
    Allocator allocator{};

    template <class Function>
    void execute(Function function) const {
        using Memory = typename std::allocator_traits<Allocator>::template rebind_alloc<Function>;
        Memory memory{allocator};
        auto* const kept = std::allocator_traits<Memory>::allocate(memory, 1);
        ::new (static_cast<void*>(kept)) Function{std::move(function)};
        asio::post(*io, [kept, memory]() mutable {
            (*kept)();
            kept->~Function();
            std::allocator_traits<Memory>::deallocate(memory, kept, 1);
        });
    }
    asio::io_context& query(asio::execution::context_t) const noexcept { return *io; }
    static constexpr asio::execution::blocking_t query(asio::execution::blocking_t) noexcept {
        return asio::execution::blocking.never;
    }
    template <class Other>
    Keeping<Other> require(asio::execution::allocator_t<Other> other) const {
        return {io, other.value()};
    }
    friend bool operator==(Keeping const& a, Keeping const& b) noexcept { return a.io == b.io; }
    friend bool operator!=(Keeping const& a, Keeping const& b) noexcept { return a.io != b.io; }
};

// rule 47: nothing is asked of an executor but that it calls what it is given.
TEST(HandlerContexts, Rule47AnExecutorMayFreeWhatItKeptWhenItHasCalledIt) {
    Loop<> world{{.size = one}};
    Got got;
    Lease held = world.take();
    world.pool.async_acquire(
        asio::bind_executor(Keeping<>{&world.io}, asio::bind_allocator(std::allocator<void>{}, got.handler())));
    held.release();
    ASSERT_TRUE(run_until(world.io, [&] { return got.done(); }));
    EXPECT_TRUE(got.succeeded());
    got.lease.release();
    world.end();
}

/// Over an `io_context`: one of the pool's threads that has posted there stays in the call until the context has gone, or
/// for as long as this takes when it waits for that thread.
struct Dawdling {
    struct Steps {
        std::atomic<bool> posted{false};
        std::atomic<bool> context_gone{false};
        std::atomic<bool> back{false};
    };

    asio::io_context* io;
    Steps* steps;
    std::thread::id user = std::this_thread::get_id();

    template <class Function>
    void execute(Function function) const {
        asio::post(*io, std::move(function));
        if (std::this_thread::get_id() == user) return;
        steps->posted = true;
        for (int i = 0; i != 1000 && !steps->context_gone; ++i) std::this_thread::sleep_for(100us);
        steps->back = true;
    }
    asio::io_context& query(asio::execution::context_t) const noexcept { return *io; }
    static constexpr asio::execution::blocking_t query(asio::execution::blocking_t) noexcept {
        return asio::execution::blocking.never;
    }
    bool operator==(Dawdling const&) const noexcept = default;
};

// rule 43: nobody can join the pool's threads, so the end of a context waits until none of them is in a call of it.
TEST(HandlerContexts, Rule43AContextEndsAfterThePoolsThreadsAreDoneWithIt) {
    Ledger ledger;
    weir::Pool<Conn> pool{PlainOpener{ledger}, {.size = one}};
    Lease const held = pool.acquire();
    auto other = std::make_optional<asio::io_context>();
    Dawdling::Steps steps;
    Got late;
    pool.async_acquire_for(1ms, asio::bind_executor(Dawdling{&*other, &steps}, late.handler()));
    ASSERT_TRUE(wait_until([&] { return steps.posted.load(); }));
    ASSERT_TRUE(run_until(*other, [&] { return late.done(); }));
    EXPECT_EQ(late.ec, weir::Errc::timed_out);
    other.reset();
    EXPECT_TRUE(steps.back);
    steps.context_gone = true;
}

// rule 43: the same for what they tell to stop on the pool's own executor, and that goes before the pool.
TEST(HandlerContexts, Rule43ThePoolsContextEndsAfterThePoolsThreadsAreDoneWithIt) {
    // What is told to stop before it has waited, as on a busy machine, is told by the strand that it is in, and so here.
    for (bool is_told_there = false; !is_told_there;) {
        Dawdling::Steps steps;
        auto io = std::make_optional<asio::io_context>();
        bool connects = false;
        auto const connect = [&connects]() -> asio::awaitable<int> {
            asio::steady_timer never{co_await asio::this_coro::executor, asio::steady_timer::time_point::max()};
            connects = true;
            co_await never.async_wait(asio::use_awaitable);
            co_return 0;
        };
        weir::Pool<int, weir::KeepIdle> pool{
            asio::any_io_executor{Dawdling{&*io, &steps}}, connect, {.size = one, .connect = {.timeout = 20ms}}};
        EXPECT_EQ(pool.try_acquire().error(), weir::Errc::exhausted);
        auto const ends = [&] { return pool.stats().open == 0; };
        ASSERT_TRUE(run_until(*io, [&] { return connects || ends(); }));
        ASSERT_TRUE(wait_until([&] {
            if (!steps.posted) poll(*io);
            return steps.posted || ends();
        }));
        io.reset();
        is_told_there = steps.posted;
        EXPECT_EQ(steps.back, is_told_there);
        steps.context_gone = true;
    }
}

// rule 43, rule 46: a grant on its way to a context that dies goes to the next in line.
TEST(HandlerContexts, Rule43AGrantToADyingContextGoesToTheNext) {
    Loop<> world{{.size = one}};
    Alive alive;
    auto other = std::make_optional<asio::io_context>();
    Lease held = world.take();
    world.pool.async_acquire(asio::bind_executor(*other, alive.handler()));
    Got next;
    world.pool.async_acquire(next.handler());
    held.release();
    EXPECT_EQ(world.pool.stats().waiting, 1u);
    other.reset();
    EXPECT_EQ(alive.handlers() + alive.calls, 0);
    ASSERT_TRUE(run_until(world.io, [&] { return next.done(); }));
    EXPECT_TRUE(next.succeeded());
    next.lease.release();
    world.end();
}

// rule 43: the connect that a dead handler had asked for belongs to the pool.
TEST(HandlerContexts, Rule43AConnectOutlivesItsAskersContext) {
    Gated<> world{{.size = one}};
    world.script.mode = Mode::never;
    Alive alive;
    auto other = std::make_optional<asio::io_context>();
    world.pool.async_acquire(asio::bind_executor(*other, alive.handler()));
    ASSERT_TRUE(run_until(world.io, [&] { return world.script.in_flight() == 1; }));
    other.reset();
    EXPECT_EQ(alive.handlers() + alive.calls, 0);
    EXPECT_EQ(world.pool.stats().connecting, 1u);
    world.script.gate.open();
    EXPECT_TRUE(run_until(world.io, [&] { return world.pool.stats().idle == 1; }));
    world.end();
}

// rule 43: a coroutine that holds a lease while it waits for another dies with its context; its lease goes back.
TEST(HandlerContexts, Rule43ACoroutinesLeasesGoBackWithItsContext) {
    Loop<> world{{.size = {.low = 0, .high = 2}}};
    auto other = std::make_optional<asio::io_context>();
    Lease held = world.take();
    auto body = [&]() -> asio::awaitable<void> {
        Lease mine = co_await world.pool.async_acquire(asio::use_awaitable);
        Lease never = co_await world.pool.async_acquire(asio::use_awaitable);
    };
    asio::co_spawn(*other, body(), asio::detached);
    ASSERT_TRUE(run_until(world.io, [&] {
        poll(*other);
        return world.pool.stats().waiting == 1;
    }));
    EXPECT_EQ(world.pool.stats().leased, 2u);
    other.reset();
    EXPECT_EQ(world.pool.stats().leased, 1u);
    EXPECT_EQ(world.pool.stats().waiting, 0u);
    held.release();
    EXPECT_EQ(world.pool.stats().idle, 2u);
    world.end();
}

// rule 43: an async_close whose handler's context dies holds up nobody.
TEST(HandlerContexts, Rule43AnAsyncClosesContextDies) {
    Loop<> world{{.size = one}};
    auto other = std::make_optional<asio::io_context>();
    Lease held = world.take();
    Ended dropped;
    auto share = std::make_shared<int>();
    std::weak_ptr<int> const alive = share;
    world.pool.async_close_for(
        patience, asio::bind_executor(*other, [&dropped, keep = std::move(share)](error_code) { ++dropped.calls; }));
    other.reset();
    EXPECT_TRUE(alive.expired());
    held.release();
    world.end();
    EXPECT_EQ(dropped.calls, 0);
}

}  // namespace
