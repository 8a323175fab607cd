// Pools of connections to a real Redis server.

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <weir/adapters/hiredis.hpp>
#include <weir/pool.hpp>
#include <weir/testing/manual_clock.hpp>

#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "servers/fixture.hpp"
#include "servers/redis.hpp"
#include "support/coroutine.hpp"
#include "support/slow_names.hpp"

namespace {

namespace asio = boost::asio;
namespace hiredis = weir::hiredis;
using namespace std::chrono_literals;
using asio_test::code_of;
using asio_test::run;
using asio_test::run_until;
using asio_test::Runner;
using asio_test::wait_until;
using boost::system::error_code;
using boost::system::system_error;
using Endpoint = asio::ip::tcp::endpoint;
using hiredis::BlockingConnector;
using hiredis::Connection;
using hiredis::Connector;
using hiredis::Errc;
using hiredis::Pipeline;
using hiredis::Reply;
using weir::Pool;
using weir::test::RedisServer;

class Redis : public weir::test::SharedServerTest<RedisServer> {
protected:
    static hiredis::Options here() { return {.port = server().port()}; }
};

/// What a pool says of a server that it cannot connect to, by either connector.
void expect_refusal(hiredis::Options const& options, error_code code, std::string const& text) {
    auto const says_so = [&](auto const& pool) {
        auto const failure = pool.last_connect_failure();
        ASSERT_TRUE(failure);
        EXPECT_EQ(failure->error, code) << failure->error.message();
        EXPECT_NE(failure->text.find(text), std::string::npos) << failure->text;
    };
    Pool<Connection> blocking{BlockingConnector{options}};
    EXPECT_EQ(blocking.try_acquire_for(20s).error(), code);
    says_so(blocking);

    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{options}};
    run(io, [&]() -> asio::awaitable<void> {
        error_code ec;
        auto const none = co_await pool.async_acquire(asio::redirect_error(asio::use_awaitable, ec));
        EXPECT_EQ(ec, code) << ec.message();
    });
    says_so(pool);
    asio_test::expect_clean_end(pool, io);
}

std::int64_t id_of(Connection& conn) { return conn.command("CLIENT", "ID").integer(); }
std::string text_of(Reply const& reply) { return std::string{reply.text()}; }

TEST_F(Redis, ACoroutineReadsWhatItWrote) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{here()}};
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        auto const done = co_await lease->async_command("SET", "fish", "trout", "EX", 60);
        EXPECT_EQ(done.text(), "OK");
        auto const fish = co_await lease->async_command("GET", "fish");
        EXPECT_EQ(fish.text(), "trout");
        auto const none = co_await lease->async_command("GET", std::string{"no such fish"});
        EXPECT_TRUE(none.is_nil());
        auto const sum = co_await lease->async_command("INCRBY", "sum", 41);
        EXPECT_EQ(sum.integer(), 41);
        auto const half = co_await lease->async_command("INCRBYFLOAT", "half", 0.5);
        EXPECT_EQ(half.text(), "0.5");
        co_await lease->async_command("DEL", "sum", "half");
    });
    asio_test::expect_clean_end(pool, io);
}

TEST_F(Redis, ThreadsSpeakWithoutAnExecutor) {
    Pool<Connection> pool{BlockingConnector{here()}};
    auto lease = pool.acquire();
    EXPECT_EQ(lease->command("ECHO", "hello").text(), "hello");
    EXPECT_EQ(lease->command("RPUSH", "list", 1, "two", 3).integer(), 3);
    auto const list = lease->command("LRANGE", "list", 0, -1);
    ASSERT_EQ(list.size(), 3u);
    EXPECT_EQ(list[0].integer(), 1) << "a string that is a number";
    EXPECT_EQ(list[1].text(), "two");
    EXPECT_THROW(list[3], std::out_of_range);
    EXPECT_EQ(code_of([&] { list[1].integer(); }), Errc::another_type);
    EXPECT_EQ(code_of([&] { list.text(); }), Errc::another_type);
    EXPECT_EQ(code_of([&] { list[0].size(); }), Errc::another_type);
    lease->command("DEL", "list");
}

TEST_F(Redis, AConnectionOpenedByACoroutineServesThreadsAndTheOtherWayRound) {
    asio::io_context io;
    Pool<Connection> by_coroutine{io.get_executor(), Connector{here()}};
    Pool<Connection> by_thread{BlockingConnector{here()}};
    auto opened_here = by_thread.acquire();
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await by_coroutine.async_acquire(asio::use_awaitable);
        EXPECT_EQ(lease->command("ECHO", "thread").text(), "thread");
        auto const echo = co_await opened_here->async_command("ECHO", "coroutine");
        EXPECT_EQ(echo.text(), "coroutine");
    });
}

TEST_F(Redis, AnyBytesGoThroughUnchanged) {
    Pool<Connection> pool{BlockingConnector{here()}};
    auto lease = pool.acquire();
    std::string bytes;
    for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
    bytes += "\r\n$5\r\n*1\r\n+OK\r\n";
    lease->command("SET", bytes, bytes);
    EXPECT_EQ(lease->command("GET", bytes).text(), bytes);
    EXPECT_EQ(lease->command("STRLEN", bytes).integer(), static_cast<std::int64_t>(bytes.size()));
    EXPECT_EQ(lease->command("ECHO", "").text(), "");
    lease->command("DEL", bytes);
}

TEST_F(Redis, APipelineIsAnsweredInOrderAndARefusalStopsNothing) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{here()}};
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        Pipeline commands;
        commands.add("SET", "word", "x").add("INCR", "word").add("GET", "word").add("DEL", "word");
        auto const replies = co_await lease->async_pipeline(std::move(commands));
        EXPECT_EQ(replies.size(), 4u);
        EXPECT_EQ(replies[0].text(), "OK");
        EXPECT_EQ(replies[1].error(), Errc::refused);
        EXPECT_EQ(replies[1].text(), "ERR value is not an integer or out of range");
        EXPECT_EQ(replies[2].text(), "x");
        EXPECT_EQ(replies[3].integer(), 1);
        auto const none = co_await lease->async_pipeline({});
        EXPECT_TRUE(none.empty());
        EXPECT_TRUE(lease->fit());
    });
    EXPECT_THROW(Pipeline{}.add_words({}), std::invalid_argument);
}

// Requests and replies of many megabytes: neither goes through a socket in one piece.
TEST_F(Redis, WhatFillsTheSocketIsSentAndReadWhole) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{here()}};
    Runner const running{io};
    std::string const large(1u << 20, 'x');
    auto const commands = [&] {
        Pipeline all;
        for (int i = 0; i < 16; ++i) all.add("ECHO", std::to_string(i) + large);
        return all;
    };
    auto const expect_whole = [&](std::vector<Reply> const& replies) {
        ASSERT_EQ(replies.size(), 16u);
        for (std::size_t i = 0; i != replies.size(); ++i) EXPECT_TRUE(replies[i].text() == std::to_string(i) + large);
    };
    auto lease = pool.acquire();
    expect_whole(lease->pipeline(commands()));
    expect_whole(asio::co_spawn(io, lease->async_pipeline(commands()), asio::use_future).get());
    EXPECT_TRUE(lease->fit());
}

TEST_F(Redis, ARefusalComesWithItsCauseAndTheServersWordsAndLeavesTheConnectionFit) {
    Pool<Connection> pool{BlockingConnector{here()}};
    std::int64_t first = 0;
    {
        auto lease = pool.acquire();
        first = id_of(*lease);
        lease->command("SET", "word", "x");
        try {
            lease->command("LPUSH", "word", "y");
            ADD_FAILURE() << "taken";
        } catch (system_error const& error) {
            EXPECT_EQ(error.code(), Errc::wrong_type);
            EXPECT_NE(std::string{error.what()}.find("Operation against a key holding the wrong kind of value"),
                      std::string::npos)
                << error.what();
        }
        EXPECT_EQ(code_of([&] { lease->command("NOSUCHCOMMAND"); }), Errc::unknown_command);
        EXPECT_EQ(code_of([&] { lease->command("EVALSHA", std::string(40, '0'), 0); }), Errc::no_script);
        EXPECT_TRUE(lease->fit());
        lease->command("DEL", "word");
    }
    EXPECT_EQ(id_of(*pool.acquire()), first);
    EXPECT_STREQ(hiredis::error_category().name(), "redis");
    EXPECT_EQ(make_error_code(Errc::wrong_password).message(), "wrong user or password");
}

TEST_F(Redis, AWrongPasswordIsTheCauseThatReachesTheAcquirer) {
    RedisServer guarded{{.password = "open-sesame", .config = "user fisher on >trout ~* +@all -ping"}};
    auto const with = [&](std::string user, std::string password) {
        return hiredis::Options{
            .port = guarded.port(), .user = std::move(user), .password = std::move(password), .database = 3};
    };
    expect_refusal(with("", "open-barley"), Errc::wrong_password, "WRONGPASS");
    expect_refusal(with("fisher", "perch"), Errc::wrong_password, "WRONGPASS");
    expect_refusal(with("", ""), Errc::no_auth, "NOAUTH");
    expect_refusal({.port = server().port(), .password = "needless"}, Errc::refused, "without any password configured");

    Pool<Connection> pool{BlockingConnector{with("", "open-sesame")}};
    EXPECT_EQ(pool.acquire()->command("ACL", "WHOAMI").text(), "default");
    Pool<Connection> fishers{BlockingConnector{with("fisher", "trout")}};
    EXPECT_EQ(fishers.acquire()->command("ACL", "WHOAMI").text(), "fisher")
        << "who may not PING is let in all the same";
    EXPECT_EQ(code_of([&] { fishers.acquire()->command("PING"); }), Errc::no_permission);
}

TEST_F(Redis, AFullServerSaysSoAndServesWhenThereIsRoom) {
    RedisServer small{{.config = "maxclients 2"}};
    std::vector<std::unique_ptr<weir::Lease<Connection>>> taken;
    Pool<Connection> others{BlockingConnector{{.port = small.port()}}};
    for (int i = 0; i < 2; ++i) taken.push_back(std::make_unique<weir::Lease<Connection>>(others.acquire()));
    expect_refusal({.port = small.port()}, Errc::too_many_clients, "max number of clients reached");
    // The farewell, not the end that follows it, is the cause, whatever was said first.
    expect_refusal({.port = small.port(), .database = 1, .client_name = "fourth"}, Errc::too_many_clients,
                   "max number of clients reached");
    for (auto& lease : taken) lease->discard();
    Pool<Connection> pool{BlockingConnector{{.port = small.port()}}};
    EXPECT_TRUE(wait_until([&] { return pool.try_acquire_for(10s).has_value(); }));
}

TEST_F(Redis, AReplicaRefusesToWriteAndOneWithoutItsMasterIsNotConnectedTo) {
    RedisServer replica{{.config = "repl-diskless-load disabled"}};
    Pool<Connection> pool{BlockingConnector{{.port = replica.port()}}};
    auto lease = pool.acquire();
    lease->command("REPLICAOF", "127.0.0.1", 1);
    EXPECT_EQ(code_of([&] { lease->command("SET", "fish", "trout"); }), Errc::read_only);
    EXPECT_TRUE(lease->fit());
    lease->command("CONFIG", "SET", "replica-serve-stale-data", "no");
    expect_refusal({.port = replica.port()}, Errc::master_down, "MASTERDOWN");
}

TEST_F(Redis, AServerThatLoadsItsDataIsNotConnectedToBeforeItHas) {
    // 8,000 keys at a third of a millisecond each, and between the thousands it answers.
    RedisServer slow{{.config = "key-load-delay 300"}};
    Pool<Connection> pool{BlockingConnector{{.port = slow.port()}}};
    {
        auto lease = pool.acquire();
        Pipeline keys;
        for (int i = 0; i < 8000; ++i) keys.add("SET", i, "x");
        lease->pipeline(std::move(keys));
        lease.discard();
    }
    slow.kill();
    std::thread starting{[&] { slow.restart(); }};
    bool seen_loading = false;
    bool const served = wait_until([&] {
        auto const lease = pool.try_acquire_for(10s);
        if (!lease) seen_loading = seen_loading || lease.error() == Errc::loading;
        return lease.has_value();
    });
    starting.join();
    EXPECT_TRUE(served);
    EXPECT_TRUE(seen_loading);
    EXPECT_EQ(pool.acquire()->command("DBSIZE").integer(), 8000);
}

TEST_F(Redis, NobodyThereIsConnectionRefused) {
    expect_refusal({.port = weir::test::free_port()}, asio::error::connection_refused, "onnection refused");
    expect_refusal({.host = "nowhere.invalid"}, asio::error::host_not_found, "");
}

TEST_F(Redis, AServerIsFoundByItsName) {
    hiredis::Options const by_name{.host = "localhost", .port = server().port()};
    Pool<Connection> blocking{BlockingConnector{by_name}};
    EXPECT_EQ(blocking.acquire()->command("PING").text(), "PONG");
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{by_name}};
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        auto const pong = co_await lease->async_command("PING");
        EXPECT_EQ(pong.text(), "PONG");
    });
}

TEST_F(Redis, TheAddressesOfANameAreTriedUntilOneAccepts) {
    auto const at = [](std::uint16_t port) { return Endpoint{asio::ip::address_v4::loopback(), port}; };
    Connection::Endpoints const some{at(weir::test::free_port()), at(server().port()), at(weir::test::free_port())};
    Connection::Endpoints const none{some.front(), some.back()};
    auto const soon = [] { return std::chrono::steady_clock::now() + 20s; };
    EXPECT_EQ(Connection::open(some, soon(), 20s).command("PING").text(), "PONG");
    EXPECT_EQ(code_of([&] { Connection::open(none, soon(), 20s); }), asio::error::connection_refused);
    asio::io_context io;
    run(io, [&]() -> asio::awaitable<void> {
        auto conn = co_await Connection::async_open(some, io.get_executor(), 20s);
        auto const pong = co_await conn.async_command("PING");
        EXPECT_EQ(pong.text(), "PONG");
    });
    EXPECT_EQ(
        code_of([&] {
            run(io, [&]() -> asio::awaitable<void> { co_await Connection::async_open(none, io.get_executor(), 20s); });
        }),
        asio::error::connection_refused);
}

TEST(RedisOptions, WhatIsWrongIsNamed) {
    auto const why = [](hiredis::Options options) -> std::string {
        try {
            Connector{std::move(options)};
        } catch (std::invalid_argument const& error) {
            return error.what();
        }
        return "accepted";
    };
    EXPECT_EQ(why({.host = ""}), "weir: hiredis::Options::host must not be empty");
    EXPECT_EQ(why({.port = 0}), "weir: hiredis::Options::port must not be 0");
    EXPECT_EQ(why({.user = "a"}), "weir: hiredis::Options::password must not be empty where there is a user");
    EXPECT_EQ(why({.database = -1}), "weir: hiredis::Options::database must not be negative");
    EXPECT_EQ(why({.client_name = "a b"}), "weir: hiredis::Options::client_name must have neither spaces nor controls");
    EXPECT_EQ(why({.command_timeout = 0ms}),
              "weir: hiredis::Options::command_timeout must be above zero, and at most a year");
    EXPECT_EQ(why({}), "accepted");
}

// ---- What comes back ------------------------------------------------------------------------------------------------

struct Habit {
    char const* name;
    std::vector<std::vector<std::string_view>> commands;
    bool kept;
};

class RedisKeeps : public Redis, public testing::WithParamInterface<Habit> {};

TEST_P(RedisKeeps, OnlyAConnectionThatIsAsItWasOpened) {
    Pool<Connection> pool{BlockingConnector{here()}};
    {
        auto lease = pool.acquire();
        for (auto const& words : GetParam().commands) lease->pipeline(Pipeline{}.add_words(words));
        EXPECT_EQ(lease->fit(), GetParam().kept);
    }
    EXPECT_EQ(pool.stats().idle, GetParam().kept ? 1u : 0u);
    EXPECT_EQ(pool.stats().closed_unhealthy, GetParam().kept ? 0u : 1u);
}

INSTANTIATE_TEST_SUITE_P(
    Redis, RedisKeeps,
    testing::Values(Habit{"Used", {{"SET", "a", "1"}, {"GET", "a"}}, true}, Habit{"InATransaction", {{"multi"}}, false},
                    Habit{"ThatRanATransaction", {{"MULTI"}, {"SET", "a", "1"}, {"EXEC"}}, true},
                    Habit{"ThatDiscardedATransaction", {{"MULTI"}, {"DISCARD"}}, true},
                    Habit{"WhoseTransactionWasGivenUp", {{"MULTI"}, {"NOSUCHCOMMAND"}, {"EXEC"}}, true},
                    Habit{"WhoseNestedTransactionWasRefused", {{"MULTI"}, {"MULTI"}}, false},
                    Habit{"Watching", {{"WATCH", "a"}}, false},
                    Habit{"NoLongerWatching", {{"WATCH", "a"}, {"UNWATCH"}}, true},
                    Habit{"ThatQueuedAnUnwatch", {{"WATCH", "a"}, {"MULTI"}, {"UNWATCH"}}, false},
                    Habit{"ThatWatchedForATransaction", {{"WATCH", "a"}, {"MULTI"}, {"EXEC"}}, true},
                    Habit{"Subscribed", {{"SUBSCRIBE", "news"}}, false},
                    Habit{"OwedMoreRepliesThanItTook", {{"SUBSCRIBE", "news", "gossip"}}, false},
                    Habit{"Monitoring", {{"MONITOR"}}, false}, Habit{"InAnotherDatabase", {{"Select", "1"}}, false},
                    Habit{"ThatWasRefusedAnotherDatabase", {{"SELECT", "1000000"}}, true},
                    Habit{"InAnotherDatabaseAfterATransaction", {{"MULTI"}, {"SELECT", "1"}, {"EXEC"}}, false},
                    Habit{"UnderAnotherName", {{"CLIENT", "SETNAME", "me"}}, false},
                    Habit{"ThatAskedForItsName", {{"CLIENT", "GETNAME"}, {"client", "id"}}, true},
                    Habit{"ThatWasReset", {{"RESET"}}, false}, Habit{"WithAnotherProtocol", {{"HELLO", "2"}}, false},
                    Habit{"ThatSaidGoodbye", {{"QUIT"}}, false}),
    [](auto const& each) { return each.param.name; });

using weir::testing::ManualClock;
using Checked = Pool<Connection, weir::Upkeep, ManualClock>;

bool hung_up(Connection& conn) {
    return weir::adapters::look_at(conn.native_handle()->fd) == weir::adapters::SocketState::closed;
}

template <class Connector>
void a_killed_one_is_not_lent(RedisServer& server, Connector connector) {
    asio::io_context io;
    Runner const running{io};
    Checked pool{io.get_executor(), std::move(connector), {.upkeep = {.check_after_idle = 1s}}};
    std::int64_t first = 0;
    {
        auto lease = pool.acquire();
        first = id_of(*lease);
    }
    ASSERT_EQ(server.cli({"CLIENT", "KILL", "ID", std::to_string(first)}), "1");
    ManualClock::advance(2s);
    {
        auto lease = pool.acquire();
        EXPECT_NE(id_of(*lease), first);
    }
    // Not yet, where it was the hang-up that was seen first.
    EXPECT_TRUE(wait_until([&] { return pool.stats().closed_unhealthy == 1; }));
    // A healthy one passes.
    ManualClock::advance(2s);
    EXPECT_TRUE(pool.acquire());
    EXPECT_EQ(pool.stats().connected, 2u);
    EXPECT_TRUE(pool.close());
}

TEST_F(Redis, ALookSeesThatTheServerHasHungUp) {
    weir::ConnectContext const alone{.deadline = std::chrono::steady_clock::now() + 10s};
    auto conn = BlockingConnector{here()}.connect(alone);
    EXPECT_TRUE(BlockingConnector{here()}.check(conn));
    ASSERT_EQ(server().cli({"CLIENT", "KILL", "ID", std::to_string(id_of(conn))}), "1");
    ASSERT_TRUE(wait_until([&] { return hung_up(conn); }));
    EXPECT_FALSE(BlockingConnector{here()}.check(conn));
}

TEST_F(Redis, AConnectionThatWasKilledWhileIdleIsNotLent) {
    a_killed_one_is_not_lent(server(), Connector{here()});
    a_killed_one_is_not_lent(server(), BlockingConnector{here()});
    auto thorough = here();
    thorough.check = hiredis::Check::round_trip;
    a_killed_one_is_not_lent(server(), Connector{thorough});
    a_killed_one_is_not_lent(server(), BlockingConnector{thorough});
}

template <class Connector>
void hang_up_while_idle(weir::test::RedisServer& server, Connector connector) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), std::move(connector)};
    Runner const running{io};
    pool.acquire()->command("PING");
    server.cli({"CLIENT", "KILL", "TYPE", "normal"});
    EXPECT_TRUE(wait_until([&] { return pool.stats().open == 0; })) << "nobody has told the pool";
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    EXPECT_EQ(pool.acquire()->command("ECHO", "here").text(), "here");
}

TEST_F(Redis, AConnectionThatIsKilledWhileIdleIsClosedAtOnceThoughNothingIsEverChecked) {
    hang_up_while_idle(server(), Connector{here()});
    hang_up_while_idle(server(), BlockingConnector{here()});
}

TEST_F(Redis, ALookDoesNotSeeThatAServerHangsAndARoundTripDoes) {
    auto options = here();
    options.command_timeout = 100ms;
    Checked passive{BlockingConnector{options}, {.upkeep = {.check_after_idle = 1s}}};
    options.check = hiredis::Check::round_trip;
    Checked thorough{BlockingConnector{options}, {.connect = {.timeout = 2s}, .upkeep = {.check_after_idle = 1s}}};
    passive.acquire().release();
    thorough.acquire().release();
    ManualClock::advance(2s);
    server().freeze();
    EXPECT_TRUE(passive.try_acquire_for(20s));
    EXPECT_EQ(thorough.try_acquire_for(20s).error(), make_error_code(weir::Errc::timed_out));
    server().thaw();
    EXPECT_EQ(thorough.stats().closed_unhealthy, 1u);
}

TEST_F(Redis, ALostConnectionFailsWithTheCauseAndIsNotKept) {
    Pool<Connection> pool{BlockingConnector{here()}};
    {
        auto lease = pool.acquire();
        server().cli({"CLIENT", "KILL", "ID", std::to_string(id_of(*lease))});
        auto const lost = code_of([&] { lease->command("PING"); });
        EXPECT_TRUE(lost == asio::error::eof || lost == asio::error::connection_reset) << lost.message();
        EXPECT_EQ(code_of([&] { lease->command("PING"); }), Errc::unusable);
    }
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    EXPECT_EQ(pool.stats().open, 0u);
}

TEST_F(Redis, WritingToAServerThatHasGoneIsAnErrorAndNoSignal) {
    Pool<Connection> pool{BlockingConnector{here()}};
    auto lease = pool.acquire();
    int const fd = lease->native_handle()->fd;
    server().cli({"CLIENT", "KILL", "ID", std::to_string(id_of(*lease))});
    // The first write after that is answered by a reset; only then there is nowhere left to write to.
    ASSERT_GE(::send(fd, "\r\n", 2, MSG_NOSIGNAL), 0);
    ASSERT_TRUE(wait_until([&] {
        pollfd look{.fd = fd, .events = 0, .revents = 0};
        ::poll(&look, 1, 0);
        return (look.revents & POLLHUP) != 0;
    }));
    EXPECT_TRUE(code_of([&] { lease->command("PING"); }));
    EXPECT_FALSE(lease->fit());
}

TEST_F(Redis, WhatIsSaidTogetherByHandIsSeenAtTheReturn) {
    Pool<Connection> pool{BlockingConnector{here()}};
    pool.acquire()->command("PING");
    {
        auto lease = pool.acquire();
        std::string_view const twice = "PING\r\nPING\r\n";  // by the handle, past the adapter
        ASSERT_GT(::send(lease->native_handle()->fd, twice.data(), twice.size(), MSG_NOSIGNAL), 0);
        ASSERT_TRUE(wait_until([&] { return !lease->alive(); })) << "an answer that nobody asked for";
        EXPECT_EQ(lease->command("ECHO", "mine").text(), "PONG");
        EXPECT_FALSE(lease->fit());
    }
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
}

// ---- Settings -------------------------------------------------------------------------------------------------------

using PerTenant = Pool<Connection, weir::SettingBuckets<hiredis::Settings>>;

template <class Connector>
void settings_come_and_go(asio::io_context& io, Connector connector) {
    PerTenant pool{io.get_executor(), std::move(connector), {.size = {.high = 1}}};
    Runner const running{io};
    auto const said = [](auto lease, auto const&... words) { return text_of(lease->command(words...)); };
    auto const database = [&](auto lease) {
        auto const info = said(std::move(lease), "CLIENT", "INFO");
        auto const at = info.find(" db=") + 4;
        return info.substr(at, info.find(' ', at) - at);
    };
    hiredis::Settings const fifth{.database = 5};
    hiredis::Settings const named{.database = 5, .client_name = "tenant"};
    EXPECT_EQ(database(pool.acquire()), "2");
    EXPECT_EQ(said(pool.acquire(), "CLIENT", "GETNAME"), "base");
    EXPECT_EQ(database(pool.acquire(fifth)), "5");
    EXPECT_EQ(said(pool.acquire(fifth), "CLIENT", "GETNAME"), "base") << "what is not given stays";
    EXPECT_EQ(pool.stats().settings_applied, 1u) << "one that has it is lent as it is";
    EXPECT_EQ(pool.stats().settings_reset, 0u);

    EXPECT_EQ(said(pool.acquire(named), "CLIENT", "GETNAME"), "tenant");
    EXPECT_EQ(pool.stats().settings_reset, 1u);
    EXPECT_EQ(database(pool.acquire()), "2");
    EXPECT_EQ(said(pool.acquire(), "CLIENT", "GETNAME"), "base");
    EXPECT_EQ(said(pool.acquire(), "ACL", "WHOAMI"), "fisher");
    EXPECT_EQ(pool.stats().settings_reset, 2u);

    EXPECT_EQ(pool.stats().connected, 1u);

    auto const wrong = pool.try_acquire_for(10s, hiredis::Settings{.database = 1'000'000});
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error(), Errc::refused);
    EXPECT_EQ(database(pool.acquire()), "2");
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    EXPECT_TRUE(pool.close());
}

TEST_F(Redis, SettingsAreAppliedAndTakenBack) {
    RedisServer guarded{{.config = "user fisher on >trout ~* +@all"}};
    hiredis::Options const options{
        .port = guarded.port(), .user = "fisher", .password = "trout", .database = 2, .client_name = "base"};
    asio::io_context io;
    settings_come_and_go(io, Connector{options});
    settings_come_and_go(io, BlockingConnector{options});
}

TEST_F(Redis, SettingsAreTakenBackAlsoWhereThereIsNoReset) {
    RedisServer guarded{{.config = "user fisher on >trout ~* +@all\nrename-command RESET \"\""}};
    hiredis::Options const options{
        .port = guarded.port(), .user = "fisher", .password = "trout", .database = 2, .client_name = "base"};
    asio::io_context io;
    settings_come_and_go(io, Connector{options});
    settings_come_and_go(io, BlockingConnector{options});
}

TEST_F(Redis, AResetTakesBackWhatTheAdapterKnowsNothingOf) {
    PerTenant pool{BlockingConnector{here()}, {.size = {.high = 1}}};
    {
        auto lease = pool.acquire({.database = 1});
        lease->command("CLIENT", "TRACKING", "ON");
        lease->settle();  // as if nothing had happened
    }
    auto lease = pool.acquire();
    EXPECT_EQ(pool.stats().settings_reset, 1u);
    EXPECT_EQ(lease->command("CLIENT", "TRACKINGINFO")[1][0].text(), "off");
}

TEST(RedisSettings, AreEqualAndHashAlikeWhenTheyAskForTheSame) {
    std::hash<hiredis::Settings> const hash;
    hiredis::Settings const third{.database = 3, .client_name = "a"};
    EXPECT_EQ(third, (hiredis::Settings{.database = 3, .client_name = "a"}));
    EXPECT_EQ(hash(third), hash({.database = 3, .client_name = "a"}));
    EXPECT_NE(third, (hiredis::Settings{.database = 3}));
    EXPECT_NE((hiredis::Settings{}), (hiredis::Settings{.database = 0}));
    EXPECT_NE((hiredis::Settings{}), (hiredis::Settings{.client_name = ""}));
}

// ---- Time, ends and crowds ------------------------------------------------------------------------------------------

// What it was owed comes later, and must reach nobody.
TEST_F(Redis, ACommandThatIsCancelledSpoilsItsConnection) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{here()}, {.size = {.high = 1}}};
    asio::cancellation_signal signal;
    std::optional<error_code> ended;
    std::int64_t first = 0;
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
            auto lease = co_await pool.async_acquire(asio::use_awaitable);
            auto const id = co_await lease->async_command("CLIENT", "ID");
            first = id.integer();
            co_await lease->async_command("BLPOP", "queue", 0);
        },
        asio::bind_cancellation_slot(
            signal.slot(), [&](std::exception_ptr error) { ended = code_of([&] { std::rethrow_exception(error); }); }));
    ASSERT_TRUE(run_until(io, [] {
        return server().cli({"INFO", "clients"}).find("blocked_clients:1") != std::string::npos;
    }));
    signal.emit(asio::cancellation_type::terminal);
    ASSERT_TRUE(run_until(io, [&] { return ended.has_value(); }));
    EXPECT_EQ(*ended, asio::error::operation_aborted);
    EXPECT_TRUE(run_until(io, [&] { return pool.stats().open == 0; }));
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    server().cli({"RPUSH", "queue", "stray"});
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        auto const echo = co_await lease->async_command("ECHO", "mine");
        EXPECT_EQ(echo.text(), "mine");
        auto const id = co_await lease->async_command("CLIENT", "ID");
        EXPECT_NE(id.integer(), first);
    });
    EXPECT_EQ(server().cli({"LPOP", "queue"}), "stray") << "taken by one who had left";
    asio_test::expect_clean_end(pool, io);
}

TEST_F(Redis, ABlockingCommandHasATimeOfItsOwn) {
    auto options = here();
    options.command_timeout = 50ms;
    Pool<Connection> pool{BlockingConnector{options}};
    {
        auto lease = pool.acquire();
        EXPECT_TRUE(lease->command_for(20s, "BLPOP", "queue", 0.2).is_nil()) << "which is longer than 50 ms";
        EXPECT_TRUE(lease->fit());
        EXPECT_EQ(code_of([&] { lease->command("BLPOP", "queue", 20); }), make_error_code(weir::Errc::timed_out));
        EXPECT_FALSE(lease->fit());
        EXPECT_EQ(code_of([&] { lease->command("PING"); }), Errc::unusable);
    }
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
}

TEST_F(Redis, AServerThatIsFrozenCostsAConnectItsTime) {
    hiredis::Options options = here();
    Pool<Connection> blocking{BlockingConnector{options}, {.connect = {.timeout = 2s}}};  // it is to connect in the end
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{options}, {.connect = {.timeout = 100ms}}};
    server().freeze();
    EXPECT_EQ(blocking.try_acquire_for(20s).error(), make_error_code(weir::Errc::timed_out));
    run(io, [&]() -> asio::awaitable<void> {
        error_code ec;
        auto const none = co_await pool.async_acquire(asio::redirect_error(asio::use_awaitable, ec));
        EXPECT_EQ(ec, make_error_code(weir::Errc::timed_out)) << ec.message();
    });
    EXPECT_TRUE(run_until(io, [&] { return pool.stats().open == 0; }));
    server().thaw();
    EXPECT_TRUE(wait_until([] { return server().clients() == 0; }));
    EXPECT_EQ(blocking.acquire()->command("PING").text(), "PONG");
}

TEST_F(Redis, AClosingPoolDoesNotWaitForAServerThatIsFrozen) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{here()}};
    server().freeze();
    asio_test::Ended closed;
    std::optional<error_code> acquired;
    pool.async_acquire([&](error_code ec, weir::Lease<Connection>) { acquired = ec; });
    ASSERT_TRUE(run_until(io, [&] { return pool.stats().connecting == 1; }));
    pool.async_close_for(20s, closed.handler());
    ASSERT_TRUE(run_until(io, [&] { return closed.done(); }));
    EXPECT_FALSE(closed.ec) << closed.ec.message();
    EXPECT_EQ(acquired, make_error_code(weir::Errc::closed));
    server().thaw();
    EXPECT_TRUE(wait_until([] { return server().clients() == 0; }));
}

TEST_F(Redis, AServerThatWasKilledAndCameBackIsServedAgain) {
    RedisServer mortal;
    asio::io_context io;
    Runner const running{io};
    Checked pool{io.get_executor(), Connector{{.port = mortal.port()}}, {.upkeep = {.check_after_idle = 1s}}};
    std::vector<weir::Lease<Connection>> leases;
    for (int i = 0; i < 3; ++i) leases.push_back(pool.acquire());
    auto broken = std::move(leases.back());
    leases.clear();
    mortal.kill();
    EXPECT_TRUE(code_of([&] { broken->command("PING"); }));
    broken.release();
    EXPECT_TRUE(wait_until([&] { return pool.stats().open == 0; }));
    EXPECT_EQ(pool.try_acquire_for(20s).error(), asio::error::connection_refused);
    mortal.restart();
    EXPECT_EQ(pool.acquire()->command("PING").text(), "PONG");
    EXPECT_EQ(pool.stats().closed_unhealthy, 3u);
    EXPECT_TRUE(pool.close());
}

asio::awaitable<int> talk_until_closed(Pool<Connection>& pool, int client) {
    int answered = 0;
    for (int i = 0;; ++i) {
        error_code ec;
        auto lease = co_await pool.async_acquire(asio::redirect_error(asio::use_awaitable, ec));
        if (ec == weir::Errc::closed) co_return answered;
        if (ec) throw system_error{ec};
        std::string const mine = std::to_string(client) + "/" + std::to_string(i);
        auto const reply = co_await lease->async_command("ECHO", mine);
        if (reply.text() != mine) throw std::logic_error{"somebody else's answer"};
        ++answered;
    }
}

TEST_F(Redis, APoolThatIsClosedDuringTrafficFinishesWhatHasBegunAndLeavesNothingBehind) {
    asio::io_context io;
    Runner const running{io, 2};
    Pool<Connection> pool{io.get_executor(), Connector{here()}, {.size = {.high = 4}}};
    std::vector<std::future<int>> clients;
    for (int client = 0; client < 20; ++client)
        clients.push_back(asio::co_spawn(io, talk_until_closed(pool, client), asio::use_future));
    ASSERT_TRUE(wait_until([&] {
        auto const stats = pool.stats();
        return stats.acquired > 2000 && stats.open == 4 && stats.connecting == 0;
    }));
    EXPECT_EQ(server().clients(), 4u);
    EXPECT_TRUE(pool.close());
    int answered = 0;
    for (auto& each : clients) answered += each.get();
    EXPECT_GE(answered, 2000);
    EXPECT_EQ(pool.stats().closed_unhealthy, 0u);
    EXPECT_TRUE(wait_until([] { return server().clients() == 0; }));
}

TEST_F(Redis, TheServerCountsWhatThePoolCounts) {
    Pool<Connection> pool{BlockingConnector{here()}, {.size = {.high = 5}}};
    std::vector<weir::Lease<Connection>> leases;
    for (std::size_t open = 1; open <= 5; ++open) {
        leases.push_back(pool.acquire());
        EXPECT_EQ(server().clients(), open);
    }
    auto mine = leases.back().detach();
    leases.clear();
    EXPECT_EQ(server().clients(), pool.stats().open + 1);
    EXPECT_TRUE(pool.close());
    EXPECT_TRUE(wait_until([] { return server().clients() == 1; })) << "the one that was detached";
    EXPECT_EQ(mine.command("PING").text(), "PONG");
}

}  // namespace
