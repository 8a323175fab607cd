// The mutex whose unlock is a plain store.

#include <atomic>
#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <mutex>
#include <support/eventually.hpp>
#include <thread>
#include <vector>
#include <weir/detail/mutex.hpp>

namespace weir::detail {
namespace {

using namespace std::chrono_literals;

TEST(Mutex, IsHeldByOne) {
    Mutex mutex;
    EXPECT_TRUE(mutex.try_lock());
    EXPECT_FALSE(mutex.try_lock());
    mutex.unlock();
    EXPECT_TRUE(mutex.try_lock());
    mutex.unlock();
}

TEST(Mutex, LetsThreadsInOneAtATime) {
    constexpr int threads = 4;
    constexpr int rounds = 20'000;
    Mutex mutex;
    int count = 0;
    std::vector<std::thread> all;
    for (int i = 0; i < threads; ++i) {
        all.emplace_back([&] {
            for (int k = 0; k < rounds; ++k) {
                std::lock_guard const lock{mutex};
                ++count;
            }
        });
    }
    for (auto& thread : all) thread.join();
    EXPECT_EQ(count, threads * rounds);
}

// They sleep while it is held for long, and each who unlocks wakes the next.
TEST(Mutex, WakesEachWhoSleeps) {
    constexpr int threads = 5;
    Mutex mutex;
    std::atomic<int> here{0};
    int through = 0;
    std::vector<std::thread> all;
    mutex.lock();
    for (int i = 0; i < threads; ++i) {
        all.emplace_back([&] {
            ++here;
            std::lock_guard const lock{mutex};
            std::this_thread::sleep_for(1ms);  // so that those behind sleep again
            ++through;
        });
    }
    ASSERT_TRUE(test::eventually([&] { return here == threads; }));
    std::this_thread::sleep_for(20ms);
    mutex.unlock();
    for (auto& thread : all) thread.join();
    EXPECT_EQ(through, threads);
}

// The last step of something may free it: whoever unlocks touches it no more. For the sanitizers.
TEST(Mutex, MayGoAsSoonAsItIsUnlocked) {
    struct Thing {
        Mutex mutex;
        bool done = false;
    };
    for (int i = 0; i < 2'000; ++i) {
        auto thing = std::make_unique<Thing>();
        thing->mutex.lock();
        std::thread other{[&] {
            for (;;) {
                std::unique_lock lock{thing->mutex};
                if (!thing->done) continue;
                lock.unlock();
                thing.reset();
                return;
            }
        }};
        thing->done = true;
        thing->mutex.unlock();
        other.join();
    }
}

}  // namespace
}  // namespace weir::detail
