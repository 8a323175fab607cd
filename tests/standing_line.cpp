// A line in which three or more stand: the short way, which must decide as the long one does.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/waiters.hpp"

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

/// Who acquires as handlers of one context, in whose order they are told.
template <class Pool>
class Line {
public:
    explicit Line(Pool& pool) : pool_{pool} {}

    void join(char name, std::chrono::steady_clock::duration wait = generous) {
        pool_.async_acquire_for(wait, [this, name](error_code failed, Lease<FakeConn> lease) {
            told_ += name;
            if (failed) told_ += failed == Errc::timed_out ? '-' : failed == Errc::closed ? '.' : '!';
            if (lease) last_.emplace(std::move(lease));
        });
    }

    /// The names of those who have been told since the last call, who has failed with a mark.
    std::string told() {
        io_.restart();
        io_.poll();
        return std::exchange(told_, {});
    }

    /// Until somebody has been told.
    std::string await() {
        io_.restart();
        auto const until = std::chrono::steady_clock::now() + generous;
        while (told_.empty() && std::chrono::steady_clock::now() < until) io_.run_one_for(10ms);
        return told();
    }

    Lease<FakeConn> take() { return std::exchange(last_, {}).value_or(Lease<FakeConn>{}); }

    static asio::io_context& context() {
        static asio::io_context io;
        return io;
    }

private:
    Pool& pool_;
    asio::io_context& io_ = context();
    std::string told_;
    std::optional<Lease<FakeConn>> last_;
};

template <class Pool>
struct Scarce {
    explicit Scarce(typename Pool::Options options = {}) : pool{executor(), connector, with_one(std::move(options))} {}

    static auto executor() { return Line<Pool>::context().get_executor(); }
    static auto with_one(typename Pool::Options options) {
        options.size.high = 1;
        return options;
    }

    /// The only one is lent, and these stand in line.
    void begin(std::string const& names) {
        held = pool.acquire();
        for (char const name : names) line.join(name);
        ASSERT_EQ(pool.stats().waiting, names.size());
    }

    /// Gives back what was lent, and tells who has it then.
    std::string pass_on() {
        held.release();
        auto const told = line.told();
        held = line.take();
        return told;
    }

    void end() {
        while (held) pass_on();
        expect_drained(pool, connector);
    }

    FakeConnector connector;
    Pool pool;
    Line<Pool> line{pool};
    Lease<FakeConn> held;
};

// rule 9
TEST(StandingLine, Rule9ServesInOrderAndCountsEach) {
    Scarce<FakePool<>> scarce;
    scarce.begin("abcd");
    EXPECT_EQ(scarce.pass_on(), "a");
    EXPECT_EQ(scarce.pass_on(), "b");
    scarce.line.join('e');
    EXPECT_EQ(scarce.pass_on(), "c");
    EXPECT_EQ(scarce.pass_on(), "d");
    EXPECT_EQ(scarce.pass_on(), "e");
    auto const stats = scarce.pool.stats();
    EXPECT_EQ(stats.waited, 5u);
    EXPECT_EQ(stats.acquired, 6u);
    EXPECT_EQ(stats.connected, 1u);
    scarce.end();
}

TEST(StandingLine, CountsHowLongEachHasWaited) {
    Scarce<FakePool<>> scarce;
    scarce.begin("abcd");
    std::this_thread::sleep_for(2ms);
    scarce.pass_on();
    EXPECT_GE(scarce.pool.stats().wait_time, 2ms);
    scarce.pass_on();
    EXPECT_GE(scarce.pool.stats().wait_time, 4ms);
    scarce.end();
}

// A line that has just been served to its end stands, as whoever comes next mostly waits, too.
TEST(StandingLine, Rule9StandsWhenAllHaveBeenServed) {
    Scarce<FakePool<>> scarce;
    scarce.begin("a");
    for (char name = 'b'; name != 'f'; ++name) {
        EXPECT_EQ(scarce.pass_on(), std::string(1, static_cast<char>(name - 1)));
        EXPECT_EQ(scarce.pool.stats().waiting, 0u);
        scarce.line.join(name);
        EXPECT_EQ(scarce.pool.stats().waiting, 1u);
    }
    EXPECT_EQ(scarce.pass_on(), "e");
    EXPECT_EQ(scarce.pool.stats().waited, 5u);
    scarce.end();
}

// rules 1, 11: nobody joins it who could be served, or for whom one could be opened.
TEST(StandingLine, Rule11EndsWithTheFirstReturnThatNobodyWaitsFor) {
    Scarce<FakePool<>> scarce;
    scarce.begin("a");
    EXPECT_EQ(scarce.pass_on(), "a");
    scarce.held.release();
    EXPECT_EQ(scarce.pool.stats().idle, 1u);
    scarce.line.join('b');
    EXPECT_EQ(scarce.line.told(), "b");
    EXPECT_EQ(scarce.pool.stats().waited, 1u);
    scarce.held = scarce.line.take();
    scarce.end();
}

TEST(StandingLine, Rule11EndsWithTheFirstRoom) {
    Scarce<FakePool<>> scarce;
    scarce.begin("a");
    EXPECT_EQ(scarce.pass_on(), "a");
    ASSERT_TRUE(scarce.pool.resize(2));
    scarce.line.join('b');
    EXPECT_EQ(scarce.line.await(), "b");
    EXPECT_EQ(scarce.pool.stats().open, 2u);
    EXPECT_EQ(scarce.pool.stats().waited, 1u);
    scarce.line.take().release();
    scarce.held.discard();
    scarce.end();
}

// rule 16: what comes back is for whose connect is in flight, if he asked first.
TEST(StandingLine, Rule16WhoseConnectIsInFlightIsServedBeforeThem) {
    FakeConnector connector;
    using Pool = FakePool<>;
    Pool pool{Line<Pool>::context().get_executor(), connector, {.size = {.high = 2}}};
    Line<Pool> line{pool};
    auto lent = pool.acquire();
    connector.gate(Hook::connect, Gate::never);
    for (char const name : {'a', 'b', 'c', 'd'}) line.join(name);
    ASSERT_TRUE(connector.await_blocked(Hook::connect, 1));
    ASSERT_EQ(pool.stats().waiting, 3u);
    lent.release();
    EXPECT_EQ(line.told(), "a");
    line.take().release();
    EXPECT_EQ(line.told(), "b");
    auto second = line.take();
    connector.gate(Hook::connect, Gate::ok);
    EXPECT_EQ(line.await(), "c");
    line.take().release();
    EXPECT_EQ(line.told(), "d");
    line.take().release();
    second.release();
    expect_drained(pool, connector);
}

// rule 8
TEST(StandingLine, Rule8RejectsOneMoreThanMaxWaiters) {
    Scarce<FakePool<>> scarce{{.size = {.max_waiters = 3}}};
    scarce.begin("abc");
    scarce.line.join('d');
    EXPECT_EQ(scarce.line.told(), "d!");
    EXPECT_EQ(scarce.pool.stats().rejected, 1u);
    EXPECT_EQ(scarce.pool.stats().waited, 3u);
    scarce.end();
}

// rule 6: the alarm is set for who joins behind others and has less time than they.
TEST(StandingLine, Rule6WhoHasLessTimeThanOthersIsToldInTime) {
    Scarce<FakePool<>> scarce;
    scarce.begin("abc");
    scarce.line.join('d', 5ms);
    EXPECT_EQ(scarce.line.await(), "d-");
    EXPECT_EQ(scarce.pool.stats().timed_out, 1u);
    EXPECT_EQ(scarce.pass_on(), "a");
    scarce.end();
}

// rule 5
TEST(StandingLine, Rule5WhoseTimeIsUpDoesNotJoin) {
    Scarce<FakePool<>> scarce;
    scarce.begin("abc");
    scarce.line.join('d', 0s);
    EXPECT_EQ(scarce.line.told(), "d-");
    EXPECT_EQ(scarce.pool.stats().waited, 3u);
    scarce.end();
}

// rule 12: also when the alarm has yet to ring.
TEST(StandingLine, Rule12AReturnPassesOverWhoseTimeIsUp) {
    for (int tries = 0; tries < 20; ++tries) {
        Scarce<FakePool<>> scarce;
        scarce.held = scarce.pool.acquire();
        scarce.line.join('a', 3ms);
        scarce.line.join('b');
        scarce.line.join('c');
        auto const up = std::chrono::steady_clock::now() + 3ms;
        while (std::chrono::steady_clock::now() < up) {
        }
        std::string told = scarce.pass_on();
        EXPECT_NE(told.find("a-"), std::string::npos) << told;
        EXPECT_NE(told.find('b'), std::string::npos) << told;
        scarce.end();
    }
}

// rules 22, 35
TEST(StandingLine, Rule35WhatIsOutOfDateIsReplacedForTheFirst) {
    Scarce<FakePool<>> scarce;
    scarce.begin("abc");
    auto const old = scarce.held.id();
    scarce.pool.refresh();
    scarce.held.release();
    EXPECT_EQ(scarce.line.await(), "a");
    scarce.held = scarce.line.take();
    EXPECT_NE(scarce.held.id(), old);
    EXPECT_EQ(scarce.pass_on(), "b");
    EXPECT_EQ(scarce.pool.stats().closed_stale, 1u);
    scarce.end();
}

// rules 22, 36
TEST(StandingLine, Rule36WhatIsOneTooManyIsClosedAndNotHandedOn) {
    FakeConnector connector;
    using Pool = FakePool<>;
    Pool pool{Line<Pool>::context().get_executor(), connector, {.size = {.high = 2}}};
    Line<Pool> line{pool};
    auto one = pool.acquire();
    auto other = pool.acquire();
    for (char const name : {'a', 'b', 'c'}) line.join(name);
    EXPECT_FALSE(pool.resize(1));
    one.release();
    EXPECT_EQ(line.told(), "");
    EXPECT_EQ(pool.stats().open, 1u);
    other.release();
    EXPECT_EQ(line.told(), "a");
    line.take().release();
    EXPECT_EQ(line.told(), "b");
    line.take().release();
    EXPECT_EQ(line.told(), "c");
    line.take().release();
    expect_drained(pool, connector);
}

// rules 22, 31
TEST(StandingLine, Rule31WhatIsWornIsReplacedForTheFirst) {
    using Pool = FakePool<Upkeep>;
    Scarce<Pool> scarce{{.upkeep = {.max_uses = 2}}};
    scarce.begin("abcd");
    EXPECT_EQ(scarce.pass_on(), "a") << "its second use";
    scarce.held.release();
    EXPECT_EQ(scarce.line.await(), "b");
    scarce.held = scarce.line.take();
    EXPECT_EQ(scarce.pool.stats().closed_age, 1u);
    scarce.end();
}

// rule 38
TEST(StandingLine, Rule38ACloseTellsAll) {
    Scarce<FakePool<>> scarce;
    scarce.begin("abcd");
    std::thread closer{[&] { EXPECT_TRUE(scarce.pool.close(generous)); }};
    std::string told;
    while (told.size() < 8 && !::testing::Test::HasFailure()) told += scarce.line.await();
    EXPECT_EQ(told, "a.b.c.d.");
    scarce.held.release();
    closer.join();
    EXPECT_EQ(scarce.line.told(), "");
    EXPECT_EQ(scarce.pool.stats().open, 0u);
}

// rule 38: between the beginning of a close and the end of their wait.
TEST(StandingLine, Rule38NobodyJoinsOrIsServedOnceACloseHasBegun) {
    Scarce<FakePool<>> scarce;
    scarce.begin("abc");
    std::optional<std::stop_callback<std::function<void()>>> on_stop;
    std::uint64_t closing = 0;
    on_stop.emplace(scarce.pool.lifetime().stop_token(), [&] {
        scarce.line.join('d');
        scarce.held.release();
        closing = scarce.pool.stats().closed_drained + scarce.pool.stats().closing;
    });
    scarce.pool.close(0s);
    on_stop.reset();
    EXPECT_EQ(closing, 1u) << "it was handed on";
    std::string told;
    while (told.size() < 8 && !::testing::Test::HasFailure()) told += scarce.line.await();
    EXPECT_EQ(told, "d.a.b.c.");
    EXPECT_EQ(scarce.pool.stats().waited, 3u);
    EXPECT_TRUE(scarce.pool.close(generous));
}

// rule 9: threads take the same way.
TEST(StandingLine, Rule9ServesThreadsAndHandlersInOneOrder) {
    Scarce<FakePool<>> scarce;
    scarce.begin("a");
    auto b = wait_in_line(scarce.pool);
    auto c = wait_in_line(scarce.pool);
    scarce.line.join('d');
    EXPECT_EQ(scarce.pass_on(), "a");
    scarce.held.release();
    auto second = b.get();
    ASSERT_TRUE(second);
    EXPECT_EQ(scarce.pool.stats().waiting, 2u);
    second->release();
    auto third = c.get();
    ASSERT_TRUE(third);
    third->release();
    EXPECT_EQ(scarce.line.told(), "d");
    scarce.held = scarce.line.take();
    scarce.end();
}

}  // namespace
}  // namespace weir::test
