// Every shape a connector may have, and the context it is given.
// rule 15 (the connector runs once for an acquire), rule 49 (what a resource may be)

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/result.hpp>

#include <weir/connector.hpp>

#include <memory>
#include <optional>
#include <thread>
#include <utility>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using boost::system::result;
using weir::ConnectContext;

// ---- shapes

// Opens with the connector by a blocking acquire and by an asynchronous one, with and without an executor.
template <class Make>
void expect_opens(Make make) {
    {
        Ledger ledger;
        weir::Pool<Conn> pool{make(ledger)};
        Lease lease = pool.acquire();
        ASSERT_TRUE(lease);
        EXPECT_EQ(lease->number(), 0);
        lease.release();
        EXPECT_EQ(pool.stats().connected, 1u);
        EXPECT_TRUE(pool.close(patience));
        EXPECT_TRUE(ledger.all_gone());
    }
    Ledger ledger;
    asio::io_context io;
    weir::Pool<Conn> pool{io.get_executor(), make(ledger)};
    Got got;
    pool.async_acquire(got.handler());
    ASSERT_TRUE(run_until(io, [&] { return got.done(); }));
    ASSERT_TRUE(got.succeeded()) << got.ec.message();
    EXPECT_EQ(got.lease->number(), 0);
    got.lease.release();
    expect_clean_end(pool, io);
    EXPECT_EQ(ledger.opened(), 1);
    EXPECT_TRUE(ledger.all_gone());
}

TEST(ConnectorShapes, LambdaReturningAResource) {
    expect_opens([](Ledger& book) { return [&book] { return Conn{book}; }; });
}

TEST(ConnectorShapes, LambdaReturningAResult) {
    expect_opens([](Ledger& book) { return [&book]() -> result<Conn> { return Conn{book}; }; });
}

TEST(ConnectorShapes, LambdaReturningAnAwaitableResource) {
    expect_opens([](Ledger& book) { return [&book]() -> asio::awaitable<Conn> { co_return Conn{book}; }; });
}

TEST(ConnectorShapes, LambdaReturningAnAwaitableResult) {
    expect_opens([](Ledger& book) { return [&book]() -> asio::awaitable<result<Conn>> { co_return Conn{book}; }; });
}

TEST(ConnectorShapes, LambdaWithContextReturningAResource) {
    expect_opens([](Ledger& book) { return [&book](ConnectContext const&) { return Conn{book}; }; });
}

TEST(ConnectorShapes, LambdaWithContextReturningAResult) {
    expect_opens([](Ledger& book) { return [&book](ConnectContext const&) -> result<Conn> { return Conn{book}; }; });
}

TEST(ConnectorShapes, LambdaWithContextReturningAnAwaitableResource) {
    expect_opens(
        [](Ledger& book) { return [&book](ConnectContext const&) -> asio::awaitable<Conn> { co_return Conn{book}; }; });
}

TEST(ConnectorShapes, LambdaWithContextReturningAnAwaitableResult) {
    expect_opens([](Ledger& book) {
        return [&book](ConnectContext const&) -> asio::awaitable<result<Conn>> { co_return Conn{book}; };
    });
}

template <class Function>
struct Object {
    explicit Object(Function f) : function{std::move(f)} {}
    Function function;
    auto connect() { return function(); }
};

template <class Function>
struct ObjectWithContext {
    explicit ObjectWithContext(Function f) : function{std::move(f)} {}
    Function function;
    auto connect(ConnectContext const& context) { return function(context); }
};

TEST(ConnectorShapes, ObjectReturningAResource) {
    expect_opens([](Ledger& book) { return Object{[&book] { return Conn{book}; }}; });
}

TEST(ConnectorShapes, ObjectReturningAResult) {
    expect_opens([](Ledger& book) { return Object{[&book]() -> result<Conn> { return Conn{book}; }}; });
}

TEST(ConnectorShapes, ObjectReturningAnAwaitableResource) {
    expect_opens([](Ledger& book) { return Object{[&book]() -> asio::awaitable<Conn> { co_return Conn{book}; }}; });
}

TEST(ConnectorShapes, ObjectReturningAnAwaitableResult) {
    expect_opens(
        [](Ledger& book) { return Object{[&book]() -> asio::awaitable<result<Conn>> { co_return Conn{book}; }}; });
}

TEST(ConnectorShapes, ObjectWithContextReturningAResource) {
    expect_opens([](Ledger& book) { return ObjectWithContext{[&book](ConnectContext const&) { return Conn{book}; }}; });
}

TEST(ConnectorShapes, ObjectWithContextReturningAResult) {
    expect_opens([](Ledger& book) {
        return ObjectWithContext{[&book](ConnectContext const&) -> result<Conn> { return Conn{book}; }};
    });
}

TEST(ConnectorShapes, ObjectWithContextReturningAnAwaitableResource) {
    expect_opens([](Ledger& book) {
        return ObjectWithContext{[&book](ConnectContext const&) -> asio::awaitable<Conn> { co_return Conn{book}; }};
    });
}

TEST(ConnectorShapes, ObjectWithContextReturningAnAwaitableResult) {
    expect_opens([](Ledger& book) {
        return ObjectWithContext{
            [&book](ConnectContext const&) -> asio::awaitable<result<Conn>> { co_return Conn{book}; }};
    });
}

int plain_function() { return 42; }

TEST(ConnectorShapes, AFunctionPointerWillDo) {
    weir::Pool<int> pool{&plain_function};
    EXPECT_EQ(*pool.acquire(), 42);
    EXPECT_TRUE(pool.close(patience));
}

TEST(ConnectorShapes, AConnectorNeedNotBeCopyable) {
    Ledger ledger;
    weir::Pool<Conn> pool{[&ledger, only = std::make_unique<int>(3)] {
        Conn conn{ledger};
        conn.payload = *only;
        return conn;
    }};
    EXPECT_EQ(pool.acquire()->payload, 3);
    EXPECT_TRUE(pool.close(patience));
    EXPECT_TRUE(ledger.all_gone());
}

TEST(ConnectorShapes, AConnectorMayKeepStateFromConnectToConnect) {
    weir::Pool<int> pool{[n = 0]() mutable { return ++n; }};
    auto a = pool.acquire();
    auto b = pool.acquire();
    EXPECT_NE(*a, *b);
    a.release();
    b.release();
    EXPECT_TRUE(pool.close(patience));
}

// rule 49
TEST(ConnectorShapes, Rule49OpensWhatCannotMoveBehindAPointer) {
    struct Pinned {
        Pinned() = default;
        Pinned(Pinned const&) = delete;
        Pinned& operator=(Pinned const&) = delete;
        Pinned* self = this;
    };
    weir::Pool<std::unique_ptr<Pinned>> unique{[] { return std::make_unique<Pinned>(); }};
    weir::Pool<std::shared_ptr<Pinned>> shared{
        []() -> asio::awaitable<std::shared_ptr<Pinned>> { co_return std::make_shared<Pinned>(); }};
    {
        auto a = unique.acquire();
        auto b = shared.acquire();
        EXPECT_EQ((*a)->self, a->get());
        EXPECT_EQ((*b)->self, b->get());
    }
    EXPECT_TRUE(unique.close(patience));
    EXPECT_TRUE(shared.close(patience));
}

// ---- the context

// What a connector saw of its context.
struct Seen {
    bool stopped = true;
    Clock::time_point deadline{};
    asio::execution_context* context = nullptr;
    std::optional<asio::any_io_executor> executor;

    void look(ConnectContext const& given) {
        stopped = given.lifetime.stopped();
        deadline = given.deadline;
        executor = given.executor;
        context = &asio::query(given.executor, asio::execution::context);
    }
};

TEST(ConnectContext, TellsAPlainConnectorLifetimeDeadlineAndExecutor) {
    asio::io_context io;
    Seen seen;
    weir::Pool<int> pool{io.get_executor(),
                         [&](ConnectContext const& given) { return seen.look(given), 1; },
                         {.connect = {.timeout = 1min}}};
    auto const begun = Clock::now();
    pool.acquire().release();
    EXPECT_FALSE(seen.stopped);
    EXPECT_GT(seen.deadline, begun);
    EXPECT_LE(seen.deadline, Clock::now() + 1min);
    EXPECT_EQ(seen.executor, pool.get_executor());
    EXPECT_EQ(seen.executor, asio::any_io_executor{io.get_executor()});
    EXPECT_TRUE(pool.close(patience));
}

// The context lives until the coroutine ends, however long that is, and its executor is of the pool's context.
TEST(ConnectContext, LivesUntilAnAwaitableConnectorEnds) {
    asio::io_context io;
    Gate gate{io.get_executor()};
    Seen before;
    Seen after;
    bool on_context = false;
    weir::Pool<int> pool{io.get_executor(), [&](ConnectContext const& given) -> asio::awaitable<int> {
                             before.look(given);
                             co_await gate.pass();
                             after.look(given);
                             auto const own = co_await asio::this_coro::executor;
                             on_context = &asio::query(own, asio::execution::context) ==
                                        &static_cast<asio::execution_context&>(io);
                             co_return 1;
                         }};
    std::optional<weir::Lease<int>> lease;
    auto const begun = Clock::now();
    pool.async_acquire([&](error_code ec, weir::Lease<int> l) {
        EXPECT_FALSE(ec);
        lease = std::move(l);
    });
    poll(io);
    gate.open();
    ASSERT_TRUE(run_until(io, [&] { return lease.has_value(); }));
    EXPECT_EQ(before.context, &static_cast<asio::execution_context&>(io));
    EXPECT_EQ(after.context, before.context);
    EXPECT_TRUE(on_context) << "ran elsewhere than on the pool's executor";
    EXPECT_EQ(after.deadline, before.deadline);
    EXPECT_GT(after.deadline, begun);
    EXPECT_FALSE(after.stopped);
    lease.reset();
    expect_clean_end(pool, io);
}

}  // namespace
