// TCP streams in a pool: what is lent, what is not, and what the errors say.

#include "support/asio.hpp"
#include "support/slow_names.hpp"
#include "support/stream_server.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>
#include <weir/adapters/tcp.hpp>
#include <weir/pool.hpp>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using adapters::SocketState;
using testing::ManualClock;

using TcpPool = Pool<weir::tcp::Connection, Upkeep, ManualClock>;
using Server = StreamServer<tcp>;

weir::tcp::Options at(std::string host, std::string service) {
    return {.host = std::move(host), .service = std::move(service)};
}

// What every test needs: an event loop that runs, and in the end nothing that the pool has left behind.
template <class Connector>
class Tcp : public ::testing::Test {
protected:
    // With room for one only, as an acquire that comes during a check is then given what is checked.
    std::unique_ptr<TcpPool> pool_at(weir::tcp::Options to, TcpPool::Options options = {.size = {.high = 1}}) {
        return pool_of(Unwatched<Connector>{std::move(to)}, std::move(options));
    }
    std::unique_ptr<TcpPool> pool_at(std::string service) { return pool_at(at("127.0.0.1", std::move(service))); }

    template <class Any>
    std::unique_ptr<TcpPool> pool_of(Any connector, TcpPool::Options options = {}) {
        options.upkeep.check_after_idle = 1ms;
        return std::make_unique<TcpPool>(io.get_executor(), std::move(connector), std::move(options));
    }

    // A pool whose server has these addresses.
    std::unique_ptr<TcpPool> pool_at(std::vector<tcp::endpoint> addresses, TcpPool::Options options = {}) {
        struct Listed : Connector {
            std::vector<tcp::endpoint> addresses;
            auto connect(ConnectContext const& context) const { return this->connect_to(context, addresses); }
        };
        return pool_of(Listed{Connector{at("listed", "1")}, std::move(addresses)}, std::move(options));
    }

    // Lends one and gives it back; its socket.
    static int make_idle(TcpPool& pool) {
        auto conn = pool.acquire();
        EXPECT_EQ(exchange(conn->stream(), "hello"), "hello");
        int const socket = conn->native_handle();
        conn.release();
        return socket;
    }

    // The one that is idle is seen to be unfit, and another lent in its place, which works.
    static void expect_replaced(TcpPool& pool) {
        ManualClock::advance(1s);
        auto conn = pool.acquire();
        EXPECT_EQ(exchange(conn->stream(), "again"), "again");
        EXPECT_EQ(conn.id(), 2u);
        EXPECT_TRUE(eventually([&] { return pool.stats().closed_unhealthy == 1; }));
    }

    static void expect_drained(TcpPool& pool) {
        EXPECT_TRUE(pool.close(20s));
        EXPECT_EQ(pool.stats().open, 0u);
    }

    asio::io_context io;
    tcp::socket unused{io, tcp::v4()};  // with it the context opens what it needs itself
    asio_test::Runner runner{io};
};

using Connectors = ::testing::Types<weir::tcp::Connector, weir::tcp::BlockingConnector>;
TYPED_TEST_SUITE(Tcp, Connectors);

bool becomes(int socket, SocketState state) {
    return eventually([&] { return adapters::look_at(socket) == state; });
}

// ---- what is lent

TYPED_TEST(Tcp, LendsAnIdleOneAgain) {
    Server server{anywhere()};
    auto const pool = this->pool_at(server.service());
    this->make_idle(*pool);
    ManualClock::advance(1s);
    {
        auto const conn = pool->acquire();
        EXPECT_EQ(conn.id(), 1u);
        EXPECT_EQ(exchange(conn->stream(), "again"), "again");
    }
    EXPECT_EQ(server.opened(), 1u);
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, DoesNotLendOneWhosePeerHasClosed) {
    Server server{anywhere()};
    auto const pool = this->pool_at(server.service());
    int const socket = this->make_idle(*pool);
    server.close_all();
    ASSERT_TRUE(becomes(socket, SocketState::closed));
    this->expect_replaced(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, DoesNotLendOneWhosePeerHasReset) {
    Server server{anywhere()};
    auto const pool = this->pool_at(server.service());
    int const socket = this->make_idle(*pool);
    server.reset_all();
    ASSERT_TRUE(becomes(socket, SocketState::closed));
    this->expect_replaced(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, DoesNotLendOneWhosePeerWillSayNothingMore) {
    Server server{anywhere()};
    auto const pool = this->pool_at(server.service());
    int const socket = this->make_idle(*pool);
    server.half_close_all();
    ASSERT_TRUE(becomes(socket, SocketState::closed));
    this->expect_replaced(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, DoesNotLendOneInWhichDataWaitsThatNobodyAskedFor) {
    Server server{anywhere()};
    auto const pool = this->pool_at(server.service());
    int const socket = this->make_idle(*pool);
    server.say_to_all("by the way");
    ASSERT_TRUE(becomes(socket, SocketState::readable));
    this->expect_replaced(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, DoesNotKeepOneThatItsUserHasClosed) {
    Server server{anywhere()};
    auto const pool = this->pool_at(server.service());
    pool->acquire()->stream().close();
    EXPECT_EQ(pool->stats().idle, 0u);
    EXPECT_EQ(pool->acquire().id(), 2u);
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, NoticesInTheBackgroundThatAPeerHasClosed) {
    Server server{anywhere()};
    auto const pool =
        this->pool_at(at("127.0.0.1", server.service()), {.size = {.high = 1}, .upkeep = {.check_every = 1ms}});
    int const socket = this->make_idle(*pool);
    server.close_all();
    ASSERT_TRUE(becomes(socket, SocketState::closed));
    EXPECT_TRUE(eventually([&] {
        ManualClock::advance(1s);
        pool->sweep();
        return pool->stats().closed_unhealthy == 1;
    }));
    EXPECT_EQ(pool->stats().open, 0u);
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, ClosesAnIdleOneWhenItsPeerHangsUp) {
    Server server{anywhere()};
    auto const pool = this->pool_of(TypeParam{at("127.0.0.1", server.service())});
    this->make_idle(*pool);
    server.close_all();
    EXPECT_TRUE(eventually([&] { return pool->stats().closed_unhealthy == 1; }));
    EXPECT_EQ(pool->stats().open, 0u);
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, DoesNotKeepOneWhosePeerHasHungUpWhileItWasHeld) {
    Server server{anywhere()};
    TypeParam const connector{at("127.0.0.1", server.service())};
    auto const pool = this->pool_of(connector);
    auto conn = pool->acquire();
    EXPECT_EQ(exchange(conn->stream(), "hello"), "hello");
    EXPECT_TRUE(connector.recycle(*conn));
    server.close_all();
    EXPECT_TRUE(eventually([&] { return !connector.recycle(*conn); }));
    conn.release();
    EXPECT_EQ(pool->stats().idle, 0u);
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, EndsAConnectionInOrder) {
    Server server{anywhere()};
    auto const pool = this->pool_at(server.service());
    this->make_idle(*pool);
    this->expect_drained(*pool);
    ASSERT_TRUE(server.have_ended(1));
    EXPECT_EQ(server.ends().front(), asio::error::eof);
}

TYPED_TEST(Tcp, RunsInAPoolWithoutAnExecutorToo) {
    Server server{anywhere()};
    TcpPool pool{TypeParam{at("127.0.0.1", server.service())},
                 {.size = {.high = 1}, .upkeep = {.check_after_idle = 1ms}}};
    this->make_idle(pool);
    ManualClock::advance(1s);
    this->make_idle(pool);
    EXPECT_EQ(pool.stats().connected, 1u);
    this->expect_drained(pool);
}

// ---- connecting

TYPED_TEST(Tcp, SetsTheOptionsOfTheSocket) {
    Server server{anywhere()};
    auto const pool = this->pool_at(weir::tcp::Options{.host = "127.0.0.1",
                                                       .service = server.service(),
                                                       .keep_alive = weir::tcp::KeepAlive{11s, 12s, 13},
                                                       .user_timeout = 14s,
                                                       .local = asio::ip::make_address("127.0.0.3")});
    auto const conn = pool->acquire();
    auto const option = [&](int level, int name) {
        int value = 0;
        socklen_t size = sizeof(value);
        EXPECT_EQ(::getsockopt(conn->native_handle(), level, name, &value, &size), 0);
        return value;
    };
    EXPECT_EQ(option(IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPIDLE), 11);
    EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPINTVL), 12);
    EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPCNT), 13);
    EXPECT_EQ(option(IPPROTO_TCP, TCP_USER_TIMEOUT), 14'000);
    EXPECT_EQ(conn->stream().local_endpoint().address().to_string(), "127.0.0.3");
}

TYPED_TEST(Tcp, LeavesKeepAliveOffWhereNoneIsAskedFor) {
    Server server{anywhere()};
    auto const pool =
        this->pool_at(weir::tcp::Options{.host = "127.0.0.1", .service = server.service(), .keep_alive = std::nullopt});
    asio::socket_base::keep_alive keep_alive{true};
    pool->acquire()->stream().get_option(keep_alive);
    EXPECT_FALSE(keep_alive.value());
}

TYPED_TEST(Tcp, SaysWhoRefused) {
    DeadPort const nobody;
    auto const pool = this->pool_at(nobody.service());
    auto const error = failure_of(*pool);
    EXPECT_EQ(error.code(), asio::error::connection_refused);
    EXPECT_NE(std::string{error.what()}.find("127.0.0.1:" + nobody.service()), std::string::npos) << error.what();
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, SaysWhatNameThereIsNot) {
    auto const pool = this->pool_at(at("nowhere.invalid", "80"));
    auto const error = failure_of(*pool);
    EXPECT_EQ(error.code(), asio::error::host_not_found);
    EXPECT_NE(std::string{error.what()}.find("nowhere.invalid:80"), std::string::npos) << error.what();
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, SaysWhatServiceThereIsNot) {
    auto const pool = this->pool_at("no-such-service");
    EXPECT_EQ(failure_of(*pool).code(), asio::error::service_not_found);
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, TriesTheNextAddressWhenOneRefuses) {
    DeadPort const nobody;
    Server server{{asio::ip::make_address("127.0.0.2"), nobody.endpoint().port()}};
    auto const pool = this->pool_at(at("two.test", nobody.service()));
    EXPECT_EQ(exchange(pool->acquire()->stream(), "hello"), "hello");
    EXPECT_EQ(server.opened(), 1u);
    this->expect_drained(*pool);
}

// Half of it goes to an address that says nothing; the other must do for one that answers, on a busy machine too.
constexpr auto while_silent = 6s;

TYPED_TEST(Tcp, LeavesTimeForTheNextAddressWhenOneDoesNotAnswer) {
    FullServer const silent;
    Server server{anywhere()};
    auto const pool = this->pool_at({silent.endpoint(), server.endpoint()}, {.connect = {.timeout = while_silent}});
    EXPECT_EQ(exchange(pool->acquire()->stream(), "hello"), "hello");
    EXPECT_EQ(pool->stats().connect_failed, 0u);
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, SaysWhatTheLastAddressSaid) {
    FullServer const silent;
    DeadPort const nobody;
    auto const pool = this->pool_at({silent.endpoint(), nobody.endpoint()}, {.connect = {.timeout = while_silent}});
    auto const error = failure_of(*pool);
    EXPECT_EQ(error.code(), asio::error::connection_refused);
    EXPECT_NE(std::string{error.what()}.find("listed:1 (127.0.0.1:" + nobody.service()), std::string::npos)
        << error.what();
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, SaysSoWhereThereIsNoAddress) {
    auto const pool = this->pool_at(std::vector<tcp::endpoint>{});
    EXPECT_EQ(failure_of(*pool).code(), asio::error::host_not_found);
}

TYPED_TEST(Tcp, GivesUpAConnectAtItsTimeout) {
    FullServer const silent;
    auto const before = open_descriptors();
    auto const pool = this->pool_at(at("127.0.0.1", silent.service()), {.connect = {.timeout = 50ms}});
    auto const error = failure_of(*pool);
    EXPECT_EQ(error.code(), Errc::timed_out) << error.what();
    this->expect_drained(*pool);
    EXPECT_EQ(open_descriptors(), before);
}

TYPED_TEST(Tcp, EndsAConnectWhenThePoolCloses) {
    FullServer const silent;
    auto const before = open_descriptors();
    auto const pool = this->pool_at(silent.service());
    auto failure = std::async(std::launch::async, [&] { return failure_of(*pool); });
    ASSERT_TRUE(eventually([&] { return pool->stats().connecting == 1 && open_descriptors() > before; }));
    EXPECT_TRUE(pool->close(5s));
    EXPECT_EQ(failure.get().code(), Errc::closed);
    EXPECT_EQ(open_descriptors(), before);
}

TYPED_TEST(Tcp, DoesNotWaitForTheResolverWhenThePoolCloses) {
    auto const pool = this->pool_at(at("slow.test", "80"));
    SlowNames const names;
    auto failure = std::async(std::launch::async, [&] { return failure_of(*pool); });
    NameGate::get().await_visitor();
    EXPECT_TRUE(pool->close(5s));
    EXPECT_EQ(failure.get().code(), Errc::closed);
}

TYPED_TEST(Tcp, DoesNotWaitForTheResolverBeyondTheTimeout) {
    auto const pool = this->pool_at(at("slow.test", "80"), {.connect = {.timeout = 50ms}});
    SlowNames const names;
    auto const error = failure_of(*pool);
    EXPECT_EQ(error.code(), Errc::timed_out) << error.what();
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, TakesWhatTheResolverFindsInTheEnd) {
    Server server{anywhere()};
    auto const pool = this->pool_at(at("slow.test", server.service()));
    auto answer = std::async(std::launch::async, [&] { return exchange(pool->acquire()->stream(), "hello"); });
    { SlowNames const names; }
    EXPECT_EQ(answer.get(), "hello");
    this->expect_drained(*pool);
}

TYPED_TEST(Tcp, RefusesOptionsThatCannotBe) {
    auto const text_for = [](weir::tcp::Options const& options) -> std::string {
        try {
            TypeParam const connector{options};
        } catch (std::invalid_argument const& error) {
            return error.what();
        }
        return "accepted";
    };
    auto const expect_named = [&](weir::tcp::Options const& options, std::string const& field) {
        EXPECT_NE(text_for(options).find(field), std::string::npos) << text_for(options);
    };
    weir::tcp::Options const good{.host = "h", .service = "s"};
    EXPECT_EQ(text_for(good), "accepted");
    auto const with = [&](auto change) {
        auto options = good;
        change(options);
        return options;
    };
    expect_named(with([](auto& o) { o.host = ""; }), "Options::host");
    expect_named(with([](auto& o) { o.service = ""; }), "Options::service");
    expect_named(with([](auto& o) { o.user_timeout = -1ms; }), "Options::user_timeout");
    expect_named(with([](auto& o) { o.user_timeout = 10000h; }), "Options::user_timeout");
    expect_named(with([](auto& o) { o.keep_alive->idle = 0s; }), "KeepAlive::idle");
    expect_named(with([](auto& o) { o.keep_alive->interval = 32768s; }), "KeepAlive::interval");
    expect_named(with([](auto& o) { o.keep_alive->count = 0; }), "KeepAlive::count");
    expect_named(with([](auto& o) { o.keep_alive->count = 128; }), "KeepAlive::count");
}

// ---- everything in one thread

TEST(TcpCoroutines, ConnectCheckAndTalkOnOneThread) {
    Server server{anywhere()};
    asio::io_context io;
    TcpPool pool{io.get_executor(),
                 Unwatched<weir::tcp::Connector>{at("127.0.0.1", server.service())},
                 {.size = {.high = 1}, .upkeep = {.check_after_idle = 1ms}}};
    auto const client = [&]() -> asio::awaitable<std::vector<std::uint64_t>> {
        std::vector<std::uint64_t> ids;
        for (int i = 0; i != 3; ++i) {
            auto conn = co_await pool.async_acquire(asio::use_awaitable);
            ids.push_back(conn.id());
            std::string answer(5, '\0');
            co_await asio::async_write(conn->stream(), asio::buffer("hello", 5), asio::use_awaitable);
            co_await asio::async_read(conn->stream(), asio::buffer(answer), asio::use_awaitable);
            EXPECT_EQ(answer, "hello");
            int const socket = conn->native_handle();
            conn.release();
            if (i == 1) {
                server.close_all();
                EXPECT_TRUE(becomes(socket, SocketState::closed));
            }
            ManualClock::advance(1s);
        }
        co_return ids;
    };
    auto ids = asio::co_spawn(io, client(), asio::use_future);
    EXPECT_TRUE(asio_test::run_dry(io));
    EXPECT_EQ(ids.get(), (std::vector<std::uint64_t>{1, 1, 2}));
    asio_test::expect_clean_end(pool, io);
}

}  // namespace
}  // namespace weir::test
