// The total over all keys: never more are open, nobody starves, and nobody sleeps while something could be had.

#include "support/eventually.hpp"
#include "support/hosts.hpp"

#include <atomic>
#include <chrono>
#include <future>
#include <gtest/gtest.h>
#include <latch>
#include <string>
#include <thread>
#include <vector>

namespace weir::test {
namespace {

struct KeyedTotal : ::testing::Test {
    Hosts hosts;

    template <class Pool>
    static auto ask(Pool& pool, std::string key) {
        return std::async(std::launch::async, [&pool, key] { return pool.try_acquire_for(key, 20s); });
    }
    /// The same, and it stands in line when this returns.
    template <class Pool>
    static auto wait_for(Pool& pool, std::string const& key) {
        auto const before = waiting(pool, key);
        auto waiter = ask(pool, key);
        EXPECT_TRUE(eventually([&] { return waiting(pool, key) == before + 1; }));
        return waiter;
    }
    template <class Pool>
    static std::uint64_t waiting(Pool const& pool, std::string const& key) {
        return pool.stats(key).waiting;
    }
};

TEST_F(KeyedTotal, ClosesWhatWasGivenBackLongestAgo) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 3}};
    for (auto const* key : {"a", "b", "c"}) pool.acquire(key).release();
    pool.acquire("a").release();  // now b is the coldest
    pool.acquire("d").release();
    EXPECT_EQ(hosts.close_order(), (std::vector<std::string>{"b"}));
    pool.acquire("e").release();
    pool.acquire("f").release();
    pool.acquire("g").release();
    EXPECT_EQ(hosts.close_order(), (std::vector<std::string>{"b", "c", "a", "d"}));
    EXPECT_TRUE(eventually([&] { return !pool.contains("d"); }));  // whose place is free a little earlier
    EXPECT_EQ(pool.stats().closed_excess, 4u);
    EXPECT_EQ(hosts.max_open(), 3u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, GoesByTheColdestOfEachKey) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 4}};
    auto a = pool.acquire("a");
    auto b = pool.acquire("b");
    auto other_b = pool.acquire("b");
    auto other_a = pool.acquire("a");
    b.release();
    a.release();
    other_a.release();
    other_b.release();
    for (int i = 0; i != 4; ++i) pool.acquire("x" + std::to_string(i)).release();
    EXPECT_EQ(hosts.close_order(), (std::vector<std::string>{"b", "a", "a", "b"}));
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, KeepsWhatIsLent) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 2}};
    auto a = pool.acquire("a");
    pool.acquire("b").release();
    auto c = pool.acquire("c");
    EXPECT_EQ(pool.try_acquire_for("d", 20ms).error(), Errc::timed_out);
    EXPECT_FALSE(pool.contains("d"));
    a.release();
    EXPECT_EQ(pool.acquire("d")->host(), "d");
    c.release();
    EXPECT_EQ(hosts.max_open(), 2u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, WhatComesBackMakesRoomForAnotherKey) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 1}};
    auto a = pool.acquire("a");
    auto waiter = wait_for(pool, "b");
    EXPECT_EQ(hosts.calls("b"), 0u);
    a.release();
    EXPECT_EQ(waiter.get().value()->host(), "b");
    EXPECT_FALSE(pool.contains("a"));
    EXPECT_EQ(hosts.max_open(), 1u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, WhatIsDiscardedOrDetachedMakesRoomToo) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 1}};
    auto a = pool.acquire("a");
    auto waiter = wait_for(pool, "b");
    a.discard();
    auto b = waiter.get();
    ASSERT_TRUE(b.has_value());
    auto next = wait_for(pool, "c");
    {
        auto taken = b->detach();
        EXPECT_TRUE(next.get().has_value());
        hosts.close(taken);
    }
    expect_ended(pool, hosts);
}

// No key starves while another, which is always busy, keeps its own.
TEST_F(KeyedTotal, AKeyThatHasNoneGoesBeforeTheWaitersOfOneThatHasSome) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 2}};
    auto one = pool.acquire("busy");
    auto two = pool.acquire("busy");
    auto busy = wait_for(pool, "busy");
    auto starving = wait_for(pool, "b");
    one.release();
    EXPECT_EQ(starving.get().value()->host(), "b");
    two.release();
    EXPECT_EQ(busy.get().value()->host(), "busy");
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, NobodyStarvesUnderABusyKey) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 2}};
    std::atomic<bool> over{false};
    std::vector<std::thread> busy;
    for (int i = 0; i != 4; ++i)
        busy.emplace_back([&] {
            while (!over) pool.acquire("busy").release();
        });
    for (int i = 0; i != 200; ++i) EXPECT_TRUE(pool.try_acquire_for("k" + std::to_string(i % 5), 20s).has_value());
    over = true;
    for (auto& thread : busy) thread.join();
    EXPECT_LE(hosts.max_open(), 2u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, KeysWithWaitersTakeTurns) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 1}};
    auto first = pool.acquire("a");
    auto a = wait_for(pool, "a");
    auto b = wait_for(pool, "b");
    auto c = wait_for(pool, "c");
    first.release();
    auto got_b = b.get();
    ASSERT_TRUE(got_b.has_value());
    got_b->release();
    auto got_c = c.get();
    ASSERT_TRUE(got_c.has_value());
    got_c->release();
    EXPECT_TRUE(a.get().has_value());
    EXPECT_EQ(hosts.max_open(), 1u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, OneThatLeavesTheLineLeavesNoTrace) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 1}};
    auto a = pool.acquire("a");
    EXPECT_EQ(pool.try_acquire_for("b", 5ms).error(), Errc::timed_out);
    auto again = pool.try_acquire("a");
    EXPECT_EQ(again.error(), Errc::exhausted);
    a.release();
    EXPECT_EQ(pool.stats("a").idle, 1u) << "closed for somebody who has gone";
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, TryingMakesRoomForALaterTry) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 1}};
    pool.acquire("a").release();
    EXPECT_EQ(pool.try_acquire("b").error(), Errc::exhausted);
    EXPECT_TRUE(eventually([&] { return pool.try_acquire("b").has_value(); }));
    EXPECT_EQ(hosts.max_open(), 1u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, AnEagerKeyDoesNotTakeBackWhatItMadeRoomWith) {
    HostPool<> pool{hosts, {.per_key = {.size = {.low = 2, .high = 2, .eager = true}}, .total = 2}};
    pool.acquire("a").release();
    ASSERT_TRUE(eventually([&] { return pool.stats("a").idle == 2; }));
    EXPECT_EQ(pool.try_acquire("b").error(), Errc::exhausted);
    EXPECT_TRUE(eventually([&] { return pool.try_acquire("b").has_value(); }));
    EXPECT_EQ(hosts.calls("a"), 2u);
    expect_ended(pool, hosts);
}

/// Keeps all, and counts how often a core has looked at that: at each step that it takes.
struct CountedSteps : KeepIdle {
    static inline std::atomic<std::size_t> steps{0};
    bool keeps_all() const noexcept {
        ++steps;
        return true;
    }
};

TEST_F(KeyedTotal, Rule14AnEagerKeyThatFailedAndHasNoPlaceDoesNotTryAllTheTime) {
    HostPool<CountedSteps> pool{hosts, {.per_key = {.size = {.low = 2, .high = 2, .eager = true}}, .total = 2}};
    auto const held = pool.acquire("a");
    ASSERT_TRUE(eventually([&] { return pool.stats("a").idle == 1; }));
    hosts.set("a", Host::refuses);
    pool.acquire("a").discard();
    ASSERT_TRUE(eventually([&] { return pool.stats("a").connect_failed > 0; }));
    auto const taken = pool.acquire("b");
    EXPECT_EQ(pool.try_acquire_for("c", 50ms).error(), Errc::timed_out);  // until the next attempt is due
    auto const before = CountedSteps::steps.load();
    EXPECT_EQ(pool.try_acquire_for("c", 50ms).error(), Errc::timed_out);
    EXPECT_LT(CountedSteps::steps - before, 200u);
}

// rule 8
TEST_F(KeyedTotal, Rule8WhereNobodyMayWaitRoomIsMadeAllTheSame) {
    HostPool<> pool{hosts, {.per_key = {.size = {.max_waiters = 0}}, .total = 1}};
    auto a = pool.acquire("a");
    EXPECT_EQ(pool.try_acquire_for("b", 20s).error(), Errc::too_many_waiters);
    EXPECT_EQ(pool.stats().rejected, 1u);
    a.release();
    EXPECT_TRUE(pool.try_acquire_for("b", 20s).has_value());
    EXPECT_EQ(pool.stats().rejected, 1u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, Rule8OnePlaceOnItsWayIsForOneWhereNobodyMayWait) {
    HostPool<> pool{hosts, {.per_key = {.size = {.max_waiters = 0}}, .total = 1}};
    for (int round = 0; round != 50; ++round) {
        pool.acquire("a").release();
        hosts.hang_closes("a", true);
        std::latch both{2};
        std::atomic<int> refused{0};
        std::atomic<int> served{0};
        std::vector<std::thread> askers;
        for (std::string const key : {"b", round % 2 == 0 ? "b" : "c"})
            askers.emplace_back([&, key] {
                both.arrive_and_wait();
                pool.try_acquire_for(key, 20s) ? ++served : ++refused;
            });
        EXPECT_TRUE(eventually([&] { return refused == 1; }, 10s)) << "round " << round;
        hosts.hang_closes("a", false);
        for (auto& asker : askers) asker.join();
        ASSERT_EQ(served, 1);
    }
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, Rule8APlaceThatComesWhileHeIsToldIsHis) {
    HostPool<> pool{hosts, {.per_key = {.size = {.max_waiters = 0}}, .total = 1}};
    for (int round = 0; round != 10'000; ++round) {
        auto const lease = pool.try_acquire_for(round % 2 == 0 ? "a" : "b", 20s);
        ASSERT_TRUE(lease.has_value()) << "round " << round;
    }
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, Rule8NobodyIsRefusedWhereThereIsAPlaceForEach) {
    HostPool<> pool{hosts, {.per_key = {.size = {.max_waiters = 0}}, .total = 4}};
    std::atomic<int> refused{0};
    std::vector<std::thread> threads;
    for (int t = 0; t != 4; ++t)
        threads.emplace_back([&, t] {
            for (int n = 0; n != 2'000; ++n)
                if (!pool.try_acquire_for(std::to_string(t) + "-" + std::to_string(n % 6), 20s)) ++refused;
        });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(refused, 0) << "the other three have three at most";
    EXPECT_LE(hosts.max_open(), 4u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, Rule38WhoIsLateIsToldThatThePoolIsClosed) {
    for (int round = 0; round != 200 && !HasFailure(); ++round) {
        HostPool<> pool{hosts, {.per_key = {.size = {.max_waiters = 0}}, .total = 4}};
        std::latch asking{2};
        std::thread asker{[&] {
            boost::system::error_code error;
            for (int n = 0; !error; ++n) {
                error = pool.try_acquire_for("k" + std::to_string(n % 9), 20s).error();
                if (n == 0) asking.arrive_and_wait();
            }
            EXPECT_EQ(error, Errc::closed) << "round " << round;
        }};
        asking.arrive_and_wait();
        pool.close(20s);
        asker.join();
    }
}

TEST_F(KeyedTotal, NothingIsClosedForOneThatLacksMoreThanAPlace) {
    HostPool<> pool{hosts, {.per_key = {.size = {.high = 1}}, .total = 2}};
    auto a = pool.acquire("a");
    pool.acquire("b").release();
    EXPECT_EQ(pool.try_acquire("a").error(), Errc::exhausted);
    EXPECT_EQ(pool.try_acquire_for("a", 5ms).error(), Errc::timed_out);
    EXPECT_EQ(hosts.closed(), 0u);
    a.release();
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, APlaceThatAFailedConnectLeavesGoesOn) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 1}};
    hosts.set("hangs", Host::hangs);
    auto hanging = ask(pool, "hangs");
    EXPECT_TRUE(hosts.await_hanging("hangs", 1));
    auto waiter = wait_for(pool, "b");
    hosts.set("hangs", Host::refuses);
    EXPECT_EQ(hanging.get().error(), boost::asio::error::connection_refused);
    EXPECT_TRUE(waiter.get().has_value());
    EXPECT_EQ(hosts.max_open(), 1u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, AKeyThatFailsOrHangsDelaysNoOther) {
    HostPool<Backoff> pool{hosts,
                           {.per_key = {.size = {.high = 2}, .connect = {.first = 1ms, .max = 2ms}}, .total = 8}};
    hosts.set("hangs", Host::hangs);
    hosts.set("refuses", Host::refuses);
    auto hanging = ask(pool, "hangs");
    EXPECT_TRUE(hosts.await_hanging("hangs", 1));
    auto refused = std::async(std::launch::async, [&] { return pool.try_acquire_for("refuses", 200ms); });
    for (int i = 0; i != 200; ++i) {
        auto const key = "k" + std::to_string(i % 20);
        EXPECT_TRUE(pool.try_acquire_for(key, 20s).has_value());
    }
    EXPECT_EQ(refused.get().error(), Errc::timed_out);
    hosts.set("hangs", Host::works);
    EXPECT_TRUE(hanging.get().has_value());
    EXPECT_LE(hosts.max_open(), 8u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, Rule6ACloseOfAnotherKeyThatHangsHoldsUpNobodysDeadline) {
    HostPool<> pool{hosts, {.total = 1}};
    hosts.hang_closes("hangs", true);
    pool.acquire("hangs").release();
    auto asking = std::async(std::launch::async, [&] {
        auto error = pool.try_acquire_for("other", 20ms).error();
        // Who is held up for so long on his way in asks for nothing.
        while (error == Errc::timed_out && pool.stats("hangs").idle == 1)
            error = pool.try_acquire_for("other", 20ms).error();
        return error;
    });
    EXPECT_TRUE(hosts.await_closing("hangs"));
    EXPECT_EQ(asking.wait_for(20s), std::future_status::ready);
    hosts.hang_closes("hangs", false);
    EXPECT_EQ(asking.get(), Errc::timed_out);
    EXPECT_TRUE(pool.try_acquire_for("other", 20s).has_value());
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, WhereTheCloseOfOneHangsThatOfAnotherMakesRoom) {
    // So little time is also little for a connect, which is tried again then.
    HostPool<Backoff> pool{hosts, {.per_key = {.connect = {.timeout = 50ms}}, .total = 2}};
    pool.acquire("hangs").release();
    pool.acquire("closes").release();
    hosts.hang_closes("hangs", true);
    auto const before = hosts.closed();
    auto waiter = ask(pool, "other");
    EXPECT_EQ(waiter.wait_for(19s), std::future_status::ready);
    ASSERT_GT(hosts.closed(), before);
    EXPECT_EQ(hosts.close_order()[before], "closes");
    hosts.hang_closes("hangs", false);
    EXPECT_TRUE(waiter.get().has_value());
    EXPECT_EQ(hosts.max_open(), 2u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, WhereTheCloseAtAReturnHangsThatOfAnotherMakesRoom) {
    HostPool<> pool{hosts, {.per_key = {.connect = {.timeout = 50ms}}, .total = 2}};
    auto hanging = pool.acquire("hangs");
    auto other = pool.acquire("closes");
    auto waiter = wait_for(pool, "b");
    hosts.hang_closes("hangs", true);
    auto returner = std::async(std::launch::async, [&] { hanging.release(); });
    EXPECT_TRUE(hosts.await_closing("hangs"));
    other.release();
    EXPECT_EQ(waiter.wait_for(15s), std::future_status::ready);
    hosts.hang_closes("hangs", false);
    returner.get();
    EXPECT_TRUE(waiter.get().has_value());
    expect_ended(pool, hosts);
}

// go-pooler: releasing all wakes all that now fit.
TEST_F(KeyedTotal, ClearingServesAllThatNowFit) {
    HostPool<> pool{hosts, {.per_key = {.size = {.high = 1}}, .total = 4}};
    std::vector<Lease<HostConn>> held;
    for (int i = 0; i != 4; ++i) held.push_back(pool.acquire("held" + std::to_string(i)));
    std::vector<std::future<boost::system::result<Lease<HostConn>>>> waiters;
    for (int i = 0; i != 4; ++i) waiters.push_back(wait_for(pool, "new" + std::to_string(i)));
    pool.clear();
    held.clear();
    for (auto& waiter : waiters) EXPECT_TRUE(waiter.get().has_value());
    EXPECT_EQ(hosts.max_open(), 4u);
    expect_ended(pool, hosts);
}

// go-pooler: a health check that frees the last slot wakes a waiter; here one of another key.
TEST_F(KeyedTotal, AFailedCheckServesWhoWaitsForTheTotal) {
    // A patient line leaves what is parked alone, so one may be idle while another key waits for it: not so here.
    HostPool<Upkeep> pool{hosts, {.per_key = {.upkeep = {.check_every = 20ms}}, .total = 2}};
    auto held = pool.acquire("held");
    pool.acquire("a").release();
    hosts.spoil("a");
    EXPECT_TRUE(eventually([&] { return !pool.contains("a"); }));
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    EXPECT_TRUE(pool.try_acquire_for("b", 20s).has_value());
    held.release();
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, ACheckThatFailsAtTheDoorServesAnotherKey) {
    HostPool<Upkeep> pool{hosts, {.per_key = {.upkeep = {.check_after_idle = 1ms}}, .total = 1}};
    pool.acquire("a").release();
    hosts.spoil("a");
    std::this_thread::sleep_for(2ms);  // what lies for less is not checked
    EXPECT_TRUE(pool.try_acquire_for("a", 20s).has_value()) << "replaced";
    EXPECT_TRUE(pool.try_acquire_for("b", 20s).has_value());
    EXPECT_EQ(hosts.max_open(), 1u);
    expect_ended(pool, hosts);
}

// rule 36
TEST_F(KeyedTotal, Rule36ASmallerTotalClosesIdleOnesTheColdestFirst) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 4}};
    auto held = pool.acquire("held");
    for (auto const* key : {"a", "b", "c"}) pool.acquire(key).release();
    EXPECT_TRUE(pool.resize(2));
    EXPECT_EQ(hosts.close_order(), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(pool.stats().high, 2u);
    EXPECT_FALSE(pool.resize(0, 1ms));
    EXPECT_EQ(hosts.close_order(), (std::vector<std::string>{"a", "b", "c"}));
    held.release();
    EXPECT_TRUE(pool.resize(0));
    EXPECT_EQ(pool.stats().open, 0u);
    EXPECT_EQ(pool.try_acquire_for("a", 5ms).error(), Errc::timed_out);
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, Rule36WhatIsBeingOpenedIsNotHandedOutWhereItIsOneTooMany) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 2}};
    hosts.set("a", Host::hangs);
    auto here = ask(pool, "a");
    EXPECT_TRUE(hosts.await_hanging("a", 1));
    std::promise<bool> told;
    auto there = told.get_future();
    pool.async_acquire_for("a", 20s, [&](auto error, auto) { told.set_value(!error); });
    EXPECT_TRUE(hosts.await_hanging("a", 2));
    EXPECT_FALSE(pool.resize(0));
    hosts.set("a", Host::works);
    EXPECT_TRUE(eventually([&] { return hosts.closed() == 2; }));
    EXPECT_EQ(here.wait_for(0s), std::future_status::timeout);
    EXPECT_EQ(there.wait_for(0s), std::future_status::timeout);
    EXPECT_TRUE(pool.resize(1));
    EXPECT_TRUE(here.get().has_value());
    EXPECT_TRUE(there.get());
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, Rule36ALargerTotalServesAsManyAsThereIsRoomFor) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 1}};
    auto held = pool.acquire("held");
    auto a = wait_for(pool, "a");
    auto b = wait_for(pool, "b");
    auto same = wait_for(pool, "held");
    EXPECT_TRUE(pool.resize(4));
    EXPECT_TRUE(a.get().has_value());
    EXPECT_TRUE(b.get().has_value());
    EXPECT_TRUE(same.get().has_value());
    held.release();
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, ResizeWaitsForLeasesOfAnyKey) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 2}};
    auto a = pool.acquire("a");
    auto b = pool.acquire("b");
    auto done = std::async(std::launch::async, [&] { return pool.resize(1, 20s); });
    EXPECT_TRUE(eventually([&] { return pool.stats().high == 1; }));
    a.release();
    EXPECT_TRUE(done.get());
    b.release();
    EXPECT_EQ(pool.stats().open, 1u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, NoSnapshotShowsMoreThanTheTotal) {
    HostPool<> pool{hosts, {.per_key = {.size = {.high = 2}}, .total = 3}};
    std::atomic<bool> over{false};
    std::vector<std::thread> threads;
    for (int i = 0; i != 3; ++i)
        threads.emplace_back([&, i] {
            for (int n = 0; !over; ++n) pool.acquire("k" + std::to_string((n + i) % 9)).release();
        });
    for (int i = 0; i != 500; ++i) {
        auto const stats = pool.stats();
        EXPECT_LE(stats.open, 3u);
        EXPECT_EQ(stats.open, stats.connecting + stats.idle + stats.leased + stats.closing);
    }
    over = true;
    for (auto& thread : threads) thread.join();
    EXPECT_LE(hosts.max_open(), 3u);
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, SnapshotsThatOverlapHoldUpNobody) {
    HostPool<> pool{hosts, {.per_key = {}, .total = 1}};
    std::atomic<bool> over{false};
    std::vector<std::thread> threads;
    for (int i = 0; i != 4; ++i)
        threads.emplace_back([&] {
            while (!over) EXPECT_LE(pool.stats().open, 1u);
        });
    auto const begin = std::chrono::steady_clock::now();
    for (int n = 0; n != 20; ++n) EXPECT_TRUE(pool.try_acquire_for(n % 2 ? "a" : "b", 20s).has_value());
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
    over = true;
    for (auto& thread : threads) thread.join();
    expect_ended(pool, hosts);
}

TEST_F(KeyedTotal, ATimedOutWaiterIsToldWhatThePoolWasBusyWith) {
    HostPool<> pool{hosts, {.per_key = {.wait = {.timeout = 5ms}}, .total = 1}};
    auto a = pool.try_acquire_for("a", 20s).value();
    try {
        pool.acquire("b").release();
        ADD_FAILURE() << "was served";
    } catch (boost::system::system_error const& e) {
        EXPECT_EQ(e.code(), Errc::timed_out);
        EXPECT_NE(std::string{e.what()}.find("all keys: open 1 of 1"), std::string::npos) << e.what();
    }
    a.release();
    expect_ended(pool, hosts);
}

// rule 19
TEST_F(KeyedTotal, Rule19AKeyWhoseConnectsTakeTooLongKeepsItsBackoff) {
    std::atomic<int> calls{0};
    auto const slow = [&](int) {
        ++calls;
        std::this_thread::sleep_for(30ms);
        return 1;
    };
    KeyedPool<int, int, Backoff> pool{slow, {.per_key = {.connect = {.timeout = 10ms, .first = 20s, .max = 20s}}}};
    EXPECT_EQ(pool.try_acquire_for(1, 1s).error(), Errc::timed_out);
    EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace weir::test
