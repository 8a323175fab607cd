// What the fast path and the waits do without: allocations, locks, clock reads and system calls.

#include "support/cost.hpp"
#include "support/fake_pool.hpp"
#include "support/no_rounds.hpp"
#include "support/ownership.hpp"
#include "support/sanitizers.hpp"
#include "support/waiters.hpp"

#include <array>
#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <future>
#include <gtest/gtest.h>
#include <limits>
#include <mutex>
#include <new>
#include <thread>
#include <vector>
#include <weir/buffer_pool.hpp>
#include <weir/object_pool.hpp>
#include <weir/shared_pool.hpp>
#include <weir/testing/manual_clock.hpp>

#if defined(__GLIBC__) && !WEIR_TEST_UNDER_ASAN && !WEIR_TEST_UNDER_TSAN
#define WEIR_TEST_COUNTS_COST 1
#include <dlfcn.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#else
#define WEIR_TEST_COUNTS_COST 0
#endif

namespace weir::test {

bool const cost_is_counted = WEIR_TEST_COUNTS_COST != 0;
constinit thread_local Cost* running_cost = nullptr;

}  // namespace weir::test

#if WEIR_TEST_COUNTS_COST

namespace {

void count(std::size_t weir::test::Cost::*what) noexcept {
    if (weir::test::running_cost) ++(weir::test::running_cost->*what);
}

// The function of that name that would have been called without this file.
template <class Function>
Function* next(std::atomic<void*>& cache, char const* name) noexcept {
    auto* found = cache.load(std::memory_order_relaxed);
    if (!found) {
        found = ::dlsym(RTLD_NEXT, name);
        cache.store(found, std::memory_order_relaxed);
    }
    return reinterpret_cast<Function*>(found);
}

}  // namespace

extern "C" {

void* __libc_malloc(std::size_t) noexcept;
void* __libc_calloc(std::size_t, std::size_t) noexcept;
void* __libc_realloc(void*, std::size_t) noexcept;
void* __libc_memalign(std::size_t, std::size_t) noexcept;

// `operator new` comes here too. So does Asio, whose recycler asks for `aligned_alloc`.
void* malloc(std::size_t size) noexcept {
    count(&weir::test::Cost::allocations);
    return __libc_malloc(size);
}

void* calloc(std::size_t number, std::size_t size) noexcept {
    count(&weir::test::Cost::allocations);
    return __libc_calloc(number, size);
}

void* realloc(void* old, std::size_t size) noexcept {
    count(&weir::test::Cost::allocations);
    return __libc_realloc(old, size);
}

void* memalign(std::size_t alignment, std::size_t size) noexcept {
    count(&weir::test::Cost::allocations);
    return __libc_memalign(alignment, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    count(&weir::test::Cost::allocations);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void** where, std::size_t alignment, std::size_t size) noexcept {
    count(&weir::test::Cost::allocations);
    *where = __libc_memalign(alignment, size);
    return *where ? 0 : ENOMEM;
}

int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
    static constinit std::atomic<void*> cache{nullptr};
    count(&weir::test::Cost::locks);
    return next<int(pthread_mutex_t*)>(cache, "pthread_mutex_lock")(mutex);
}

int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
    static constinit std::atomic<void*> cache{nullptr};
    count(&weir::test::Cost::locks);
    return next<int(pthread_mutex_t*)>(cache, "pthread_mutex_trylock")(mutex);
}

int clock_gettime(clockid_t clock, std::timespec* time) noexcept {
    static constinit std::atomic<void*> cache{nullptr};
    count(&weir::test::Cost::clock_reads);
    return next<int(clockid_t, std::timespec*)>(cache, "clock_gettime")(clock, time);
}

}  // extern "C"

#endif

namespace weir::test {
namespace {

/// The first return arms a timer, and the first acquire may look at it: neither belongs to what is measured. Nor does a
/// round of maintenance that finds nothing idle, stands still and has the next return set it going again.
template <class Pool>
void warm_up(Pool& pool) {
    for (int i = 0; i != 4; ++i) pool.acquire().release();
}

struct Costs : ::testing::Test {
    void SetUp() override {
        if (!cost_is_counted) GTEST_SKIP() << "not counted in this build";
    }

    FakeConnector connector;
};

// The instrument first: without it every test below would pass.
TEST_F(Costs, AreCounted) {
    // Volatile: what is freed unused need not be allocated at all, say compilers.
    void* volatile memory = nullptr;
    EXPECT_EQ(cost_of([&] { memory = ::operator new(8); }).allocations, 1u);
    ::operator delete(memory);
    EXPECT_EQ(cost_of([&] { memory = std::malloc(8); }).allocations, 1u);
    std::free(memory);
    EXPECT_EQ(cost_of([&] { memory = std::aligned_alloc(64, 64); }).allocations, 1u);
    std::free(memory);
    std::mutex mutex;
    EXPECT_EQ(cost_of([&] { std::lock_guard const lock{mutex}; }).locks, 1u);
    EXPECT_EQ(cost_of([] { (void)std::chrono::steady_clock::now(); }).clock_reads, 1u);
    EXPECT_EQ(cost_of([] {}).allocations, 0u);
}

// rule 51
TEST_F(Costs, Rule51AnIdleHitAndItsReturnCostNothing) {
    FakePool<> pool{connector.only_connect(), {.size = {.high = 4}}};
    NoRounds const alone{pool};
    warm_up(pool);
    auto const cost = cost_of([&] {
        for (int i = 0; i != 1000; ++i) {
            auto lease = pool.acquire();
            auto moved = std::move(lease);
            moved.release();
        }
    });
    EXPECT_EQ(cost.allocations, 0u);
    EXPECT_EQ(cost.locks, 0u);
    EXPECT_EQ(cost.clock_reads, 0u);
    expect_drained(pool, connector);
}

// rule 51
TEST_F(Costs, Rule51AnyOtherKindOfIdleHitNeitherAllocatesNorLocks) {
    FakePool<> pool{connector.only_connect(), {.size = {.high = 4}}};
    NoRounds const alone{pool};
    for (int i = 0; i != 4; ++i) {
        auto const one = pool.acquire();
        auto const two = pool.acquire();
    }
    auto const cost = cost_of([&] {
        for (int i = 0; i != 100; ++i) {
            auto const one = pool.try_acquire();
            auto const two = pool.try_acquire_for(1s);
        }
    });
    EXPECT_EQ(cost.allocations, 0u);
    EXPECT_EQ(cost.locks, 0u);
    expect_drained(pool, connector);
}

struct SetConn {
    int setting = 0;
};
struct SetConnector {
    SetConn connect() const { return {}; }
    void apply(SetConn& conn, int setting) const { conn.setting = setting; }
    void reset(SetConn& conn) const { conn.setting = 0; }
};

// rule 1, rule 51: also of one that shares its bucket with others, and those keep their order.
TEST_F(Costs, Rule51AHitBelowAnotherSettingNeitherAllocatesNorLocks) {
    Pool<SetConn, SettingBuckets<int, 1>> pool{SetConnector{}, {.size = {.high = 3}}};
    NoRounds const alone{pool};
    {
        auto const one = pool.acquire(1);
        auto const two = pool.acquire(2);
        auto const three = pool.acquire(3);
    }
    auto const applied = pool.stats().settings_applied;
    bool suits = true;
    auto const cost = cost_of([&] {
        for (int i = 0; i != 99; ++i) {
            int const wanted = 1 + i % 3;
            auto const lease = pool.acquire(wanted);
            suits &= lease->setting == wanted;
        }
    });
    EXPECT_TRUE(suits);
    EXPECT_EQ(cost.locks, 0u);
    EXPECT_EQ(pool.stats().settings_applied, applied);
    EXPECT_EQ(pool.stats().open, 3u);
}

// rule 51
TEST_F(Costs, Rule51AReturnOnAnotherThreadNeitherAllocatesNorLocks) {
    FakePool<> pool{connector.only_connect(), {.size = {.high = 4}}};
    NoRounds const alone{pool};
    warm_up(pool);
    auto lease = pool.acquire();
    Cost cost;
    std::thread{[&] { cost = cost_of([&] { lease.release(); }); }}.join();
    EXPECT_EQ(cost.allocations, 0u);
    EXPECT_EQ(cost.locks, 0u);
    expect_drained(pool, connector);
}

// rule 51
TEST_F(Costs, Rule51TheLockedStoresAllocateNothingEither) {
    auto const check = [this](auto& pool) {
        warm_up(pool);
        auto const cost = cost_of([&] {
            for (int i = 0; i != 100; ++i) pool.acquire().release();
        });
        EXPECT_EQ(cost.allocations, 0u);
        expect_drained(pool, connector);
    };
    auto connect = connector.only_connect();
    FakePool<LockedStack> stack{connect};
    check(stack);
    FakePool<LockedQueue> queue{connect};
    check(queue);
}

// rule 51
TEST_F(Costs, Rule51AnIdleHitAndItsReturnMakeNoSystemCall) {
#if WEIR_TEST_COUNTS_COST
    FakePool<> pool{connector.only_connect(), {.size = {.high = 4}}};
    NoRounds const alone{pool};
    warm_up(pool);
    auto const child = ::fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
        // From here on the kernel kills this process for any call but read, write, exit and return from a signal.
        if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) ::_exit(77);
        for (int i = 0; i != 1000; ++i) pool.acquire().release();
        ::syscall(SYS_exit, 0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "no seccomp here";
    EXPECT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), 0);
    expect_drained(pool, connector);
#endif
}

TEST_F(Costs, AnIdleObjectCostsNothingWhereverItLies) {
    ObjectPool<int> pool;
    BufferPool buffers;
    auto const use = [&] {
        for (int i = 0; i != 100; ++i) {
            auto const one = pool.acquire();
            auto const buffer = buffers.acquire(1000);
            // More than a thread keeps for itself.
            std::array<ObjectPool<int>::Lease, 40> many;
            for (auto& lease : many) lease = pool.acquire();
        }
    };
    use();
    auto const cost = cost_of(use);
    EXPECT_EQ(cost.allocations, 0u);
    EXPECT_EQ(cost.locks, 0u);
    EXPECT_EQ(cost.clock_reads, 0u);
    EXPECT_EQ(pool.stats().made, 41u);
}

// rule 14
TEST_F(Costs, Rule14AfterWarmUpAWaitAllocatesNothing) {
    FakePool<> pool{connector.only_connect(), {.size = {.high = 1}}};
    warm_up(pool);
    auto lease = pool.acquire();
    // Two threads hand it to and fro: each waits for the other's return in every round.
    constexpr int rounds = 50;
    std::atomic<int> turn{0};
    auto waiter = std::async(std::launch::async, [&] {
        std::size_t allocations = 0;
        for (int i = 0; i != rounds; ++i) {
            while (turn != i) std::this_thread::yield();
            auto const cost = cost_of([&] {
                if (!pool.try_acquire_for(generous)) std::abort();
            });
            if (i != 0) allocations += cost.allocations;
        }
        return allocations;
    });
    std::size_t allocations = 0;
    for (int i = 0; i != rounds; ++i) {
        EXPECT_TRUE(waiting(pool, 1));
        auto const cost = cost_of([&] {
            lease.release();
            lease = pool.acquire();
        });
        if (i != 0) allocations += cost.allocations;
        turn = i + 1;
    }
    EXPECT_EQ(waiter.get(), 0u);
    EXPECT_EQ(allocations, 0u);
    EXPECT_GE(pool.stats().waited, static_cast<std::uint64_t>(rounds));
    lease.release();
    expect_drained(pool, connector);
}

// rule 14
TEST_F(Costs, Rule14AfterWarmUpAWaitThatTimesOutAllocatesNothing) {
    FakePool<> pool{connector.only_connect(), {.size = {.high = 1}}};
    auto const lease = pool.acquire();
    // Who is held up on his way into line finds his time over, and has not waited.
    auto const waits = [&](std::uint64_t count) {
        return eventually([&] {
            if (pool.try_acquire_for(100us)) std::abort();
            return pool.stats().waited >= count;
        });
    };
    EXPECT_TRUE(waits(1));
    bool waited = false;
    auto const cost = cost_of([&] { waited = waits(21); });
    EXPECT_TRUE(waited);
    EXPECT_EQ(cost.allocations, 0u);
}

/// A handler that acquires again, before or after it has given back.
struct Again {
    FakePool<>& pool;
    boost::asio::io_context& io;
    bool holds;
    int& left;

    void start() const { pool.async_acquire(boost::asio::bind_executor(io.get_executor(), *this)); }

    void operator()(boost::system::error_code failed, Lease<FakeConn> lease) const {
        if (!holds) lease.release();
        if (!failed && --left > 0) start();
    }
};

// rule 51: on the handlers' own thread Asio uses the memory of one operation for the next.
TEST_F(Costs, Rule51AnAsyncHitAndAHandOffAllocateNothingMore) {
    boost::asio::io_context io;
    FakePool<> pool{io.get_executor(), connector.only_connect(), {.size = {.high = 1}}};
    NoRounds const alone{pool};
    warm_up(pool);
    auto const waited_before = pool.stats().waited;
    for (bool const holds : {false, true}) {
        // Whatever it costs to begin and to end, it is the same.
        auto const allocations = [&](int rounds) {
            int left = rounds;
            auto const cost = cost_of([&] {
                Again{pool, io, holds, left}.start();
                io.restart();
                io.run();
            });
            EXPECT_EQ(left, 0);
            return cost.allocations;
        };
        allocations(10);
        EXPECT_EQ(allocations(10), allocations(1000)) << holds;
        EXPECT_EQ(pool.stats().waited > waited_before, holds);
    }
    expect_drained(pool, connector);
}

// rule 51: what is posted to the handler's executor is a part of the waiter.
TEST_F(Costs, Rule51AHandOffFromAnotherThreadAllocatesNothing) {
    boost::asio::io_context io;
    FakePool<> pool{connector.only_connect(), {.size = {.high = 1}}};
    warm_up(pool);
    auto const allocations = [&](auto const& executor) {
        auto lease = pool.acquire();
        bool served = false;
        pool.async_acquire(boost::asio::bind_executor(
            executor, [&served](boost::system::error_code failed, Lease<FakeConn> const&) { served = !failed; }));
        auto const cost = cost_of([&] { lease.release(); });
        io.restart();
        io.run();
        EXPECT_TRUE(served);
        return cost.allocations;
    };
    auto const strand = boost::asio::make_strand(io);
    for (int i = 0; i != 3; ++i) {
        EXPECT_EQ(allocations(io.get_executor()), 0u);
        EXPECT_EQ(allocations(strand), 0u);
    }
    expect_drained(pool, connector);
}

// rule 30
TEST_F(Costs, Rule30ASweepThatFindsNothingAllocatesNothing) {
    boost::asio::io_context never_run;
    FakePool<testing::ManualClock> pool{
        never_run.get_executor(), connector.only_connect(), {.size = {.high = 8}, .idle = {.ttl = 8s}}};
    {
        std::vector<Lease<FakeConn>> leases;
        for (int i = 0; i != 8; ++i) leases.push_back(pool.acquire());
    }
    testing::ManualClock::advance(1s);
    auto const cost = cost_of([&] {
        for (int i = 0; i != 10; ++i) pool.sweep();
    });
    EXPECT_EQ(cost.allocations, 0u);
    EXPECT_EQ(pool.stats().idle, 8u);
    expect_drained(pool, connector);
}

TEST_F(Costs, ABufferPoolLosesNothingForWantOfMemory) {
    BufferPool pool;
    EXPECT_THROW((void)pool.acquire(std::numeric_limits<std::size_t>::max() / 4), std::bad_alloc);
    EXPECT_EQ(pool.stats(), ObjectStats{});
}

// rule 51
TEST_F(Costs, Rule51AShareOfWhatOthersUseTakesNoLockEither) {
    SharedPool<FakeConn> pool{connector.only_connect()};
    auto const held = pool.acquire();
    warm_up(pool);
    auto const cost = cost_of([&] {
        for (int i = 0; i != 100; ++i) {
            auto const one = pool.acquire();
            auto const other = pool.acquire();
        }
    });
    EXPECT_EQ(cost.allocations, 0u);
    EXPECT_EQ(cost.locks, 0u);
    EXPECT_EQ(cost.clock_reads, 0u);
}

}  // namespace
}  // namespace weir::test
