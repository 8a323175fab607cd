// The hooks of a connector object: when each is called, what its answer does, and what its exceptions do not.
// rule 22 (a recycle that says no), rule 24 (a return never throws), rule 48 (throwing user code),
// rule 50 (failed hooks are unhealthy), rule 23 (a replacement for who waits), rule Z

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using weir::Errc;

// What the hooks shall do and what they saw. A plain close runs on workers, on several at once.
struct Manners {
    enum class Answer { yes, no, exception } recycle = Answer::yes;
    bool close_throws = false;
    std::atomic<int> recycled{0};
    std::atomic<int> closed{0};
};

bool answer(Manners& manners) {
    ++manners.recycled;
    if (manners.recycle == Manners::Answer::exception) throw std::runtime_error{"cannot be cleaned"};
    return manners.recycle == Manners::Answer::yes;
}

void say_goodbye(Manners& manners, Conn& conn) {
    conn.closed();
    ++manners.closed;
    if (manners.close_throws) throw std::runtime_error{"went away first"};
}

struct PlainHooks {
    Ledger* ledger;
    Manners* manners;
    asio::awaitable<Conn> connect() { co_return Conn{*ledger}; }
    bool recycle(Conn&) { return answer(*manners); }
    void close(Conn& conn) { say_goodbye(*manners, conn); }
};

struct AwaitableHooks {
    Ledger* ledger;
    Manners* manners;
    asio::awaitable<Conn> connect() { co_return Conn{*ledger}; }
    asio::awaitable<bool> recycle(Conn&) { co_return answer(*manners); }
    asio::awaitable<void> close(Conn& conn) {
        say_goodbye(*manners, conn);
        co_return;
    }
};

template <class Connector>
class ConnectorHooks : public testing::Test {
protected:
    Lease take() {
        Got got;
        pool.async_acquire(got.handler());
        EXPECT_TRUE(run_until(io, [&] { return got.done(); }));
        EXPECT_TRUE(got.succeeded()) << got.ec.message();
        return std::move(got.lease);
    }
    void end() {
        expect_clean_end(pool, io);
        EXPECT_TRUE(ledger.all_closed_once());
    }

    Ledger ledger;
    Manners manners;
    asio::io_context io;
    weir::Pool<Conn> pool{io.get_executor(), Connector{&ledger, &manners}, {.size = {.low = 0, .high = 2}}};
};

using Hooked = testing::Types<PlainHooks, AwaitableHooks>;
TYPED_TEST_SUITE(ConnectorHooks, Hooked);

// Called on every return, before anyone else can see the resource.
TYPED_TEST(ConnectorHooks, Rule22RecyclesOnEveryReturn) {
    for (int i = 1; i != 4; ++i) {
        this->take().release();
        ASSERT_TRUE(run_until(this->io, [&] { return this->pool.stats().idle == 1; }));
        EXPECT_EQ(this->manners.recycled, i);
    }
    EXPECT_EQ(this->ledger.opened(), 1);
    this->end();
    EXPECT_EQ(this->manners.recycled, 3) << "the close is no return";
}

// rule 22, rule 50: no, or an exception: closed as unhealthy, and the returner never hears of it.
TYPED_TEST(ConnectorHooks, Rule22ARefusedResourceIsClosedAsUnhealthy) {
    for (auto refusal : {Manners::Answer::no, Manners::Answer::exception}) {
        auto const before = this->pool.stats().closed_unhealthy;
        this->manners.recycle = refusal;
        this->take().release();
        ASSERT_TRUE(run_until(this->io, [&] { return this->pool.stats().open == 0; }));
        EXPECT_EQ(this->pool.stats().closed_unhealthy, before + 1);
        EXPECT_EQ(this->pool.stats().idle, 0u);
    }
    this->end();
}

// rule 23: whoever waits gets a replacement, not the refused one.
TYPED_TEST(ConnectorHooks, Rule23AWaiterGetsAReplacementForARefusedOne) {
    Lease a = this->take();
    Lease b = this->take();
    Got waiter;
    this->pool.async_acquire(waiter.handler());
    this->manners.recycle = Manners::Answer::no;
    int const refused_number = a->number();
    a.release();
    ASSERT_TRUE(run_until(this->io, [&] { return waiter.done(); }));
    ASSERT_TRUE(waiter.succeeded()) << waiter.ec.message();
    EXPECT_NE(waiter.lease->number(), refused_number);
    EXPECT_EQ(this->ledger.opened(), 3);
    this->manners.recycle = Manners::Answer::yes;
    waiter.lease.release();
    b.release();
    this->end();
}

// rule 22: what is discarded is closed without being recycled.
TYPED_TEST(ConnectorHooks, Rule22ADiscardedResourceIsNotRecycled) {
    this->take().discard();
    ASSERT_TRUE(run_until(this->io, [&] { return this->pool.stats().open == 0; }));
    EXPECT_EQ(this->manners.recycled, 0);
    EXPECT_EQ(this->manners.closed, 1);
    EXPECT_EQ(this->pool.stats().closed_discarded, 1u);
    this->end();
}

// A detached resource is its owner's: no hook of the pool touches it.
TYPED_TEST(ConnectorHooks, Rule26ADetachedResourceMeetsNoHook) {
    {
        Conn mine = this->take().detach();
        EXPECT_EQ(this->pool.stats().open, 0u);
        EXPECT_EQ(this->manners.recycled + this->manners.closed, 0);
        expect_clean_end(this->pool, this->io);
        EXPECT_EQ(this->manners.closed, 0);
    }
    EXPECT_TRUE(this->ledger.all_gone());
}

// rule 48: a goodbye that throws has been said all the same.
TYPED_TEST(ConnectorHooks, Rule48AThrowingCloseIsContained) {
    this->manners.close_throws = true;
    this->take().discard();
    ASSERT_TRUE(run_until(this->io, [&] { return this->pool.stats().open == 0; }));
    this->take().release();
    ASSERT_TRUE(run_until(this->io, [&] { return this->pool.stats().idle == 1; }));
    Lease held = this->take();
    this->pool.close(0s);
    held.release();
    this->end();
    EXPECT_EQ(this->manners.closed, 2);
}

// rule 24, rule 48: a return never throws, also while an exception is under way.
TYPED_TEST(ConnectorHooks, Rule24AThrowingHookDuringUnwindingIsContained) {
    this->manners.recycle = Manners::Answer::exception;
    this->manners.close_throws = true;
    try {
        Lease lease = this->take();
        throw std::logic_error{"the user's own"};
    } catch (std::logic_error const& e) {
        EXPECT_STREQ(e.what(), "the user's own");
    }
    ASSERT_TRUE(run_until(this->io, [&] { return this->pool.stats().open == 0; }));
    EXPECT_EQ(this->manners.closed, 1);
    this->end();
}

// ---- an awaitable recycle takes time

// Recycles at a gate and says what the test says.
struct GatedRecycle {
    Ledger* ledger;
    Gate* gate;
    std::atomic<int>* begun;
    asio::awaitable<Conn> connect() { co_return Conn{*ledger}; }
    asio::awaitable<bool> recycle(Conn&) {
        ++*begun;
        co_await gate->pass();
        co_return true;
    }
    void close(Conn& conn) { conn.closed(); }
};

struct SlowWorld {
    explicit SlowWorld(std::chrono::steady_clock::duration timeout = 1min)
        : pool{io.get_executor(),
               GatedRecycle{&ledger, &gate, &begun},
               {.size = {.low = 0, .high = 1}, .connect = {.timeout = timeout}}} {}

    Ledger ledger;
    asio::io_context io;
    Gate gate{io.get_executor()};
    std::atomic<int> begun{0};
    weir::Pool<Conn> pool;
};

// Until it ends the slot counts as leased, and nobody else sees the resource; then the longest waiter has it.
TEST(ConnectorHooksInTime, AResourceUnderRecycleIsNobodys) {
    SlowWorld world;
    Got first;
    world.pool.async_acquire(first.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return first.done(); }));
    first.lease.release();
    ASSERT_TRUE(run_until(world.io, [&] { return world.begun == 1; }));
    EXPECT_EQ(world.pool.stats().leased, 1u);
    EXPECT_EQ(world.pool.stats().idle, 0u);
    EXPECT_EQ(world.pool.try_acquire().error(), Errc::exhausted);
    EXPECT_TRUE(world.pool.acquire_idle().empty());
    Got waiter;
    world.pool.async_acquire(waiter.handler());
    poll(world.io);
    EXPECT_EQ(waiter.calls, 0);
    EXPECT_EQ(world.pool.stats().waiting, 1u);
    world.gate.open();
    ASSERT_TRUE(run_until(world.io, [&] { return waiter.done(); }));
    EXPECT_TRUE(waiter.succeeded());
    EXPECT_EQ(waiter.lease->number(), 0);
    waiter.lease.release();
    expect_clean_end(world.pool, world.io);
    EXPECT_TRUE(world.ledger.all_closed_once());
}

// It has a timeout of its own: a hook that hangs is cancelled and its resource closed.
TEST(ConnectorHooksInTime, ARecycleThatHangsIsCancelledAndItsResourceClosed) {
    SlowWorld world{1s};  // it has to open within this, too, and to begin
    Got first;
    world.pool.async_acquire(first.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return first.done(); }));
    ASSERT_TRUE(first.succeeded()) << first.ec.message();
    first.lease.release();
    ASSERT_TRUE(run_until(world.io, [&] { return world.pool.stats().open == 0; }))
        << "the gate is shut: only a timeout ends this";
    EXPECT_EQ(world.begun, 1);
    EXPECT_EQ(world.pool.stats().closed_unhealthy, 1u);
    world.gate.open();
    expect_clean_end(world.pool, world.io);
    EXPECT_TRUE(world.ledger.all_closed_once());
}

/// Stops when it is told to, and says that all is well.
struct CarefreeRecycle : GatedRecycle {
    asio::awaitable<bool> recycle(Conn& conn) {
        try {
            co_await GatedRecycle::recycle(conn);
        } catch (boost::system::system_error const&) {
            // As if nothing had happened.
        }
        co_return true;
    }
};

// rule 22: what it says after its time is not listened to.
TEST(ConnectorHooksInTime, Rule22ARecycleThatIsLateIsARefusalWhateverItSays) {
    Ledger ledger;
    asio::io_context io;
    Gate gate{io.get_executor()};
    std::atomic<int> begun{0};
    weir::Pool<Conn> pool{io.get_executor(), CarefreeRecycle{{&ledger, &gate, &begun}}, {.connect = {.timeout = 1s}}};
    Got first;
    pool.async_acquire(first.handler());
    ASSERT_TRUE(run_until(io, [&] { return first.done(); }));
    ASSERT_TRUE(first.succeeded()) << first.ec.message();
    first.lease.release();
    ASSERT_TRUE(run_until(io, [&] { return pool.stats().leased == 0 && pool.stats().closing == 0; }));
    EXPECT_EQ(begun, 1);
    EXPECT_EQ(pool.stats().idle, 0u);
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    expect_clean_end(pool, io);
    EXPECT_TRUE(ledger.all_closed_once());
}

// A hook under way keeps the context running: what it holds is not forgotten (rule 45 for work that is no maintenance).
TEST(ConnectorHooksInTime, ARecycleUnderWayIsWork) {
    SlowWorld world;
    Got first;
    world.pool.async_acquire(first.handler());
    ASSERT_TRUE(run_until(world.io, [&] { return first.done(); }));
    first.lease.release();
    EXPECT_TRUE(has_work(world.io));
    world.gate.open();
    EXPECT_TRUE(run_dry(world.io));
    EXPECT_EQ(world.pool.stats().idle, 1u);
    expect_clean_end(world.pool, world.io);
}

// rule 43: the pool may die under its hook; the resource is closed and then destroyed.
TEST(ConnectorHooksInTime, Rule43ThePoolMayDieUnderARecycle) {
    Ledger ledger;
    asio::io_context io;
    Gate gate{io.get_executor()};
    std::atomic<int> begun{0};
    Got first;
    {
        weir::Pool<Conn> pool{io.get_executor(), GatedRecycle{&ledger, &gate, &begun}};
        pool.async_acquire(first.handler());
        ASSERT_TRUE(run_until(io, [&] { return first.done(); }));
        first.lease.release();
        ASSERT_TRUE(run_until(io, [&] { return begun == 1; }));
    }
    EXPECT_TRUE(run_dry(io));
    EXPECT_TRUE(wait_until([&] { return ledger.alive() == 0; }));
    EXPECT_TRUE(ledger.all_closed_once());
}

// The close hook comes before the destructor, and without one the destructor alone does it.
TEST(ConnectorHooksInTime, WithoutAHookTheDestructorIsTheEnd) {
    Ledger ledger;
    weir::Pool<Conn> pool{[&] { return Conn{ledger}; }};
    pool.acquire().discard();
    EXPECT_TRUE(wait_until([&] { return ledger.alive() == 0; }));
    pool.acquire().release();
    EXPECT_TRUE(pool.close(patience));
    EXPECT_EQ(ledger.opened(), 2);
    EXPECT_EQ(ledger.closed(), 0);
    EXPECT_TRUE(ledger.all_gone());
}

}  // namespace
