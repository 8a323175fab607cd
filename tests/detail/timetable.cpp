// Things done now and then, on one thread for all.

#include "support/eventually.hpp"

#include <atomic>
#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <semaphore>
#include <set>
#include <thread>
#include <weir/detail/timetable.hpp>

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using detail::Timetable;
using Entry = Timetable::Entry;

bool always() { return true; }
bool never() { return false; }

TEST(Timetable, DoesNothingUntilItIsBegun) {
    std::atomic<int> rounds{0};
    {
        Entry const entry{0ms, {[&] { ++rounds; }, &always}};
        std::this_thread::sleep_for(2ms);
    }
    EXPECT_EQ(rounds, 0);
}

TEST(Timetable, DoesItAgainAsLongAsItIsWanted) {
    std::atomic<int> left{5};
    Entry entry{0ms, {[&] { --left; }, [&] { return left > 0; }}};
    entry.begin();
    EXPECT_TRUE(eventually([&] { return left == 0; }));
    std::this_thread::sleep_for(2ms);
    EXPECT_EQ(left, 0);
    left = 2;
    entry.begin();
    EXPECT_TRUE(eventually([&] { return left == 0; })) << "it does not begin again";
}

TEST(Timetable, WaitsBetweenRounds) {
    std::atomic<int> rounds{0};
    Entry entry{1h, {[&] { ++rounds; }, &always}};
    entry.begin();
    entry.begin();
    std::this_thread::sleep_for(2ms);
    EXPECT_EQ(rounds, 0);
}

TEST(Timetable, NeverComesToWhatIsFurtherOffThanTimeGoes) {
    std::atomic<int> rounds{0};
    std::atomic<bool> other_done{false};
    Entry entry{Timetable::duration::max(), {[&] { ++rounds; }, &always}};
    Entry other{0ms, {[&] { other_done = true; }, &never}};
    entry.begin();
    other.begin();
    EXPECT_TRUE(eventually([&] { return other_done.load(); }));
    EXPECT_EQ(rounds, 0);
}

// Who wants it looks whether it has begun; who ends it looks whether it is wanted.
TEST(Timetable, ForgetsNobodyWhoWantsItWhileItEnds) {
    std::atomic<int> wanted{0};
    std::atomic<int> done{0};
    Entry entry{0ms, {[&] { done += wanted.exchange(0); }, [&] { return wanted != 0; }}};
    for (int i = 1; i != 3000; ++i) {
        ++wanted;
        entry.begin();
        if (i % 3 == 0) {
            ASSERT_TRUE(eventually([&] { return done == i; })) << i;
        }
    }
}

TEST(Timetable, HasOneThreadForAll) {
    std::mutex mutex;
    std::set<std::thread::id> threads;
    std::atomic<int> rounds{0};
    auto const note = [&] {
        std::lock_guard const lock{mutex};
        threads.insert(std::this_thread::get_id());
        ++rounds;
    };
    Entry one{0ms, {note, &never}};
    Entry other{0ms, {note, &never}};
    one.begin();
    other.begin();
    EXPECT_TRUE(eventually([&] { return rounds == 2; }));
    std::lock_guard const lock{mutex};
    EXPECT_EQ(threads.size(), 1u);
    EXPECT_EQ(threads.count(std::this_thread::get_id()), 0u);
}

TEST(Timetable, AnEntryThatEndsWaitsForWhatIsUnderWay) {
    std::binary_semaphore inside{0};
    std::binary_semaphore go_on{0};
    std::atomic<bool> done{false};
    std::optional<Entry> entry;
    entry.emplace(0ms, Timetable::Task{[&] {
                                           inside.release();
                                           go_on.acquire();
                                           done = true;
                                       },
                                       &never});
    entry->begin();
    inside.acquire();
    std::thread later{[&] {
        std::this_thread::sleep_for(2ms);
        go_on.release();
    }};
    entry.reset();
    EXPECT_TRUE(done);
    later.join();
}

TEST(Timetable, AnEntryMayEndWithinWhatItDoes) {
    std::atomic<bool> done{false};
    auto entry = std::make_shared<std::unique_ptr<Entry>>();
    // The last entry there is, and so the thread's own end, too.
    *entry = std::make_unique<Entry>(0ms, Timetable::Task{[&done, entry] {
                                                              entry->reset();
                                                              done = true;
                                                          },
                                                          &always});
    (*entry)->begin();
    entry = nullptr;
    EXPECT_TRUE(eventually([&] { return done.load(); }));
}

TEST(Timetable, EndsWithTheLastAndStartsAgain) {
    for (int i = 0; i != 20; ++i) {
        std::atomic<bool> done{false};
        Entry entry{0ms, {[&] { done = true; }, &never}};
        entry.begin();
        ASSERT_TRUE(eventually([&] { return done.load(); }));
    }
}

}  // namespace
}  // namespace weir::test
