// Who is told: what an observer must be. What it is told and when is in pool_counting.cpp.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/recorder.hpp"

#include <gtest/gtest.h>
#include <memory>
#include <type_traits>
#include <weir/policy/concepts.hpp>
#include <weir/policy/observer.hpp>

namespace weir::test {
namespace {

using boost::system::error_code;

static_assert(std::is_same_v<decltype(FakePool<>::Options::observer), Silent>);
static_assert(std::is_same_v<Silent::policy_slot, slot::Observer>);
static_assert(ObserverPolicy<Silent, error_code>);
static_assert(ObserverPolicy<Recorder, error_code>);

struct Misspelt : Silent {
    void conected(duration) noexcept {}
    void connected() noexcept {}  // hides the one that would have done
};
static_assert(!ObserverPolicy<Misspelt, error_code>);

struct Throwing : Silent {
    void released(duration) {}
};
static_assert(!ObserverPolicy<Throwing, error_code>);

struct Slotless {};
static_assert(!ObserverPolicy<Slotless, error_code>);

/// Move-only, and it counts nothing but leases.
struct Counter {
    using policy_slot = slot::Observer;
    using duration = std::chrono::steady_clock::duration;

    std::unique_ptr<int> own = std::make_unique<int>(0);
    int* acquires = own.get();

    void connected(duration) noexcept {}
    void connect_failed(error_code) noexcept {}
    void acquired(duration) noexcept { ++*acquires; }
    void released(duration) noexcept {}
    void closed(Cause) noexcept {}
    void timed_out() noexcept {}
    void rejected() noexcept {}
    void overdue(std::uint64_t, duration) noexcept {}
    void returned_overdue(std::uint64_t, duration) noexcept {}
};

TEST(UserObserver, MayBeMoveOnly) {
    FakeConnector connector;
    Counter counter;
    auto* const acquires = counter.acquires;
    FakePool<Counter> pool{connector, {.observer = std::move(counter)}};
    pool.acquire().release();
    pool.acquire().release();
    EXPECT_EQ(*acquires, 2);
    expect_drained(pool, connector);
}

TEST(UserObserver, IsToldOfAnIdleHitWithNoWait) {
    FakeConnector connector;
    Recorder recorder;
    FakePool<Recorder> pool{connector, {.observer = recorder}};
    pool.acquire().release();
    EXPECT_TRUE(pool.try_acquire());
    EXPECT_EQ(recorder.told("acquired"), 2);
    EXPECT_EQ(recorder.last("acquired"), 0s);
    EXPECT_EQ(recorder.told("connected"), 1);
    EXPECT_EQ(recorder.told("released"), 2);
    expect_drained(pool, connector);
}

}  // namespace
}  // namespace weir::test
