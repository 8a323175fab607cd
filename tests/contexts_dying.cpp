// What a context that dies takes with it, and what it must not meet any more. rule 43

#include "support/eventually.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <weir/keyed_pool.hpp>
#include <weir/pool.hpp>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using boost::system::error_code;

using Numbers = Pool<int, KeepIdle>;

/// What a test and one of the pool's threads tell each other.
struct Steps {
    std::atomic<bool> posted{false};
    std::atomic<bool> go_on{false};
    std::atomic<bool> too_late{false};
};

/// For a while at most: where the pool's thread is waited for, it is to go on by itself.
void stay_until(std::atomic<bool> const& flag) {
    for (int i = 0; i != 2000 && !flag; ++i) std::this_thread::sleep_for(100us);
}

/// Over an `io_context`; one of the pool's threads that has posted there stays in the call until it may go on.
struct Blocking {
    asio::io_context* io;
    Steps* steps;
    std::thread::id user = std::this_thread::get_id();

    template <class Function>
    void execute(Function function) const {
        asio::post(*io, std::move(function));
        if (std::this_thread::get_id() == user) return;
        steps->posted = true;
        stay_until(steps->go_on);
    }
    asio::io_context& query(asio::execution::context_t) const noexcept { return *io; }
    static constexpr asio::execution::blocking_t query(asio::execution::blocking_t) noexcept {
        return asio::execution::blocking.never;
    }
    bool operator==(Blocking const&) const noexcept = default;
};

// ---- Operations that it would have to run ------------------------------------------------------------------------------

struct Awaitably {
    asio::awaitable<std::shared_ptr<int>> connect() { co_return std::make_shared<int>(1); }
    asio::awaitable<void> close(std::shared_ptr<int>&) { co_return; }
};
using Shared = Pool<std::shared_ptr<int>, KeepIdle>;

/// Has the handler of a timer on that context hold a lease, and tells of what.
std::weak_ptr<int> leave_a_lease_with_a_timer(Shared& pool, asio::io_context& io) {
    std::weak_ptr<int> connection;
    auto timer = std::make_shared<asio::steady_timer>(io, asio::steady_timer::time_point::max());
    pool.async_acquire([&](error_code, Lease<std::shared_ptr<int>> lease) {
        connection = *lease;
        auto& waits = *timer;
        waits.async_wait([timer = std::move(timer), lease = std::move(lease)](error_code) {});
    });
    while (timer) io.run_one();
    return connection;
}

// The timers go before the pool is told, and what is closed there would run on a strand.
TEST(DyingContexts, Rule43CloseWhatTheirHandlersHeld) {
    auto io = std::make_unique<asio::io_context>();
    Shared pool{io->get_executor(), Awaitably{}};
    auto const connection = leave_a_lease_with_a_timer(pool, *io);
    pool.refresh();
    io.reset();
    EXPECT_TRUE(pool.close(20s));
    EXPECT_TRUE(connection.expired());
}

TEST(DyingContexts, Rule43CloseWhatTheirHandlersHeldOfAPoolThatHasGone) {
    std::weak_ptr<int> connection;
    {
        asio::io_context io;
        Shared pool{io.get_executor(), Awaitably{}};
        connection = leave_a_lease_with_a_timer(pool, io);
    }
    EXPECT_TRUE(connection.expired());
}

/// Takes its time to end.
struct Slow {
    Slow() = default;
    Slow(Slow&& other) noexcept : armed{std::exchange(other.armed, false)} {}
    Slow& operator=(Slow&&) = delete;
    ~Slow() {
        if (armed) std::this_thread::sleep_for(200ms);
    }
    bool armed = true;
};

// The strands have gone, and a refill is due before the pool is told.
TEST(DyingContexts, Rule43StartNothingThatNeverEnds) {
    auto io = std::make_unique<asio::io_context>();
    int tries = 0;
    auto const fails = [&tries]() -> asio::awaitable<int> {
        ++tries;
        throw std::runtime_error{"no"};
        co_return 0;
    };
    Pool<int, Watermark, Backoff> pool{
        io->get_executor(),
        fails,
        {.size = {.low = 1, .high = 1, .eager = true}, .connect = {.timeout = 1s, .first = 50ms, .max = 50ms}}};
    while (tries == 0) io->run_one();
    io->poll();
    asio::post(asio::make_strand(*io), [slow = Slow{}] {});
    io.reset();
    EXPECT_TRUE(pool.close(20s));
}

// ---- Threads of the pool's that are at it ------------------------------------------------------------------------------

/// A strand; a copy that one of the pool's threads has is slow to go.
struct Clinging {
    asio::strand<asio::io_context::executor_type> strand;
    Steps* steps;
    std::thread::id user = std::this_thread::get_id();

    Clinging(asio::io_context& io, Steps& s) noexcept : strand{asio::make_strand(io)}, steps{&s} {}
    Clinging(Clinging const&) = default;
    Clinging(Clinging&& other) noexcept
        : strand{std::move(other.strand)}, steps{std::exchange(other.steps, nullptr)}, user{other.user} {}
    Clinging& operator=(Clinging const&) = delete;
    ~Clinging() {
        if (!steps || std::this_thread::get_id() == user || !steps->posted) return;
        stay_until(steps->go_on);
        if (steps->go_on) steps->too_late = true;
    }

    template <class Function>
    void execute(Function function) const {
        asio::post(strand, std::move(function));
        if (std::this_thread::get_id() != user) steps->posted = true;
    }
    asio::execution_context& query(asio::execution::context_t) const noexcept {
        return asio::query(strand, asio::execution::context);
    }
    static constexpr asio::execution::blocking_t query(asio::execution::blocking_t) noexcept {
        return asio::execution::blocking.never;
    }
    bool operator==(Clinging const& other) const noexcept { return strand == other.strand; }
};

TEST(DyingContexts, Rule43WaitForTheirLastExecutor) {
    Steps steps;
    Numbers pool{[] { return 1; }, {.size = {.high = 1}}};
    auto const held = pool.acquire();
    auto other = std::make_unique<asio::io_context>();
    bool done = false;
    pool.async_acquire_for(1ms,
                           asio::bind_executor(Clinging{*other, steps}, [&](error_code, Lease<int>) { done = true; }));
    ASSERT_TRUE(eventually([&] { return steps.posted.load(); }));
    other->run();
    ASSERT_TRUE(done);
    other.reset();
    steps.go_on = true;
    asio::io_context later;  // of which that thread is told when it is done with this one
    pool.async_acquire_for(1ms, asio::bind_executor(later, [](error_code, Lease<int>) {}));
    later.run();
    EXPECT_FALSE(steps.too_late);
}

// Who waits elsewhere holds work on the pool's executor, and lets go of it when he is told.
TEST(DyingContexts, Rule43WaitForThoseWhoHoldWorkThere) {
    bool both = false;
    for (int i = 0; i != 100 && !both; ++i) {
        Steps steps;
        asio::io_context first;
        asio::io_context second;
        auto io = std::make_unique<asio::io_context>();
        Numbers pool{io->get_executor(), [] { return 1; }, {.size = {.high = 1}}};
        auto const held = pool.acquire();
        int done = 0;
        auto const told = [&](error_code, Lease<int>) { ++done; };
        pool.async_acquire_for(20ms, asio::bind_executor(Blocking{&first, &steps}, told));
        pool.async_acquire_for(20ms, asio::bind_executor(second, told));
        ASSERT_TRUE(eventually([&] { return steps.posted.load(); }));
        both = pool.stats().waiting == 0;  // one step took them both out of line
        if (both) io.reset();
        steps.go_on = true;
        first.run();
        second.run();
        EXPECT_EQ(done, 2);
    }
    EXPECT_TRUE(both);
}

// An operation that is to be told to stop has a strand there.
TEST(DyingContexts, Rule43WaitForThoseWhoStopWhatRanThere) {
    Steps steps;
    asio::io_context other;
    auto io = std::make_unique<asio::io_context>();
    bool connects = false;
    auto const connect = [&connects]() -> asio::awaitable<int> {
        asio::steady_timer never{co_await asio::this_coro::executor, asio::steady_timer::time_point::max()};
        connects = true;
        co_await never.async_wait(asio::use_awaitable);
        co_return 0;
    };
    Numbers pool{io->get_executor(), connect, {.size = {.high = 1}, .connect = {.timeout = 20ms}}};
    bool done = false;
    pool.async_acquire(asio::bind_executor(Blocking{&other, &steps}, [&](error_code, Lease<int>) { done = true; }));
    while (!connects && io->run_one() != 0) {  // nothing is left to run where its time was up before it began
    }
    ASSERT_TRUE(eventually([&] { return steps.posted.load(); }));
    io.reset();
    steps.go_on = true;
    other.run();
    EXPECT_TRUE(done);
    EXPECT_TRUE(pool.close(20s));
}

/// Dies with its pool: on one of the pool's threads slowly.
struct Lingering {
    explicit Lingering(Steps& s) noexcept : steps{&s} {}
    Lingering(Lingering&& other) noexcept : steps{std::exchange(other.steps, nullptr)}, user{other.user} {}
    Lingering& operator=(Lingering&&) = delete;
    ~Lingering() {
        if (!steps || std::this_thread::get_id() == user) return;
        steps->posted = true;
        stay_until(steps->go_on);
        steps->too_late = steps->go_on.load();
    }
    int connect() const { return 1; }
    void close(int) const {}

    Steps* steps;
    std::thread::id user = std::this_thread::get_id();
};

// A close has ended, and the pool with it, but for the thread that closed the last one: it may be the last that keeps
// the pool's executor, which here is a strand.
TEST(DyingContexts, Rule38WaitForThoseWhoLetGoOfThePoolsExecutor) {
    for (int i = 0; i != 2000; ++i) {
        Steps steps;
        auto io = std::make_unique<asio::io_context>();
        {
            Numbers pool{asio::any_io_executor{asio::make_strand(*io)}, Lingering{steps}};
            pool.acquire().release();
            ASSERT_TRUE(pool.close());
        }
        io.reset();
        steps.go_on = true;
        ASSERT_FALSE(steps.too_late);
        if (steps.posted) break;
    }
}

/// Over an `io_context`, and counted, as it may not outlive that.
struct Counted {
    Counted(asio::io_context& context, std::atomic<int>& number) noexcept : io{&context}, copies{&number} { ++*copies; }
    Counted(Counted const& other) noexcept : io{other.io}, copies{other.copies} { ++*copies; }
    Counted& operator=(Counted const&) = delete;
    ~Counted() { --*copies; }

    template <class Function>
    void execute(Function function) const {
        asio::post(*io, std::move(function));
    }
    asio::io_context& query(asio::execution::context_t) const noexcept { return *io; }
    static constexpr asio::execution::blocking_t query(asio::execution::blocking_t) noexcept {
        return asio::execution::blocking.never;
    }
    bool operator==(Counted const& other) const noexcept { return io == other.io; }

    asio::io_context* io;
    std::atomic<int>* copies;
};

/// Connects for as long as it is not told to go on.
struct Endless {
    Steps* steps;
    std::shared_ptr<int> alive = std::make_shared<int>(0);

    int operator()() const { return connect(); }
    int operator()(int) const { return connect(); }
    int connect() const {
        steps->posted = true;
        stay_until(steps->go_on);
        return 1;
    }
};

// A pool that has gone may still connect; its executor goes with the context.
TEST(DyingContexts, Rule43TakeTheExecutorOfAPoolThatHasGone) {
    Steps steps;
    std::atomic<int> copies{0};
    auto io = std::make_unique<asio::io_context>();
    Endless connect{&steps};
    std::weak_ptr<int> const alive = connect.alive;
    {
        Numbers pool{asio::any_io_executor{Counted{*io, copies}}, std::move(connect)};
        EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
        ASSERT_TRUE(eventually([&] { return steps.posted.load(); }));
    }
    EXPECT_FALSE(alive.expired());
    EXPECT_GT(copies, 0);
    io.reset();
    EXPECT_EQ(copies, 0);
    steps.go_on = true;
    EXPECT_TRUE(eventually([&] { return alive.expired(); }));
}

TEST(DyingContexts, Rule43TakeTheExecutorOfAKeyedPoolThatHasGone) {
    Steps steps;
    std::atomic<int> copies{0};
    auto io = std::make_unique<asio::io_context>();
    Endless connect{&steps};
    std::weak_ptr<int> const alive = connect.alive;
    {
        KeyedPool<int, int> pool{asio::any_io_executor{Counted{*io, copies}}, std::move(connect)};
        EXPECT_EQ(pool.try_acquire(1).error(), Errc::exhausted);
        ASSERT_TRUE(eventually([&] { return steps.posted.load(); }));
    }
    io.reset();
    EXPECT_EQ(copies, 0);
    steps.go_on = true;
    EXPECT_TRUE(eventually([&] { return alive.expired(); }));
}

// Also when a thread of the pool's has not begun yet what it has to do.
TEST(DyingContexts, Rule43TakeTheExecutorFromThreadsThatComeLate) {
    for (int i = 0; i != 300; ++i) {
        std::atomic<int> copies{0};
        auto io = std::make_unique<asio::io_context>();
        {
            Numbers pool{asio::any_io_executor{Counted{*io, copies}}, [] { return 1; }};
            EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
        }
        io.reset();
        ASSERT_EQ(copies, 0) << "round " << i;
    }
}

// ---- One after the other -----------------------------------------------------------------------------------------------

// With the handlers of one its owner's next context goes, for which somebody has just been summoned to try.
TEST(DyingContexts, Rule43EndAnotherWithAHandler) {
    auto one = std::make_unique<asio::io_context>();
    auto other = std::make_unique<asio::io_context>();
    auto const on_other = other->get_executor();
    Pool<int, KeepIdle, Fifo> pool{[] { return 1; }, {.size = {.high = 1}, .wait = {.patience = 1h}}};
    auto held = pool.acquire();
    pool.async_acquire(asio::bind_executor(*one, [](error_code, Lease<int>) {}));
    pool.async_acquire(asio::bind_executor(*one, [other = std::move(other)](error_code, Lease<int>) {}));
    pool.async_acquire(asio::bind_executor(on_other, [](error_code, Lease<int>) {}));
    held.release();
    one.reset();
    EXPECT_TRUE(pool.close(20s));
}

}  // namespace
}  // namespace weir::test
