// Pools of objects: whom they lend to, what they keep, and how it ends. Races: stress/object_pool.cpp.

#include "support/eventually.hpp"
#include "support/threads.hpp"

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <gtest/gtest.h>
#include <latch>
#include <memory>
#include <optional>
#include <semaphore>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>
#include <weir/object_pool.hpp>

namespace weir::test {
namespace {

using namespace std::chrono_literals;

/// Knows how many there are, and which it is.
struct Thing {
    static inline std::atomic<int> living{0};
    static inline std::atomic<int> made{0};

    int id = ++made;
    int uses = 0;

    Thing() { ++living; }
    Thing(Thing&& other) noexcept : id{other.id}, uses{other.uses} { ++living; }
    Thing& operator=(Thing&&) = delete;
    ~Thing() { --living; }
};

using Pool = ObjectPool<Thing>;
using Leases = std::vector<Pool::Lease>;

struct ObjectPools : ::testing::Test {
    void SetUp() override {
        Thing::living = 0;
        Thing::made = 0;
    }
    void TearDown() override { EXPECT_EQ(Thing::living, 0) << "something has leaked, or was destroyed twice"; }
};

template <class P>
void expect_balanced(P const& pool) {
    auto const stats = pool.stats();
    EXPECT_EQ(stats.made, stats.dropped + stats.detached + stats.idle + stats.leased);
}

Leases acquire(Pool& pool, std::size_t count) {
    Leases leases;
    for (std::size_t i = 0; i != count; ++i) leases.push_back(pool.acquire());
    return leases;
}

/// Another thread, which lives on between the things that it is told to do.
class Other {
public:
    ~Other() { end(); }

    void run(std::function<void()> action) {
        action_ = std::move(action);
        go_.release();
        done_.acquire();
    }

    void end() {
        if (!thread_.joinable()) return;
        run(nullptr);
        thread_.join();
    }

private:
    std::function<void()> action_{};
    std::binary_semaphore go_{0};
    std::binary_semaphore done_{0};
    std::thread thread_{[this] {
        for (bool goes_on = true; goes_on;) {
            go_.acquire();
            goes_on = action_ != nullptr;
            if (goes_on) action_();
            done_.release();
        }
    }};
};

// ---- Acquire and return. -------------------------------------------------------------------------------------------

static_assert(!std::is_copy_constructible_v<Pool::Lease> && std::is_nothrow_move_constructible_v<Pool::Lease> &&
              std::is_nothrow_move_assignable_v<Pool::Lease>);
static_assert(!std::is_move_constructible_v<Pool>);

TEST_F(ObjectPools, LendTheLatestReturnedFirst) {
    Pool pool;
    auto first = pool.acquire();
    auto second = pool.acquire();
    EXPECT_NE(first->id, second->id);
    int const id = second->id;
    first.release();
    second.release();
    EXPECT_EQ(pool.acquire()->id, id);
    EXPECT_EQ(Thing::made, 2);
}

TEST_F(ObjectPools, MakeAsManyAsAreAskedForAndUseThemAgain) {
    Pool pool;
    for (int round = 0; round != 5; ++round) {
        auto const leases = acquire(pool, 100);
        std::set<int> ids;
        for (auto const& lease : leases) ids.insert(lease->id);
        EXPECT_EQ(ids.size(), 100u) << "one was lent twice";
        EXPECT_EQ(pool.stats().leased, 100u);
    }
    EXPECT_EQ(Thing::made, 100);
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 100, .reused = 400, .idle = 100}));
}

TEST_F(ObjectPools, MakeWhatCannotBeMoved) {
    struct Fixed {
        explicit Fixed(int n) : number{n} {}
        Fixed(Fixed&&) = delete;
        int number;
    };
    ObjectPool<Fixed> pool{[] { return Fixed{7}; }};
    auto const lease = pool.acquire();
    EXPECT_EQ(lease->number, 7);
}

TEST_F(ObjectPools, MakeWhatIsOverAlignedAndWhatIsAnAggregate) {
    struct alignas(512) Wide {
        int number;
    };
    ObjectPool<Wide> pool;
    auto const lease = pool.acquire();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(lease.get()) % 512, 0u);
    EXPECT_EQ(lease->number, 0);
}

TEST_F(ObjectPools, MakeWhatAMoveOnlyMakeReturns) {
    auto text = std::make_unique<std::string>("hello");
    ObjectPool<std::unique_ptr<std::string>> pool{
        [text = std::move(text)] { return std::make_unique<std::string>(*text); },
        [count = std::make_unique<int>(0)](std::unique_ptr<std::string>&) { ++*count; }};
    EXPECT_EQ(**pool.acquire(), "hello");
}

TEST_F(ObjectPools, LetPassWhatMakeThrowsAndLoseNothing) {
    int failures = 2;
    Pool pool{[&]() -> Thing {
        if (failures-- > 0) throw std::domain_error{"no"};
        return {};
    }};
    EXPECT_THROW((void)pool.acquire(), std::domain_error);
    EXPECT_THROW((void)pool.acquire(), std::domain_error);
    EXPECT_EQ(pool.stats(), ObjectStats{});
    EXPECT_EQ(pool.acquire()->id, 1);
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 1, .idle = 1}));
}

TEST_F(ObjectPools, AreUsedByTheirOwnMake) {
    Pool* used = nullptr;
    int depth = 0;
    Pool pool{[&] {
        if (depth++ == 0) used->acquire()->uses = 1;
        return Thing{};
    }};
    used = &pool;
    auto const lease = pool.acquire();
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 2, .idle = 1, .leased = 1}));
}

TEST_F(ObjectPools, ResetWhatComesBackAndOnlyThat) {
    int resets = 0;
    Pool pool{[] { return Thing{}; },
              [&](Thing& thing) {
                  thing.uses = 0;
                  ++resets;
              }};
    pool.acquire()->uses = 5;
    EXPECT_EQ(resets, 1);
    auto lease = pool.acquire();
    EXPECT_EQ(lease->uses, 0);
    EXPECT_EQ(Thing::made, 1);
    lease.discard();
    (void)pool.acquire().detach();
    EXPECT_EQ(resets, 1);
}

TEST_F(ObjectPools, DropWhatCannotBeReset) {
    bool fails = false;
    Pool pool{[] { return Thing{}; },
              [&](Thing&) {
                  if (fails) throw std::domain_error{"no"};
              }};
    pool.acquire().release();
    fails = true;
    EXPECT_NO_THROW(pool.acquire().release());
    EXPECT_EQ(Thing::living, 0);
    fails = false;
    pool.acquire().release();
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 2, .reused = 1, .dropped = 1, .idle = 1}));
}

TEST_F(ObjectPools, TellOneReturnByAnExceptionFromAnyOther) {
    Pool pool;
    try {
        auto const lease = pool.acquire();
        throw std::domain_error{"unwinds"};
    } catch (std::domain_error const&) {
    }
    EXPECT_EQ(pool.stats().idle, 1u);
}

// ---- Leases. -------------------------------------------------------------------------------------------------------

TEST_F(ObjectPools, LeaseGivesBackOnceHoweverItEnds) {
    Pool pool;
    Pool::Lease empty;
    EXPECT_FALSE(empty);
    EXPECT_EQ(empty.get(), nullptr);
    empty.release();
    empty.discard();

    auto lease = pool.acquire();
    EXPECT_TRUE(lease);
    EXPECT_EQ(&*lease, lease.get());
    auto moved = std::move(lease);
    EXPECT_FALSE(lease);
    auto& self = moved;
    moved = std::move(self);
    EXPECT_TRUE(moved);
    EXPECT_EQ(pool.stats().leased, 1u);
    moved.release();
    moved.release();
    moved.discard();
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 1, .idle = 1}));

    auto one = pool.acquire();
    auto other = pool.acquire();
    int const id = other->id;
    one = std::move(other);
    EXPECT_EQ(one->id, id);
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 2, .reused = 1, .idle = 1, .leased = 1}));
}

TEST_F(ObjectPools, LeaseDiscards) {
    Pool pool;
    auto lease = pool.acquire();
    lease.discard();
    EXPECT_FALSE(lease);
    EXPECT_EQ(Thing::living, 0);
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 1, .dropped = 1}));
}

TEST_F(ObjectPools, LeaseDetaches) {
    std::optional<Thing> kept;
    {
        Pool pool;
        auto lease = pool.acquire();
        lease->uses = 9;
        kept.emplace(lease.detach());
        EXPECT_FALSE(lease);
        EXPECT_EQ(pool.stats(), (ObjectStats{.made = 1, .detached = 1}));
    }
    EXPECT_EQ(kept->uses, 9);
    EXPECT_EQ(Thing::living, 1);
}

struct Clumsy {
    bool falls = false;
    Clumsy() = default;
    Clumsy(Clumsy&& other) : falls{other.falls} {
        if (falls) throw std::domain_error{"no"};
    }
};

TEST_F(ObjectPools, LeaseKeepsWhatCannotBeDetached) {
    ObjectPool<Clumsy> pool;
    auto lease = pool.acquire();
    lease->falls = true;
    EXPECT_THROW((void)lease.detach(), std::domain_error);
    EXPECT_TRUE(lease);
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 1, .leased = 1}));
    lease->falls = false;
    (void)lease.detach();
    EXPECT_EQ(pool.stats().detached, 1u);
}

// ---- Trims. --------------------------------------------------------------------------------------------------------

// As sync.Pool's: what one collection leaves the next one takes.
TEST_F(ObjectPools, KeepAnObjectForOneTrimAndNotForTwo) {
    Pool pool;
    pool.acquire().release();
    EXPECT_EQ(pool.trim(), 0u);
    EXPECT_EQ(Thing::living, 1);
    EXPECT_EQ(pool.trim(), 1u);
    EXPECT_EQ(Thing::living, 0);
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 1, .dropped = 1}));
    EXPECT_EQ(pool.trim(), 0u);
}

TEST_F(ObjectPools, SpareWhatWasUsedSinceTheLastTrim) {
    Pool pool;
    pool.acquire().release();
    for (int i = 0; i != 5; ++i) {
        EXPECT_EQ(pool.trim(), 0u);
        EXPECT_EQ(pool.acquire()->id, 1);
    }
    EXPECT_EQ(pool.trim(), 0u);
    EXPECT_EQ(pool.trim(), 1u);
}

TEST_F(ObjectPools, TrimNothingThatIsLent) {
    Pool pool;
    auto const lease = pool.acquire();
    for (int i = 0; i != 3; ++i) EXPECT_EQ(pool.trim(), 0u);
    EXPECT_EQ(lease->id, 1);
}

TEST_F(ObjectPools, TrimWhereverItLies) {
    Pool pool;
    acquire(pool, 500).clear();
    Other other;
    other.run([&] { acquire(pool, 600).clear(); });
    EXPECT_EQ(pool.stats().idle, 600u);
    EXPECT_EQ(pool.trim(), 0u);
    acquire(pool, 20).clear();  // lives on
    EXPECT_EQ(pool.trim(), 580u);
    EXPECT_EQ(Thing::living, 20);
    EXPECT_EQ(pool.trim(), 20u);
    EXPECT_EQ(Thing::living, 0);
    expect_balanced(pool);
}

/// Uses its pool when it ends.
struct Dependent {
    static inline ObjectPool<Dependent>* pool = nullptr;
    ObjectPool<Thing>::Lease thing;
    ~Dependent() {
        if (pool) (void)pool->stats();
        if (pool && pool->stats().made < 10) pool->acquire().release();
    }
};

TEST_F(ObjectPools, AreUsedByWhatTheyDestroy) {
    Pool things;
    ObjectPool<Dependent> pool{[&] { return Dependent{things.acquire()}; }};
    Dependent::pool = &pool;
    pool.acquire().release();
    for (int i = 0; i != 20; ++i) pool.trim();
    EXPECT_EQ(things.stats().leased, pool.stats().idle);
    pool.acquire().discard();
    Dependent::pool = nullptr;
}

/// Takes another of its pool's when it ends, twice.
struct Heir {
    static inline ObjectPool<Heir>* pool = nullptr;
    static inline int heirs = 0;
    Thing thing{};
    ~Heir() {
        if (heirs-- > 0) pool->acquire().release();
    }
};

TEST_F(ObjectPools, AreUsedByWhatTheyDestroyAtTheirEnd) {
    for (auto const max_idle : {std::optional<std::size_t>{}, std::optional<std::size_t>{1}}) {
        {
            ObjectPool<Heir> pool{ObjectPool<Heir>::Options{.max_idle = max_idle, .trim_every = 1h}};
            Heir::pool = &pool;
            Heir::heirs = 2;
            pool.acquire().release();
        }
        EXPECT_LT(Heir::heirs, 0);
        EXPECT_EQ(Thing::living, 0);
    }
}

TEST_F(ObjectPools, TrimInTheBackground) {
    Pool pool{Pool::Options{.trim_every = 1ms}};
    acquire(pool, 50).clear();
    // All of it: what a trim moves is idle nowhere for a moment.
    EXPECT_TRUE(eventually([&] { return pool.stats() == ObjectStats{.made = 50, .dropped = 50}; }));
    acquire(pool, 5).clear();
    EXPECT_TRUE(eventually([&] { return pool.stats().dropped == 55; })) << "it does not begin again";
}

TEST_F(ObjectPools, StartTheirThreadWithTheFirstObjectAndEndItWithTheLastPool) {
    start_and_end_a_thread();
    auto const before = count_threads();
    if (before == 0) GTEST_SKIP() << "nobody tells how many threads there are";
    {
        Pool first{Pool::Options{.trim_every = 1h}};
        Pool second{Pool::Options{.trim_every = 1h}};
        EXPECT_EQ(count_threads(), before);
        first.acquire().release();
        EXPECT_EQ(count_threads(), before + 1);
        second.acquire().release();
        EXPECT_EQ(count_threads(), before + 1);
    }
    // Joined, so it has gone, but for what the system has to do about it.
    EXPECT_TRUE(eventually([&] { return count_threads() == before; }));
}

TEST_F(ObjectPools, TrimOnAnExecutorOfTheUsers) {
    boost::asio::io_context io;
    std::optional<Pool> pool{std::in_place, io.get_executor(), [] { return Thing{}; },
                             Pool::Options{.trim_every = 1ms}};
    pool->acquire().release();
    std::this_thread::sleep_for(10ms);
    EXPECT_EQ(pool->stats().idle, 1u) << "trimmed by a thread of nobody knows whose";
    EXPECT_TRUE(eventually([&] {
        io.restart();
        io.poll();
        return pool->stats().dropped == 1;
    }));
    io.restart();
    io.run();  // or it keeps the context from ending
    std::this_thread::sleep_for(10ms);
    pool.reset();  // so that no other comes while they are counted
    io.restart();
    EXPECT_LE(io.run(), 1u) << "many trims were waiting";
}

TEST_F(ObjectPools, HaveNothingRunForThemWhileTheyAreEmpty) {
    boost::asio::io_context io;
    Pool pool{io.get_executor(), [] { return Thing{}; }, Pool::Options{.trim_every = 1ms}};
    pool.acquire().release();
    EXPECT_TRUE(eventually([&] {
        io.restart();
        io.poll();
        return pool.stats().dropped == 1;
    }));
    EXPECT_TRUE(eventually([&] {
        io.restart();
        io.poll();
        std::this_thread::sleep_for(20ms);
        io.restart();
        return io.poll() == 0;
    }));
}

TEST_F(ObjectPools, EndBeforeATrimThatIsStillToRun) {
    boost::asio::io_context io;
    {
        Pool pool{io.get_executor(), [] { return Thing{}; }, [](Thing&) {}, Pool::Options{.trim_every = 1ms}};
        pool.acquire().release();
        EXPECT_TRUE(eventually([&] { return pool.stats().idle == 1; }));
        std::this_thread::sleep_for(5ms);
    }
    EXPECT_EQ(Thing::living, 0);
    io.run();
}

TEST_F(ObjectPools, EndWithATrimThatIsNeverRun) {
    std::optional<boost::asio::io_context> io{std::in_place};
    {
        Pool pool{io->get_executor(), [] { return Thing{}; }, Pool::Options{.trim_every = 1ms}};
        auto const lease = pool.acquire();
        std::this_thread::sleep_for(5ms);
    }
    io.reset();
}

/// Ends the pool that it is of.
struct Last {
    std::shared_ptr<std::optional<ObjectPool<Last>>> pool;
    std::binary_semaphore* ended = nullptr;
    Last() = default;
    Last(Last&&) = default;
    ~Last() {
        if (!ended) return;
        pool->reset();
        ended->release();
    }
};

TEST_F(ObjectPools, EndWithinATrimOfTheirOwn) {
    std::binary_semaphore ended{0};
    {
        auto pool = std::make_shared<std::optional<ObjectPool<Last>>>();
        pool->emplace(ObjectPool<Last>::Options{.trim_every = 1ms});
        auto lease = (*pool)->acquire();
        lease->ended = &ended;
        lease->pool = std::move(pool);
        lease.release();
    }
    ended.acquire();
}

// ---- The bound. ----------------------------------------------------------------------------------------------------

TEST_F(ObjectPools, KeepNoMoreThanMaxIdle) {
    for (std::size_t const max_idle : {0u, 1u, 4u, 30u}) {
        Pool pool{Pool::Options{.max_idle = max_idle}};
        for (int round = 0; round != 3; ++round) {
            auto leases = acquire(pool, 50);
            while (!leases.empty()) {
                leases.pop_back();
                ASSERT_LE(pool.stats().idle, max_idle);
            }
            EXPECT_EQ(pool.stats().idle, max_idle);
            EXPECT_EQ(static_cast<std::size_t>(Thing::living), max_idle);
        }
        EXPECT_EQ(pool.stats().made, 50 + 2 * (50 - max_idle));
        expect_balanced(pool);
    }
}

TEST_F(ObjectPools, DropNothingWhileNoMoreThanMaxIdleAreIdle) {
    Pool pool{Pool::Options{.max_idle = 2}};
    auto const held = acquire(pool, 5);  // more than may be idle, and none of them is
    for (int i = 0; i != 10; ++i) acquire(pool, 2).clear();
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 7, .reused = 18, .idle = 2, .leased = 5}));
}

TEST_F(ObjectPools, CountWhatOtherThreadsKeepAgainstMaxIdle) {
    Pool pool{Pool::Options{.max_idle = 8}};
    std::array<Other, 4> others;
    for (auto& other : others) other.run([&] { acquire(pool, 2).clear(); });
    EXPECT_LE(pool.stats().idle, 8u);
    std::array<Leases, 4> held;
    for (std::size_t i = 0; i != 4; ++i) others[i].run([&] { held[i] = acquire(pool, 10); });
    EXPECT_EQ(pool.stats().idle, 0u);
    for (std::size_t i = 0; i != 4; ++i) others[i].run([&] { held[i].clear(); });
    EXPECT_EQ(pool.stats().idle, 8u);
    // Now that no more exist than may be idle, threads keep what they return again.
    for (auto& other : others) other.run([&] { acquire(pool, 2).clear(); });
    EXPECT_EQ(pool.stats().made, 40u);
    acquire(pool, 9).clear();
    EXPECT_EQ(pool.stats().idle, 8u);
    expect_balanced(pool);
}

// ---- Threads. ------------------------------------------------------------------------------------------------------

TEST_F(ObjectPools, LendWhatAnotherThreadReturned) {
    Pool pool;
    Other other;
    for (std::size_t const count : {1u, 5u, 27u, 28u, 100u}) {
        other.run([&] { acquire(pool, count).clear(); });
        auto const leases = acquire(pool, count);
        EXPECT_EQ(static_cast<std::size_t>(Thing::living), count) << "the other thread's are out of reach";
    }
}

TEST_F(ObjectPools, LendBackWhatWasTakenAway) {
    Pool pool;
    Other other;
    for (int i = 0; i != 1000; ++i) {
        other.run([&] { pool.acquire().release(); });
        pool.acquire().release();
    }
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 1, .reused = 1999, .idle = 1}));
}

TEST_F(ObjectPools, LoseNothingWithAThreadThatEnds) {
    Pool pool;
    std::thread{[&] { acquire(pool, 5).clear(); }}.join();
    EXPECT_EQ(pool.stats().idle, 5u);
    auto const leases = acquire(pool, 5);
    EXPECT_EQ(Thing::made, 5);
}

TEST_F(ObjectPools, GiveAThreadWhatTheOneBeforeItReturned) {
    Pool pool;
    for (int i = 0; i != 20; ++i) std::thread{[&] { acquire(pool, 3).clear(); }}.join();
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 3, .reused = 57, .idle = 3}));
}

TEST_F(ObjectPools, DestroyWhatThreadsHaveLeftBehind) {
    {
        Pool pool;
        Other other;
        for (int i = 0; i != 20; ++i) std::thread{[&] { acquire(pool, 3).clear(); }}.join();
        other.run([&] { acquire(pool, 30).clear(); });
    }
    EXPECT_EQ(Thing::living, 0);
}

TEST_F(ObjectPools, EndBeforeThreadsThatUsedThem) {
    Other other;
    for (int i = 0; i != 5; ++i) {
        Pool pool;  // at the same place each time
        EXPECT_EQ(pool.stats(), ObjectStats{});
        other.run([&] { acquire(pool, 3).clear(); });
        EXPECT_EQ(pool.stats().made, 3u);
    }
    EXPECT_EQ(Thing::living, 0);
}

TEST_F(ObjectPools, EndBeforeTheirLeases) {
    Leases here;
    Leases there;
    Other other;
    {
        Pool pool;
        other.run([&] {
            there = acquire(pool, 20);
            pool.acquire().release();
        });
        here = acquire(pool, 20);
        pool.acquire().release();
    }
    EXPECT_EQ(Thing::living, 40);
    EXPECT_EQ(here[3]->uses, 0);
    here.erase(here.begin(), here.begin() + 10);
    EXPECT_EQ(Thing::living, 30) << "what comes back is kept";
    here.back().discard();
    (void)here[5].detach();
    EXPECT_EQ(Thing::living, 28);
    other.run([&] {
        here.clear();
        there.clear();
    });
    EXPECT_EQ(Thing::living, 0);
}

// What the reset refers to may have gone with the pool.
TEST_F(ObjectPools, ResetNothingAfterTheirEnd) {
    int resets = 0;
    std::optional<Pool> pool{std::in_place, [] { return Thing{}; }, [&](Thing&) { ++resets; }};
    auto lease = pool->acquire();
    pool->acquire().release();
    EXPECT_EQ(resets, 1);
    pool.reset();
    lease.release();
    EXPECT_EQ(Thing::living, 0);
    EXPECT_EQ(resets, 1);
}

TEST_F(ObjectPools, EndBeforeALeaseOfAThreadThatNeverUsedThem) {
    auto pool = std::make_unique<Pool>(Pool::Options{.max_idle = 3});
    auto leases = acquire(*pool, 5);
    pool.reset();
    std::thread{[&] { leases.clear(); }}.join();
    EXPECT_EQ(Thing::living, 0);
}

/// Returns what it holds when its thread ends, and takes another.
struct AtExit {
    Pool* pool = nullptr;
    Pool::Lease lease{};
    ~AtExit() {
        if (!pool) return;
        lease.release();
        for (int i = 0; i != 3; ++i) pool->acquire().release();
    }
};
thread_local AtExit at_exit;

TEST_F(ObjectPools, AreUsedByAThreadThatIsEnding) {
    Pool pool;
    for (int i = 0; i != 3; ++i) {
        std::thread{[&] {
            at_exit.pool = &pool;  // made before the thread has a slot, and so destroyed after
            at_exit.lease = pool.acquire();
        }}.join();
    }
    EXPECT_EQ(pool.stats(), (ObjectStats{.made = 1, .reused = 11, .idle = 1}));
}

TEST_F(ObjectPools, AreForMoreThreadsThanHaveSlots) {
    constexpr std::size_t count = detail::numbered_threads + 8;
    Pool pool;
    std::latch all_hold{count};
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i != count; ++i) {
        threads.emplace_back([&] {
            auto lease = pool.acquire();
            all_hold.arrive_and_wait();
            lease.release();
            for (int k = 0; k != 10; ++k) pool.acquire().release();
        });
    }
    for (auto& thread : threads) thread.join();
    auto const stats = pool.stats();
    EXPECT_EQ(stats.made + stats.reused, count * 11);
    EXPECT_GE(stats.made, count);
    EXPECT_EQ(stats.idle, stats.made);
}

TEST_F(ObjectPools, GiveEachOfSeveralPoolsItsOwn) {
    Pool one{[] { return Thing{}; }};
    Pool other{[] {
        Thing thing;
        thing.uses = 100;
        return thing;
    }};
    for (int i = 0; i != 10; ++i) {
        auto const a = one.acquire();
        auto const b = other.acquire();
        EXPECT_LT(a->uses, 100);
        EXPECT_GE(b->uses, 100);
    }
    EXPECT_EQ(one.stats().made + other.stats().made, 2u);
}

// ---- Options. ------------------------------------------------------------------------------------------------------

TEST_F(ObjectPools, RefuseATimeBeforeNow) {
    try {
        Pool const pool{Pool::Options{.trim_every = -1ns}};
        ADD_FAILURE() << "took it";
    } catch (std::invalid_argument const& error) {
        EXPECT_NE(std::string{error.what()}.find("ObjectPool::Options::trim_every"), std::string::npos);
    }
}

TEST_F(ObjectPools, TakeTheirOptionsWithEverythingElse) {
    auto const make = [] { return Thing{}; };
    auto const reset = [](Thing&) {};
    boost::asio::io_context io;
    Pool const a{make, {.max_idle = 1}};
    Pool const b{make, reset, {.max_idle = 1}};
    Pool const c{io.get_executor(), make, {.max_idle = 1}};
    Pool const d{io.get_executor(), make, reset, {.max_idle = 1, .trim_every = 1h}};
    Pool const e{make};
    Pool const f{make, reset};
    EXPECT_EQ(f.stats(), ObjectStats{});
}

}  // namespace
}  // namespace weir::test
