// Numbers of threads: one each, and used again.

#include <atomic>
#include <gtest/gtest.h>
#include <latch>
#include <set>
#include <thread>
#include <vector>
#include <weir/detail/thread_number.hpp>

namespace weir::detail {
namespace {

unsigned number_of_a_new_thread() {
    unsigned number = 0;
    std::thread{[&] { number = ask_thread_number(); }}.join();
    return number;
}

TEST(ThreadNumber, StaysTheSameForAThread) {
    unsigned const number = ask_thread_number();
    EXPECT_LT(number, numbered_threads);
    EXPECT_EQ(ask_thread_number(), number);
    EXPECT_EQ(thread_number, number);
}

TEST(ThreadNumber, OfAThreadThatHasEndedIsTheNextOnes) {
    unsigned const own = ask_thread_number();
    unsigned const first = number_of_a_new_thread();
    EXPECT_NE(first, own);
    for (unsigned i = 0; i != 2 * numbered_threads; ++i) ASSERT_EQ(number_of_a_new_thread(), first);
}

// As many as there are, and a few more.
TEST(ThreadNumber, IsEachThreadsOwnAndSomeHaveNone) {
    constexpr unsigned more = 4;
    ask_thread_number();  // this thread's is one of them
    std::vector<unsigned> numbers(numbered_threads + more);
    std::latch all_have{numbered_threads + more};
    std::vector<std::thread> threads;
    for (unsigned& number : numbers) {
        threads.emplace_back([&] {
            number = ask_thread_number();
            all_have.arrive_and_wait();
        });
    }
    for (auto& thread : threads) thread.join();
    std::multiset<unsigned> const all(numbers.begin(), numbers.end());
    EXPECT_EQ(all.count(numbered_threads), more + 1);
    EXPECT_EQ(all.count(thread_number), 0u);
    EXPECT_EQ(std::set(numbers.begin(), numbers.end()).size(), numbered_threads) << "two have the same";
    EXPECT_LT(number_of_a_new_thread(), numbered_threads) << "the numbers have not come back";
}

/// Made before the thread has a number, and so destroyed after the number has gone.
struct Late {
    unsigned* seen = nullptr;
    ~Late() {
        if (seen) *seen = ask_thread_number();
    }
};
thread_local Late late;

TEST(ThreadNumber, IsNotAskedForAgainByWhatEndsLate) {
    unsigned number = 0;
    unsigned seen = 0;
    std::thread{[&] {
        late.seen = &seen;
        number = ask_thread_number();
    }}.join();
    EXPECT_LT(number, numbered_threads);
    EXPECT_EQ(seen, numbered_threads);
}

}  // namespace
}  // namespace weir::detail
