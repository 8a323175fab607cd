// Code of the user's, run by the pool: it may call the pool, throw, and pool whatever can be moved once.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/recorder.hpp"
#include "support/waiters.hpp"

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

/// Calls everything that does not wait. Under any lock of the pool one of these would never return.
template <class Pool>
void call_everything(Pool& pool) {
    (void)pool.stats();
    (void)pool.last_connect_failure();
    (void)pool.lifetime();
    (void)pool.closed();
    pool.sweep();
    { auto const lease = pool.try_acquire(); }
    { auto const lease = pool.try_acquire_for(0s); }
    { auto const leases = pool.acquire_idle(); }
}

/// A resource whose destructor says so.
struct Noisy {
    explicit Noisy(std::function<void()> at_end) : end{std::move(at_end)} {}
    Noisy(Noisy&& other) noexcept : end{std::exchange(other.end, nullptr)} {}
    Noisy& operator=(Noisy&&) = delete;
    ~Noisy() {
        if (end) end();
    }
    std::function<void()> end;
};

/// A connector that calls back from every hook.
struct Calling {
    std::function<void()>* call;

    Noisy connect() {
        (*call)();
        return Noisy{[call = call] { (*call)(); }};
    }
    bool recycle(Noisy&) {
        (*call)();
        return true;
    }
    void close(Noisy&) { (*call)(); }
};

// rule 48
TEST(PoolUserCode, Rule48ConnectorHooksAndDestructorsMayCallThePool) {
    std::atomic<int> calls{0};
    int levels = 0;
    std::function<void()> call;
    // The executor never runs and the depth is bounded: a call within a call would go on for ever.
    asio::io_context never_run;
    Pool<Noisy> pool{never_run.get_executor(), Calling{&call}, {.size = {.high = 2}, .idle = {.max_idle = 1}}};
    auto const self = std::this_thread::get_id();
    call = [&] {
        if (std::this_thread::get_id() != self || levels != 0) return;
        ++levels;
        ++calls;
        call_everything(pool);
        --levels;
    };
    {
        auto const a = pool.acquire();
        auto const b = pool.acquire();
    }
    // The second may have been opened in the background, at the call of the first's connector.
    EXPECT_GE(calls, 1 + 2 + 1 + 1) << "connect, recycle twice, close, the destructor";
    pool.acquire().discard();
    EXPECT_TRUE(eventually([&] { return pool.stats().leased == 0 && pool.stats().connecting == 0; }));
    EXPECT_TRUE(pool.close(generous));
    EXPECT_EQ(pool.stats().open, 0u);
}

// rule 48
TEST(PoolUserCode, Rule48TheConnectorMayTakeAnotherResourceOfThePool) {
    FakeConnector connector;
    std::function<void()> inside;
    FakePool<> pool{[&] {
                        if (auto const once = std::exchange(inside, nullptr)) once();
                        return connector.connect();
                    },
                    {.size = {.high = 2}}};
    std::uint64_t inner = 0;
    inside = [&] { inner = pool.acquire()->id(); };
    EXPECT_EQ(pool.acquire()->id(), 2u);
    EXPECT_EQ(inner, 1u);
    EXPECT_EQ(pool.stats().idle, 2u);
}

// rule 48
TEST(PoolUserCodeObserver, Rule48ObserversMayCallThePool) {
    FakeConnector connector;
    Recorder recorder;
    FakePool<Recorder> pool{connector, {.size = {.high = 1, .max_waiters = 0}, .observer = recorder}};
    std::atomic<int> reactions{0};
    recorder.react([&] {
        ++reactions;
        (void)pool.stats();
        (void)pool.last_connect_failure();
        (void)pool.closed();
    });
    connector.pass(Hook::connect, Gate::error);
    EXPECT_FALSE(pool.try_acquire_for(generous));
    {
        auto const lease = pool.acquire();
        EXPECT_FALSE(pool.try_acquire_for(generous));
    }
    pool.acquire().discard();
    expect_drained(pool, connector);
    // connect_failed, connected, acquired, rejected, released, acquired, closed
    EXPECT_GE(reactions, 7);
    recorder.react(nullptr);
}

// rule 48
TEST(PoolUserCode, Rule48HandlersMayCallThePool) {
    FakeConnector connector;
    asio::io_context io;
    FakePool<> pool{io.get_executor(), connector, {.size = {.high = 1}}};
    int handled = 0;
    std::function<void()> next = [&] {
        pool.async_acquire([&](error_code ec, Lease<FakeConn> lease) {
            EXPECT_FALSE(ec);
            if (++handled == 5) return;
            EXPECT_EQ(pool.stats().leased, 1u);
            next();
            EXPECT_FALSE(pool.try_acquire());
            lease.release();
        });
    };
    next();
    io.run();
    EXPECT_EQ(handled, 5);
    expect_drained(pool, connector);
}

// rule 48
TEST(PoolUserCode, Rule48WhatACloseThrowsIsContained) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 1}}};
    connector.gate(Hook::close, Gate::error);
    for (int i = 0; i != 3; ++i) {
        auto lease = pool.try_acquire_for(generous);
        ASSERT_TRUE(lease) << "a lost slot";
        lease->discard();
    }
    connector.fail(Hook::close, std::make_exception_ptr(42));
    pool.acquire().discard();
    auto lease = pool.acquire();
    auto waiter = wait_in_line(pool);
    lease.discard();
    EXPECT_TRUE(waiter.get());
    EXPECT_EQ(pool.stats().closed_discarded, 5u);
    expect_drained(pool, connector);
}

// rule 48
TEST(PoolUserCode, Rule48WhatARecycleThrowsIsContained) {
    FakeConnector connector;
    FakePool<> pool{connector, {.size = {.high = 1}}};
    connector.fail(Hook::recycle, std::make_exception_ptr(42));
    connector.gate(Hook::recycle, Gate::error);
    for (int i = 0; i != 3; ++i) {
        auto const lease = pool.try_acquire_for(generous);
        ASSERT_TRUE(lease) << "a lost slot";
    }
    EXPECT_EQ(pool.stats().closed_unhealthy, 3u);
    EXPECT_EQ(pool.stats().leased, 0u);
    expect_drained(pool, connector);
}

/// A connector whose hooks call.
struct Announcing {
    FakeConnector fake;
    std::function<void(std::string const&)>* call;

    auto connect() { return fake.connect(); }
    bool recycle(FakeConn& conn) {
        (*call)("recycle");
        return fake.recycle(conn);
    }
    void close(FakeConn& conn) {
        fake.close(conn);
        (*call)("close");
    }
};

// rule 48, rule 24
TEST(PoolUserCode, Rule48AHookMayDestroyThePool) {
    for (std::string const where : {"recycle", "close"}) {
        FakeConnector connector;
        std::function<void(std::string const&)> call;
        auto pool = std::make_unique<FakePool<>>(Announcing{connector, &call});
        auto lease = pool->acquire();
        call = [&](std::string const& here) {
            if (here == where) pool.reset();
        };
        if (where == "recycle")
            lease.release();
        else
            lease.discard();
        EXPECT_FALSE(pool);
        expect_settled(connector);
    }
}

// ---- what can be pooled

struct ThrowsOnMove {
    explicit ThrowsOnMove(std::shared_ptr<int> count) : alive{std::move(count)} { ++*alive; }
    ThrowsOnMove(ThrowsOnMove&& other) : alive{other.alive} {
        if (armed) throw std::runtime_error{"cannot move"};
        ++*alive;
    }
    ThrowsOnMove& operator=(ThrowsOnMove&&) = delete;
    ~ThrowsOnMove() { --*alive; }

    std::shared_ptr<int> alive;
    static inline bool armed = false;
};

// rule 49, rule 48
TEST(PoolUserCodeTypes, Rule49AMoveThatThrowsLosesNoSlotAndLeaksNothing) {
    auto const alive = std::make_shared<int>(0);
    Pool<ThrowsOnMove> pool{
        [&]() -> boost::system::result<ThrowsOnMove> { return boost::system::result<ThrowsOnMove>{alive}; },
        {.size = {.high = 1}}};
    for (int i = 0; i != 3; ++i) {
        ThrowsOnMove::armed = true;
        try {
            // Moving it into the pool throws; should there be no move, there is nothing to throw.
            auto lease = pool.try_acquire_for(generous);
            if (lease) lease->discard();
        } catch (std::runtime_error const& error) {
            EXPECT_STREQ(error.what(), "cannot move");
        }
        ThrowsOnMove::armed = false;
        EXPECT_EQ(pool.stats().open, 0u) << "a lost slot";
        EXPECT_EQ(*alive, 0) << "a leak";
    }
    {
        auto lease = pool.try_acquire_for(generous);
        ASSERT_TRUE(lease);
        ThrowsOnMove::armed = true;
        EXPECT_THROW((void)lease->detach(), std::runtime_error);
        ThrowsOnMove::armed = false;
    }
    EXPECT_TRUE(pool.try_acquire_for(generous)) << "a lost slot";
    EXPECT_TRUE(pool.close(generous));
    EXPECT_EQ(pool.stats().open, 0u);
    EXPECT_EQ(*alive, 0) << "a leak";
}

template <std::size_t Alignment>
struct alignas(Alignment) Aligned {
    bool well_placed() const { return reinterpret_cast<std::uintptr_t>(this) % Alignment == 0; }
    char bytes[Alignment];
};

template <std::size_t Alignment>
void expect_alignment() {
    Pool<Aligned<Alignment>, Unbounded> pool{[] { return Aligned<Alignment>{}; }};
    std::vector<Lease<Aligned<Alignment>>> leases;
    for (int i = 0; i != 100; ++i) {
        leases.push_back(pool.acquire());
        EXPECT_TRUE(leases.back()->well_placed()) << Alignment;
    }
}

// rule 49
TEST(PoolUserCodeTypes, Rule49OverAlignedResourcesAreAligned) {
    expect_alignment<128>();
    expect_alignment<4096>();
}

/// Neither copyable, assignable nor default-made, and its address-of lies.
struct Awkward {
    explicit Awkward(int number) : value{number} {}
    Awkward(Awkward&&) = default;
    Awkward& operator=(Awkward&&) = delete;
    Awkward* operator&() { return nullptr; }
    int const value;
    std::unique_ptr<int> only_moved = std::make_unique<int>(7);
};

// rule 49
TEST(PoolUserCodeTypes, Rule49MoveConstructibleIsEnough) {
    Pool<Awkward> pool{[] { return Awkward{3}; }};
    auto lease = pool.acquire();
    ASSERT_NE(lease.get(), nullptr);
    ASSERT_EQ(lease.operator->(), lease.get());
    EXPECT_EQ(lease->value, 3);
    auto const own = lease.detach();
    EXPECT_EQ(*own.only_moved, 7);
}

struct Immovable {
    explicit Immovable(int number) : value{number} {}
    Immovable(Immovable&&) = delete;
    int value;
};

// rule 49
TEST(PoolUserCodeTypes, Rule49PointersServeForWhatCannotMove) {
    Pool<std::unique_ptr<Immovable>> unique{[] { return std::make_unique<Immovable>(1); }};
    EXPECT_EQ((*unique.acquire())->value, 1);
    Pool<std::shared_ptr<Immovable>> shared{[] { return std::make_shared<Immovable>(2); }};
    std::weak_ptr<Immovable> watch;
    {
        auto const lease = shared.acquire();
        watch = *lease;
    }
    EXPECT_FALSE(watch.expired()) << "idle";
    EXPECT_TRUE(shared.close());
    EXPECT_TRUE(watch.expired()) << "closed, but kept";
}

// rule 49
TEST(PoolUserCodeTypes, Rule49AResourceKeepsItsAddress) {
    Pool<std::string> pool{[] { return std::string{"connected"}; }, {.size = {.high = 2}}};
    auto lease = pool.acquire();
    auto* const address = lease.get();
    auto moved = std::move(lease);
    EXPECT_EQ(moved.get(), address);
    moved->append(" and changed");
    moved.release();
    auto const again = pool.acquire();
    EXPECT_EQ(again.get(), address);
    EXPECT_EQ(*again, "connected and changed") << "state stays with the resource";
}

}  // namespace
}  // namespace weir::test
