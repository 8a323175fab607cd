#pragma once
// Acquires on threads of their own, and the order in which they were served.

#include "support/eventually.hpp"
#include "support/fake_pool.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <gtest/gtest.h>
#include <mutex>
#include <utility>
#include <vector>

namespace weir::test {

/// An acquire on a thread of its own. Its future's destructor waits for it, so it has a deadline.
template <class Pool>
auto acquire_elsewhere(Pool& pool, std::chrono::steady_clock::duration patience = generous) {
    return std::async(std::launch::async, [&pool, patience] { return pool.try_acquire_for(patience); });
}

/// The same, and it stands in line when this returns.
template <class Pool>
auto wait_in_line(Pool& pool, std::chrono::steady_clock::duration patience = generous) {
    auto const before = pool.stats().waiting;
    auto waiter = acquire_elsewhere(pool, patience);
    EXPECT_TRUE(eventually([&] { return pool.stats().waiting == before + 1; }));
    return waiter;
}

template <class Pool>
[[nodiscard]] bool waiting(Pool const& pool, std::size_t count) {
    return eventually([&] { return pool.stats().waiting == count; });
}

/// Stands in line until its short time is up. Who is held up for so long on his way there is told so without having
/// waited, and comes again: tells how often.
template <class Pool>
std::uint64_t wait_in_vain(Pool& pool, std::chrono::steady_clock::duration patience) {
    auto const before = pool.stats().waited;
    std::uint64_t times = 0;
    do {
        EXPECT_EQ(pool.try_acquire_for(patience).error(), Errc::timed_out);
        ++times;
    } while (pool.stats().waited == before && !::testing::Test::HasFailure());
    return times;
}

/// Who came when; from any thread.
template <class T>
class Log {
public:
    void add(T value) {
        std::lock_guard const lock{mutex_};
        values_.push_back(std::move(value));
    }
    std::vector<T> values() const {
        std::lock_guard const lock{mutex_};
        return values_;
    }
    std::size_t size() const { return values().size(); }

private:
    std::mutex mutable mutex_;
    std::vector<T> values_;
};

}  // namespace weir::test
