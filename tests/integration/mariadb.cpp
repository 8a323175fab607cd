// Pools of sessions of a real MariaDB server.

#include <sys/socket.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>

#include <gtest/gtest.h>

#include <mariadb/mysqld_error.h>

#include <weir/adapters/mariadb.hpp>
#include <weir/pool.hpp>
#include <weir/testing/manual_clock.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <future>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "servers/certificates.hpp"
#include "servers/fixture.hpp"
#include "servers/mariadb.hpp"
#include "servers/silent.hpp"
#include "support/coroutine.hpp"
#include "support/slow_names.hpp"

namespace {

namespace asio = boost::asio;
namespace mariadb = weir::mariadb;
using namespace std::chrono_literals;
using asio_test::code_of;
using asio_test::run;
using asio_test::run_until;
using asio_test::Runner;
using asio_test::wait_until;
using boost::system::error_code;
using mariadb::BlockingConnector;
using mariadb::Connection;
using mariadb::Connector;
using mariadb::error;
using weir::Pool;
using weir::test::MariadbServer;
using weir::testing::ManualClock;

class Mariadb : public weir::test::SharedServerTest<MariadbServer> {};

MariadbServer& server() { return weir::test::shared<MariadbServer>(); }

mariadb::Options options() {
    return {.host = "127.0.0.1",
            .port = server().port(),
            .user = server().user(),
            .password = server().password(),
            .database = server().database()};
}

Connection open_one() { return Connection::open(options(), std::chrono::steady_clock::now() + 10s); }

unsigned long id_of(Connection const& conn) { return mysql_thread_id(conn.native_handle()); }

void end_session(unsigned long id) { server().sql("KILL " + std::to_string(id)); }

std::string text_of(std::function<void()> const& function) {
    try {
        function();
    } catch (std::exception const& thrown) {
        return thrown.what();
    }
    return {};
}

std::string first(mariadb::Result const& result) { return std::string{result.text(0, 0)}; }

// ---- Queries -----------------------------------------------------------------------------------------------------------

TEST_F(Mariadb, ACoroutineQueriesWithParametersOfEveryKind) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{options()}};
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        auto const row =
            co_await lease->async_query("SELECT ? + 1 AS sum, ?, ?, ?, ?, ?, ?", 41, "it's \\ \"odd\"", true, 0.25,
                                        std::optional<int>{}, nullptr, std::numeric_limits<std::uint64_t>::max());
        EXPECT_EQ(row.rows(), 1u);
        EXPECT_EQ(row.columns(), 7u);
        EXPECT_EQ(row.column(0), "sum");
        EXPECT_EQ(row.number(0, 0), 42);
        EXPECT_EQ(row.text(0, 1), "it's \\ \"odd\"");
        EXPECT_EQ(row.number(0, 2), 1);
        EXPECT_EQ(row.number<double>(0, 3), 0.25);
        EXPECT_TRUE(row.is_null(0, 4));
        EXPECT_EQ(row.value(0, 5), std::nullopt);
        EXPECT_EQ(row.number<std::uint64_t>(0, 6), std::numeric_limits<std::uint64_t>::max());
        EXPECT_EQ(code_of([&] { row.number(0, 1); }), boost::system::errc::invalid_argument);
        EXPECT_THROW(row.value(1, 0), std::out_of_range);
        EXPECT_THROW(row.value(0, 7), std::out_of_range);
    });
    EXPECT_TRUE(pool.close());
}

TEST_F(Mariadb, TextAndPreparedAnswersAreTheSame) {
    auto conn = open_one();
    conn.query("CREATE OR REPLACE TABLE types (a BIGINT UNSIGNED, b DECIMAL(30,10), c DOUBLE, d DATE, e DATETIME(6), f "
               "TIME(3), "
               "g BLOB, h ENUM('x','y'), i YEAR, j BIT(4), k TINYINT, l LONGTEXT CHARACTER SET utf8mb4, m FLOAT, n "
               "DOUBLE, o FLOAT(7,3))");
    conn.query("INSERT INTO types VALUES (18446744073709551615, -12345678901234567890.0987654321, 0.1, '2024-02-29', "
               "'2024-02-29 23:59:59.123456', '-838:59:58.001', x'00ff27005c', 'y', 1999, b'1010', -128, "
               "REPEAT('ä', 100000), 1.5, -1.7976931348623157e308, 12.3456)");
    conn.query("INSERT INTO types () VALUES ()");
    auto const text = conn.query("SELECT * FROM types ORDER BY a DESC");
    auto const prepared = conn.query("SELECT * FROM types WHERE ? ORDER BY a DESC", 1);
    ASSERT_EQ(text.rows(), 2u);
    ASSERT_EQ(prepared.rows(), 2u);
    ASSERT_EQ(text.columns(), 15u);
    for (std::size_t column = 0; column < text.columns(); ++column) {
        EXPECT_EQ(text.column(column), prepared.column(column));
        for (std::size_t row = 0; row < 2; ++row)
            EXPECT_EQ(text.value(row, column), prepared.value(row, column)) << text.column(column);
    }
    EXPECT_EQ(text.text(0, 6), (std::string{"\0\xff'\0\\", 5}));
    EXPECT_EQ(text.text(0, 11).size(), 200'000u);
    EXPECT_TRUE(text.is_null(1, 0));
    conn.query("DROP TABLE types");
}

TEST_F(Mariadb, ChangesAndIdsAreTold) {
    auto conn = open_one();
    conn.query("CREATE TEMPORARY TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a INT)");
    EXPECT_EQ(conn.query("INSERT INTO t (a) VALUES (1), (2)").affected(), 2u);
    auto const third = conn.query("INSERT INTO t (a) VALUES (?)", 3);
    EXPECT_EQ(third.affected(), 1u);
    EXPECT_EQ(third.insert_id(), 3u);
    EXPECT_EQ(third.rows(), 0u);
    EXPECT_EQ(conn.query("SELECT * FROM t WHERE a = 9").rows(), 0u);
    EXPECT_EQ(conn.query("SELECT * FROM t WHERE a = ?", 9).columns(), 2u);
}

TEST_F(Mariadb, ACallGivesItsFirstRowsAndLeavesNothingBehind) {
    auto conn = open_one();
    conn.query("CREATE OR REPLACE PROCEDURE two(n INT) BEGIN SELECT n; SELECT n + 1, 'more'; END");
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(conn.query("CALL two(7)").number(0, 0), 7);
        EXPECT_TRUE(conn.fit());
        EXPECT_EQ(conn.query("CALL two(?)", 8).number(0, 0), 8);
        EXPECT_TRUE(conn.fit());
    }
    EXPECT_EQ(conn.query("SELECT 1").number(0, 0), 1);
    conn.query("DROP PROCEDURE two");
}

TEST_F(Mariadb, AnAnswerThatComesInPartsBlocksNobody) {
    auto conn = open_one();
    conn.query(
        "CREATE OR REPLACE PROCEDURE slow(n INT) BEGIN SELECT n; DO GET_LOCK('first', 30), RELEASE_LOCK('first');"
        " SELECT n; DO GET_LOCK('second', 30), RELEASE_LOCK('second'); END");
    asio::io_context io;
    // Has the server go on, whenever it waits. Were the executor blocked meanwhile, nobody would.
    std::vector<std::string> held;
    asio::steady_timer clock{io};
    std::function<void(error_code)> const tick = [&](error_code ended) {
        if (ended) return;
        std::string const waiting = "SELECT count(*) FROM information_schema.processlist WHERE state = 'User lock'";
        if (!held.empty() && conn.query(waiting).number(0, 0) == 1) {
            conn.query("DO RELEASE_LOCK(?)", held.back());
            held.pop_back();
        }
        clock.expires_after(10ms);
        clock.async_wait(tick);
    };
    Pool<Connection> pool{io.get_executor(), Connector{options()}};
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        tick({});
        for (bool const is_prepared : {false, true}) {
            conn.query("DO GET_LOCK('first', 30), GET_LOCK('second', 30)");
            held = {"second", "first"};
            if (is_prepared)
                co_await lease->async_query("CALL slow(?)", 1);
            else
                co_await lease->async_query("CALL slow(1)");
            EXPECT_TRUE(held.empty()) << "the query has blocked the executor";
        }
        EXPECT_TRUE(lease->fit());
    });
    clock.cancel();
    EXPECT_TRUE(asio_test::run_dry(io));
    conn.query("DROP PROCEDURE slow");
}

TEST_F(Mariadb, WhatTheServerRefusesComesWithItsNumberAndText) {
    Pool<Connection> pool{BlockingConnector{options()}};
    auto lease = pool.acquire();
    lease->query("CREATE TEMPORARY TABLE once (n INT PRIMARY KEY)");
    lease->query("INSERT INTO once VALUES (1)");
    EXPECT_EQ(code_of([&] { lease->query("INSERT INTO once VALUES (1)"); }), error(ER_DUP_ENTRY));
    EXPECT_EQ(code_of([&] { lease->query("INSERT INTO once VALUES (?)", 1); }), error(ER_DUP_ENTRY));
    EXPECT_EQ(code_of([&] { lease->query("SELEC 1"); }), error(ER_PARSE_ERROR));
    EXPECT_EQ(code_of([&] { lease->query("SELEC ?", 1); }), error(ER_PARSE_ERROR));
    EXPECT_EQ(text_of([&] { lease->query("SELECT nothing"); }), "Unknown column 'nothing' in 'SELECT'");
    EXPECT_EQ(code_of([&] { lease->query("SELECT 1; SELECT 2"); }), error(ER_PARSE_ERROR));
    EXPECT_EQ(code_of([&] { lease->query("SELECT ?, ?", 1); }), boost::system::errc::invalid_argument);
    EXPECT_EQ(error(1062).message(), "MariaDB error 1062");
    EXPECT_EQ(error(1045).message(), "MariaDB error 1045: access denied");
    EXPECT_TRUE(lease->fit());
    EXPECT_EQ(lease->query("SELECT 1").number(0, 0), 1);
}

TEST_F(Mariadb, AServerGetsNoFileOfTheClient) {
    auto conn = open_one();
    conn.query("CREATE TEMPORARY TABLE stolen (line TEXT)");
    EXPECT_NE(code_of([&] { conn.query("LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE stolen"); }), error_code{});
    EXPECT_EQ(conn.query("SELECT * FROM stolen").rows(), 0u);
}

TEST_F(Mariadb, AQuotedTextIsTheSameTextAgain) {
    auto conn = open_one();
    std::string const evil{"\\' OR 1 -- \n\0\"\x1a%_ä", 19};
    EXPECT_EQ(first(conn.query("SELECT " + conn.quoted(evil))), evil);
    conn.query("SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'");
    EXPECT_EQ(first(conn.query("SELECT " + conn.quoted(evil))), evil);
    conn.reset();
    EXPECT_EQ(first(conn.query("SELECT " + conn.quoted(evil))), evil);
    EXPECT_EQ(conn.quoted(""), "''");
}

TEST_F(Mariadb, ASessionOpenedByACoroutineServesThreadsAndTheOtherWayRound) {
    asio::io_context io;
    Pool<Connection> by_coroutine{io.get_executor(), Connector{options()}};
    Pool<Connection> by_thread{io.get_executor(), BlockingConnector{options()}};
    auto opened_here = by_thread.acquire();
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await by_coroutine.async_acquire(asio::use_awaitable);
        EXPECT_EQ(lease->query("SELECT ?", 1).number(0, 0), 1);
        auto const result = co_await opened_here->async_query("SELECT 2");
        EXPECT_EQ(result.number(0, 0), 2);
    });
    EXPECT_EQ(opened_here->query("SELECT 3").number(0, 0), 3);
}

TEST_F(Mariadb, WhatFillsTheSocketGoesBothWaysWhole) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{options()}};
    std::string const long_text(10u << 20, 'x');
    Runner const running{io};
    auto lease = pool.acquire();
    EXPECT_EQ(lease->query("SELECT LENGTH(?)", long_text).number(0, 0), 10 << 20);
    EXPECT_EQ(lease->query("SELECT '" + long_text + "'").text(0, 0), long_text);
    auto answer = asio::co_spawn(
        io, [&] { return lease->async_query("SELECT ?", long_text); }, asio::use_future);
    EXPECT_EQ(answer.get().text(0, 0), long_text);
    answer = asio::co_spawn(
        io, [&] { return lease->async_query("SELECT '" + long_text + "'"); }, asio::use_future);
    EXPECT_EQ(answer.get().text(0, 0), long_text);
}

// ---- Connecting --------------------------------------------------------------------------------------------------------

TEST_F(Mariadb, OptionsThatAreWrongAreRefusedByName) {
    auto const refused = [](mariadb::Options const& wrong, std::string const& field) {
        std::string const text = text_of([&] { BlockingConnector{wrong}; });
        EXPECT_EQ(text.find("weir: mariadb::" + field + " must"), 0u) << text;
    };
    refused({}, "Options::host");
    refused({.host = "db", .unix_socket = "/socket"}, "Options::host");
    refused({.host = "one,two"}, "Options::host");
    refused({.host = "replication://db"}, "Options::host");
    refused({.host = "db", .port = 0}, "Options::port");
    refused({.unix_socket = std::string(200, 'x')}, "Options::unix_socket");
    refused({.host = "db", .user = std::string{"a\0", 2}}, "Options::user");
    refused({.host = "db", .password = std::string{"a\0", 2}}, "Options::password");
    refused({.host = "db", .database = std::string{"a\0", 2}}, "Options::database");
    refused({.host = "db", .charset = ""}, "Options::charset");
    refused({.host = "db", .query_timeout = 0s}, "Options::query_timeout");
    refused({.host = "db", .tls = mariadb::Tls{}}, "Tls::authorities");
    refused({.host = "db", .tls = mariadb::Tls{.authorities = "ca", .certificate = "c"}}, "Tls::key");
    refused({.unix_socket = "/socket", .tls = mariadb::Tls{.authorities = "ca"}}, "Options::tls");
    EXPECT_EQ(text_of([] { Connector{{.host = "db", .tls = mariadb::Tls{.authorities = "ca"}}}; }),
              "weir: mariadb::Options::tls must be left to BlockingConnector");
}

struct Refusal {
    char const* name;
    std::function<void(mariadb::Options&)> spoil;
    error_code code;
    char const* text;
};

class MariadbRefuses : public Mariadb, public testing::WithParamInterface<Refusal> {};

TEST_P(MariadbRefuses, TheTrueCauseReachesTheAcquirer) {
    mariadb::Options spoilt = options();
    GetParam().spoil(spoilt);
    Pool<Connection> blocking{BlockingConnector{spoilt}};
    auto const got = blocking.try_acquire_for(20s);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), GetParam().code) << got.error().message();
    EXPECT_NE(blocking.last_connect_failure()->text.find(GetParam().text), std::string::npos)
        << blocking.last_connect_failure()->text;

    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{spoilt}};
    run(io, [&]() -> asio::awaitable<void> {
        error_code ec;
        auto const none = co_await pool.async_acquire(asio::redirect_error(asio::use_awaitable, ec));
        EXPECT_EQ(ec, GetParam().code) << ec.message();
    });
    EXPECT_NE(pool.last_connect_failure()->text.find(GetParam().text), std::string::npos)
        << pool.last_connect_failure()->text;
}

INSTANTIATE_TEST_SUITE_P(
    Mariadb, MariadbRefuses,
    testing::Values(Refusal{"WrongPassword", [](auto& it) { it.password = "wrong"; }, error(ER_ACCESS_DENIED_ERROR),
                            "Access denied for user 'weir'@'127.0.0.1'"},
                    Refusal{"DatabaseMissing",
                            [](auto& it) {
                                it.user = "admin";
                                it.database = "nowhere";
                            },
                            error(ER_BAD_DB_ERROR), "Unknown database 'nowhere'"},
                    Refusal{"NobodyListens", [](auto& it) { it.port = 1; }, error(2002), "'127.0.0.1' (111)"},
                    Refusal{"NoSuchHost", [](auto& it) { it.host = "nowhere.invalid"; }, asio::error::host_not_found,
                            "weir: cannot resolve nowhere.invalid:"},
                    Refusal{"NoSuchSocket",
                            [](auto& it) {
                                it.host.clear();
                                it.unix_socket = "/nowhere/socket";
                            },
                            error(2002), "'/nowhere/socket' (2)"}),
    [](auto const& each) { return each.param.name; });

TEST_F(Mariadb, AUnixSocketIsAsGood) {
    server().sql("CREATE OR REPLACE USER weir@localhost IDENTIFIED BY '" + server().password() + "'");
    mariadb::Options local = options();
    local.host.clear();
    local.database.clear();
    local.unix_socket = (server().directory() / "socket").string();
    Pool<Connection> blocking{BlockingConnector{local}};
    EXPECT_EQ(first(blocking.acquire()->query("SELECT USER()")), "weir@localhost");
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{local}};
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        auto const user = co_await lease->async_query("SELECT USER()");
        EXPECT_EQ(first(user), "weir@localhost");
    });
    server().sql("DROP USER weir@localhost");
}

TEST_F(Mariadb, ANameIsLookedUpForConnectionsOfBothKinds) {
    mariadb::Options named = options();
    named.host = "localhost";  // TCP all the same
    Pool<Connection> blocking{BlockingConnector{named}};
    EXPECT_EQ(first(blocking.acquire()->query("SELECT USER()")), "weir@127.0.0.1");
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{named}};
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        auto const user = co_await lease->async_query("SELECT USER()");
        EXPECT_EQ(first(user), "weir@127.0.0.1");
    });
}

asio::awaitable<void> pump(asio::ip::tcp::socket& from, asio::ip::tcp::socket& to) {
    std::vector<char> bytes(4096);
    error_code ended;
    for (;;) {
        auto const read =
            co_await from.async_read_some(asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, ended));
        if (ended) break;
        co_await asio::async_write(to, asio::buffer(bytes, read), asio::redirect_error(asio::use_awaitable, ended));
    }
    to.shutdown(asio::ip::tcp::socket::shutdown_both, ended);
}

/// Passes connections on to the server.
asio::awaitable<void> relay(asio::ip::tcp::acceptor& acceptor) {
    struct Pair {
        asio::ip::tcp::socket client;
        asio::ip::tcp::socket server;
    };
    for (;;) {
        auto client = co_await acceptor.async_accept(asio::use_awaitable);
        asio::ip::tcp::socket upstream{acceptor.get_executor()};
        co_await upstream.async_connect({asio::ip::address_v4::loopback(), server().port()}, asio::use_awaitable);
        auto const pair = std::make_shared<Pair>(Pair{std::move(client), std::move(upstream)});
        auto const ended = [pair](std::exception_ptr const&) {};
        asio::co_spawn(acceptor.get_executor(), pump(pair->client, pair->server), ended);
        asio::co_spawn(acceptor.get_executor(), pump(pair->server, pair->client), ended);
    }
}

TEST_F(Mariadb, AnAddressWhereNobodyListensIsPassedOver) {
    asio::io_context io;
    asio::ip::tcp::socket const nobody{io, {asio::ip::address_v4::loopback(), 0}};  // bound, and does not listen
    auto const port = nobody.local_endpoint().port();
    asio::ip::tcp::acceptor second{io, {asio::ip::make_address_v4("127.0.0.2"), port}};
    asio::co_spawn(io, relay(second), [](std::exception_ptr const&) {});
    mariadb::Options two = options();
    two.host = "two.test";
    two.port = port;
    Runner const running{io};
    struct AtTheEnd {
        asio::ip::tcp::acceptor& closed;
        ~AtTheEnd() {
            asio::post(closed.get_executor(), [this_one = &closed] { this_one->close(); });
        }
    } const at_the_end{second};
    Pool<Connection> blocking{BlockingConnector{two}};
    EXPECT_EQ(blocking.acquire()->query("SELECT 1").number(0, 0), 1);
    Pool<Connection> pool{io.get_executor(), Connector{two}};
    EXPECT_EQ(pool.acquire()->query("SELECT 1").number(0, 0), 1);
}

void expect_timed_out(mariadb::Options const& unanswered) {
    Pool<Connection> blocking{BlockingConnector{unanswered}, {.connect = {.timeout = 100ms}}};
    EXPECT_EQ(blocking.try_acquire_for(20s).error(), make_error_code(weir::Errc::timed_out));
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{unanswered}, {.connect = {.timeout = 100ms}}};
    run(io, [&]() -> asio::awaitable<void> {
        error_code ec;
        auto const none = co_await pool.async_acquire(asio::redirect_error(asio::use_awaitable, ec));
        EXPECT_EQ(ec, make_error_code(weir::Errc::timed_out)) << ec.message();
    });
    EXPECT_TRUE(run_until(io, [&] { return pool.stats().open == 0; }));
    EXPECT_TRUE(asio_test::run_dry(io)) << "a half-open connection is left";
}

TEST_F(Mariadb, AListenerThatSaysNothingCostsAConnectItsTime) {
    weir::test::Silent const silent;
    mariadb::Options unanswered = options();
    unanswered.port = silent.port();
    expect_timed_out(unanswered);
}

TEST_F(Mariadb, APortThatDoesNotAcceptCostsAConnectItsTime) {
    // As many as its line takes are in line, and it takes no more.
    asio::io_context io;
    asio::ip::tcp::acceptor acceptor{io};
    acceptor.open(asio::ip::tcp::v4());
    acceptor.bind({asio::ip::address_v4::loopback(), 0});
    acceptor.listen(0);
    asio::ip::tcp::socket in_line{io};
    in_line.connect(acceptor.local_endpoint());
    mariadb::Options unanswered = options();
    unanswered.port = acceptor.local_endpoint().port();
    expect_timed_out(unanswered);
}

TEST_F(Mariadb, AServerThatIsFrozenCostsAConnectItsTimeAndABlockingQueryItsOwn) {
    mariadb::Options hurried = options();
    hurried.query_timeout = 2s;  // which is enough for a server that is not
    Pool<Connection> pool{BlockingConnector{hurried}};
    {
        auto lease = pool.acquire();
        lease->query("SELECT 1");
        server().freeze();
        auto const asked = std::chrono::steady_clock::now();
        EXPECT_EQ(code_of([&] { lease->query("SELECT 1"); }), make_error_code(weir::Errc::timed_out));
        EXPECT_LT(std::chrono::steady_clock::now() - asked, 10s);
        EXPECT_EQ(code_of([&] { lease->query("SELECT ?", 1); }), error(2006));
        expect_timed_out(options());
        server().thaw();
    }
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    EXPECT_TRUE(wait_until([&] { return server().clients() == 0; }));
}

TEST_F(Mariadb, AFullServerSaysSoAndServesWhenThereIsRoom) {
    std::vector<Connection> taken;
    auto const fill = [&] {
        error_code full;
        while (!full) full = code_of([&] { taken.push_back(open_one()); });
        EXPECT_EQ(full, error(ER_CON_COUNT_ERROR)) << full.message();
    };
    fill();
    // Somebody from before may have left only now, and made room for one more.
    std::optional<Pool<Connection>> pool;
    EXPECT_TRUE(wait_until([&] {
        pool.emplace(BlockingConnector{options()});
        if (pool->try_acquire_for(10s).error() == error(ER_CON_COUNT_ERROR)) return true;
        pool->close();
        fill();
        return false;
    }));
    taken.clear();
    EXPECT_TRUE(wait_until([&] { return pool->try_acquire_for(10s).has_value(); }));
}

// ---- The end of a session ----------------------------------------------------------------------------------------------

// Sees no hang-up until it is checked.
struct Unwatched : Connector {
    using Connector::Connector;
    asio::awaitable<Connection> connect(weir::ConnectContext const& context) const {
        return Connection::async_open(options(), context.executor);
    }
};

TEST_F(Mariadb, AnIdleSessionThatWasKilledIsNotLent) {
    asio::io_context io;
    Pool<Connection, weir::Upkeep, ManualClock> pool{
        io.get_executor(), Unwatched{options()}, {.upkeep = {.check_after_idle = 1s}}};
    unsigned long killed = 0;
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        killed = id_of(*lease);
    });
    end_session(killed);
    ASSERT_TRUE(wait_until([&] { return server().clients() == 0; }));
    ManualClock::advance(2s);
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        EXPECT_NE(id_of(*lease), killed);
        auto const result = co_await lease->async_query("SELECT 1");
        EXPECT_EQ(result.number(0, 0), 1);
    });
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
}

TEST_F(Mariadb, AnIdleSessionThatWasKilledIsClosedWithoutACheck) {
    asio::io_context io;
    Runner const running{io};
    Pool<Connection> by_coroutine{io.get_executor(), Connector{options()}};
    Pool<Connection> by_thread{BlockingConnector{options()}};
    for (auto* const pool : {&by_coroutine, &by_thread}) {
        auto const id = id_of(*pool->acquire());
        end_session(id);
        EXPECT_TRUE(wait_until([&] { return pool->stats().open == 0; }));
        EXPECT_EQ(pool->stats().closed_unhealthy, 1u);
    }
}

TEST_F(Mariadb, ASessionThatWasIdleForTooLongIsSeenToHaveEnded) {
    auto conn = open_one();
    EXPECT_TRUE(conn.alive());
    conn.query("SET SESSION wait_timeout = 1");
    EXPECT_TRUE(wait_until([&] { return !conn.alive(); }));
    EXPECT_EQ(code_of([&] { conn.query("SELECT 1"); }).category(), mariadb::error_category());
    EXPECT_FALSE(conn.fit());
    EXPECT_EQ(code_of([&] { conn.query("SELECT ?", 1); }), error(2006));
}

TEST_F(Mariadb, ALostSessionFailsWithTheCauseAndIsNotKept) {
    Pool<Connection> pool{BlockingConnector{options()}};
    {
        auto lease = pool.acquire();
        end_session(id_of(*lease));
        auto const lost = code_of([&] { lease->query("SELECT 1"); });
        EXPECT_TRUE(lost == error(2006) || lost == error(2013) || lost == error(ER_CONNECTION_KILLED))
            << lost.message();
    }
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    EXPECT_EQ(pool.stats().open, 0u);
}

TEST_F(Mariadb, AServerThatWasKilledServesAgainAfterItsRestart) {
    asio::io_context io;
    Runner const running{io};
    Pool<Connection> pool{io.get_executor(), Connector{options()}};
    auto lease = pool.acquire();
    auto const query = [&] { return lease->async_query("SELECT SLEEP(600)"); };
    auto lost = asio::co_spawn(io, query, asio::use_future);
    ASSERT_TRUE(wait_until([&] { return server().clients() == 1; }));
    server().kill();
    EXPECT_EQ(code_of([&] { lost.get(); }), error(2013));
    EXPECT_EQ(pool.try_acquire_for(10s).error(), error(2002));
    server().restart();
    lease.release();
    EXPECT_EQ(pool.acquire()->query("SELECT 1").number(0, 0), 1);
}

TEST_F(Mariadb, ASessionLeftInATransactionIsClosed) {
    Pool<Connection> pool{BlockingConnector{options()}};
    pool.acquire()->query("CREATE OR REPLACE TABLE ledger (a INT) ENGINE = InnoDB");
    EXPECT_EQ(pool.stats().closed_unhealthy, 0u);
    {
        auto lease = pool.acquire();
        lease->query("BEGIN");
        lease->query("INSERT INTO ledger VALUES (?)", 1);
        EXPECT_TRUE(lease->in_transaction());
    }
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    {
        auto lease = pool.acquire();
        lease->query("SET autocommit = 0");
        lease->query("SELECT * FROM ledger");  // begins one, too
    }
    EXPECT_EQ(pool.stats().closed_unhealthy, 2u);
    EXPECT_EQ(pool.acquire()->query("SELECT count(*) FROM ledger").number(0, 0), 0);
    pool.acquire()->query("DROP TABLE ledger");
}

TEST_F(Mariadb, ASessionWithAnAnswerThatNobodyHasReadIsClosed) {
    Pool<Connection> pool{BlockingConnector{options()}};
    mysql_query(pool.acquire()->native_handle(), "SELECT 1");  // and no mysql_store_result
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    Connection const taken{std::move(*pool.acquire())};
    EXPECT_EQ(pool.stats().closed_unhealthy, 2u) << "there is nothing left in that lease";
}

TEST_F(Mariadb, AQueryThatIsCancelledSpoilsItsSessionAndNothingElse) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{options()}};
    for (bool const is_prepared : {false, true}) {
        asio::cancellation_signal signal;
        std::optional<error_code> ended;
        auto const sleep = [&]() -> asio::awaitable<void> {
            auto lease = co_await pool.async_acquire(asio::use_awaitable);
            error_code first_ended;
            try {
                if (is_prepared)
                    co_await lease->async_query("SELECT SLEEP(?)", 600);
                else
                    co_await lease->async_query("SELECT SLEEP(600)");
            } catch (boost::system::system_error const& thrown) {
                first_ended = thrown.code();
            }
            EXPECT_EQ(code_of([&] { lease->query("SELECT 1"); }), error(2006)) << "it is at its end";
            throw boost::system::system_error{first_ended};
        };
        asio::co_spawn(io, sleep, asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr thrown) {
                           ended = code_of([&] { std::rethrow_exception(thrown); });
                       }));
        std::string const asleep = "SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep'";
        ASSERT_TRUE(run_until(io, [&] { return server().sql(asleep) == "1"; }));
        signal.emit(asio::cancellation_type::terminal);
        ASSERT_TRUE(run_until(io, [&] { return ended.has_value(); }));
        EXPECT_EQ(*ended, asio::error::operation_aborted);
        EXPECT_TRUE(run_until(io, [&] { return pool.stats().open == 0; }));
        EXPECT_TRUE(wait_until([&] { return server().clients() == 0; })) << "the server has not found out";
    }
    EXPECT_EQ(pool.stats().closed_unhealthy, 2u);
}

// ---- Settings ----------------------------------------------------------------------------------------------------------

TEST_F(Mariadb, AResettingConnectorLeavesNothingOfOneLeaseToTheNext) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), mariadb::ResettingConnector{options()}, {.size = {.high = 1}}};
    run(io, [&]() -> asio::awaitable<void> {
        unsigned long id = 0;
        {
            auto lease = co_await pool.async_acquire(asio::use_awaitable);
            id = id_of(*lease);
            co_await lease->async_query("SET @mine = 1, NAMES latin1");
            co_await lease->async_query("USE information_schema");
            co_await lease->async_query("CREATE TEMPORARY TABLE weir.mine (n INT)");
            co_await lease->async_query("BEGIN");
        }
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        EXPECT_EQ(id_of(*lease), id);
        EXPECT_FALSE(lease->in_transaction());
        auto const state = co_await lease->async_query(
            "SELECT @mine, DATABASE(), @@character_set_client, @@character_set_results, @@collation_connection");
        EXPECT_TRUE(state.is_null(0, 0));
        EXPECT_EQ(state.text(0, 1), "weir");
        EXPECT_EQ(state.text(0, 2), "utf8mb4");
        EXPECT_EQ(state.text(0, 3), "utf8mb4");
        EXPECT_EQ(state.text(0, 4), "utf8mb4_general_ci");
        EXPECT_STREQ(mysql_character_set_name(lease->native_handle()), "utf8mb4");
        error_code gone;
        try {
            co_await lease->async_query("SELECT * FROM mine");
        } catch (boost::system::system_error const& thrown) {
            gone = thrown.code();
        }
        EXPECT_EQ(gone, error(ER_NO_SUCH_TABLE));
    });
    asio_test::expect_clean_end(pool, io);
}

using PerTenant = Pool<Connection, weir::SettingBuckets<Connection::Settings>>;

TEST_F(Mariadb, AResettingConnectorTakesNoSettingForOneThatItHasTakenBack) {
    asio::io_context io;
    PerTenant pool{io.get_executor(), mariadb::ResettingConnector{options()}, {.size = {.high = 1}}};
    Connection::Settings const tenant{{"@tenant", "seven"}};
    Runner const running{io};
    for (int i = 0; i != 3; ++i) {
        auto lease = pool.acquire(tenant);
        EXPECT_EQ(lease->query("SELECT @tenant").text(0, 0), "seven");
    }
    EXPECT_TRUE(pool.acquire()->query("SELECT @tenant").is_null(0, 0));
    EXPECT_EQ(pool.stats().settings_applied, 1u);
}

template <class Connector>
void settings_come_and_go(asio::io_context& io, Connector connector) {
    PerTenant pool{io.get_executor(), std::move(connector), {.size = {.high = 1}}};
    Connection::Settings const tenant{{"@tenant", "it's \\ '7'; DROP DATABASE weir; --"},
                                      {"database", "tenant 7"},
                                      {"max_statement_time", "12.5"},
                                      {"time_zone", "+01:00"}};
    Runner const running{io};
    auto const state = [](auto& lease) {
        return lease->query("SELECT @tenant, DATABASE(), @@max_statement_time, @@time_zone");
    };
    {
        auto lease = pool.acquire(tenant);
        auto const row = state(lease);
        EXPECT_EQ(row.text(0, 0), "it's \\ '7'; DROP DATABASE weir; --");
        EXPECT_EQ(row.text(0, 1), "tenant 7");
        EXPECT_EQ(row.template number<double>(0, 2), 12.5);
        EXPECT_EQ(row.text(0, 3), "+01:00");
    }
    {
        auto lease = pool.acquire();
        auto const row = state(lease);
        EXPECT_TRUE(row.is_null(0, 0));
        EXPECT_EQ(row.text(0, 1), "weir");
        EXPECT_EQ(row.template number<double>(0, 2), 0);
        EXPECT_EQ(row.text(0, 3), "SYSTEM");
    }
    auto const refusal = [&](Connection::Settings const& wrong) { return pool.try_acquire_for(10s, wrong).error(); };
    EXPECT_EQ(refusal({{"no_such_thing", "1"}}), error(ER_UNKNOWN_SYSTEM_VARIABLE));
    EXPECT_EQ(refusal({{"database", "nowhere"}}), error(ER_DBACCESS_DENIED_ERROR));
    error_code const invalid = make_error_code(boost::system::errc::invalid_argument);
    EXPECT_EQ(refusal({{"a = 1; --", "1"}}), invalid);
    EXPECT_EQ(refusal({{"@", "1"}}), invalid);
    EXPECT_EQ(refusal({{"character_set_client", "gbk"}}), invalid);
    EXPECT_EQ(refusal({{"database", ""}}), invalid);
    EXPECT_EQ(pool.stats().settings_applied, 1u);
    EXPECT_EQ(pool.stats().settings_reset, 1u);
    EXPECT_TRUE(pool.close());
}

TEST_F(Mariadb, SettingsAreAppliedAndTakenBack) {
    server().sql("CREATE DATABASE IF NOT EXISTS `tenant 7`");
    server().sql("GRANT ALL ON `tenant 7`.* TO weir@'127.0.0.1'");
    asio::io_context io;
    settings_come_and_go(io, Connector{options()});
    settings_come_and_go(io, BlockingConnector{options()});
}

TEST_F(Mariadb, ASessionThatCannotGoBackToNoDatabaseIsReplaced) {
    mariadb::Options no_database = options();
    no_database.database.clear();
    PerTenant pool{BlockingConnector{no_database}, {.size = {.high = 1}}};
    auto const id = id_of(*pool.acquire(Connection::Settings{{"database", "weir"}}));
    auto lease = pool.acquire();
    EXPECT_NE(id_of(*lease), id);
    EXPECT_TRUE(lease->query("SELECT DATABASE()").is_null(0, 0));
}

TEST_F(Mariadb, ACheckWithARoundTripAsksTheServer) {
    mariadb::Options asking = options();
    asking.check = mariadb::Check::round_trip;
    BlockingConnector const connector{asking};
    Pool<Connection, weir::Upkeep, ManualClock> pool{connector, {.upkeep = {.check_after_idle = 1s}}};
    auto const questions = [](auto lease) {
        return lease->query("SHOW SESSION STATUS LIKE 'Com_admin_commands'").template number<int>(0, 1);
    };
    int const before = questions(pool.acquire());
    ManualClock::advance(2s);
    EXPECT_EQ(questions(pool.acquire()), before + 1);
}

// ---- Under load --------------------------------------------------------------------------------------------------------

TEST_F(Mariadb, TheServerCountsWhatThePoolCountsAndNothingIsLeftBehind) {
    ASSERT_TRUE(wait_until([&] { return server().clients() == 0; })) << "of those before";
    asio::io_context io;
    Runner const running{io, 3};
    {
        Pool<Connection> pool{io.get_executor(), Connector{options()}, {.size = {.high = 5}}};
        std::vector<std::future<void>> clients;
        for (int client = 0; client < 20; ++client)
            clients.push_back(asio::co_spawn(
                io,
                [&pool, client]() -> asio::awaitable<void> {
                    for (int i = 0; i < 20; ++i) {
                        auto lease = co_await pool.async_acquire(asio::use_awaitable);
                        auto const answer = co_await lease->async_query("SELECT ? * 1000 + ?", client, i);
                        if (answer.number(0, 0) != client * 1000 + i) throw std::logic_error{"somebody else's answer"};
                        // Long enough to be read in many parts, on whatever thread is free.
                        auto const much = co_await lease->async_query("SELECT REPEAT('x', 300000)");
                        if (much.text(0, 0).size() != 300'000) throw std::logic_error{"half an answer"};
                    }
                },
                asio::use_future));
        for (auto& each : clients) each.get();
        EXPECT_TRUE(wait_until([&] { return pool.stats().connecting == 0; }));
        EXPECT_EQ(server().clients(), pool.stats().open);
        EXPECT_LE(pool.stats().open, 5u);
        EXPECT_EQ(pool.stats().closed_unhealthy, 0u);
        EXPECT_TRUE(pool.close());
    }
    EXPECT_TRUE(wait_until([&] { return server().clients() == 0; }));
}

TEST_F(Mariadb, APoolThatIsClosedInTheMidstOfTrafficDrains) {
    asio::io_context io;
    Runner const running{io, 2};
    Pool<Connection> pool{io.get_executor(), Connector{options()}, {.size = {.high = 4}}};
    std::atomic<int> served{0};
    std::vector<std::future<void>> clients;
    for (int client = 0; client < 8; ++client)
        clients.push_back(asio::co_spawn(
            io,
            [&]() -> asio::awaitable<void> {
                for (;;) {
                    auto lease = co_await pool.async_acquire(asio::use_awaitable);
                    auto const answer = co_await lease->async_query("SELECT SLEEP(0.001)");
                    served += answer.rows() == 1 ? 1 : 0;
                }
            },
            asio::use_future));
    ASSERT_TRUE(wait_until([&] { return served > 100; }));
    EXPECT_TRUE(pool.close());
    for (auto& each : clients) EXPECT_EQ(code_of([&] { each.get(); }), make_error_code(weir::Errc::closed));
    EXPECT_TRUE(wait_until([&] { return server().clients() == 0; }));
}

TEST_F(Mariadb, AConnectOnItsWayWhenThePoolClosesIsGivenUp) {
    server().freeze();
    asio::io_context io;
    Runner const running{io};
    Pool<Connection> pool{io.get_executor(), Connector{options()}, {.connect = {.timeout = 10min}}};
    auto waiting = pool.async_acquire(asio::use_future);
    ASSERT_TRUE(wait_until([&] { return pool.stats().connecting == 1; }));
    EXPECT_TRUE(pool.close());
    EXPECT_EQ(code_of([&] { waiting.get().release(); }), make_error_code(weir::Errc::closed));
}

// ---- TLS ---------------------------------------------------------------------------------------------------------------

class MariadbTls : public weir::test::ServerTest<MariadbServer, weir::test::Authority> {
protected:
    void serve(weir::test::Flaw flaw = weir::test::Flaw::none) {
        scratch_.emplace("certificates", weir::test::account_for({"mysql"}));
        weir::test::Authority authority{*scratch_};
        auto const own = authority.issue(flaw);
        root_ = authority.root();
        server_.emplace(weir::test::MariadbOptions{.config = "ssl-cert=" + own.certificate + "\nssl-key=" + own.key +
                                                             "\nssl-ca=" + root_ + "\n"});
    }
    mariadb::Options secured() const {
        return {.host = "localhost",
                .port = server_->port(),
                .user = server_->user(),
                .password = server_->password(),
                .database = server_->database(),
                .tls = mariadb::Tls{.authorities = root_}};
    }
    std::optional<weir::test::Scratch> scratch_;
    std::optional<MariadbServer> server_;
    std::string root_;
};

TEST_F(MariadbTls, CoroutinesAndThreadsTalkInSecretAndNobodyBlocksTheOther) {
    serve();
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), BlockingConnector{secured()}};
    std::string const long_text(5u << 20, 'x');
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        EXPECT_NE(mysql_get_ssl_cipher(lease->native_handle()), nullptr);
        bool has_run = false;
        asio::post(io, [&] { has_run = true; });
        co_await lease->async_query("SELECT SLEEP(1)");  // longer than it may take us to look for the answer
        EXPECT_TRUE(has_run) << "the query has blocked the executor";
        auto const much = co_await lease->async_query("SELECT ?", long_text);
        EXPECT_EQ(much.text(0, 0), long_text);
        EXPECT_EQ(lease->query("SELECT '" + long_text + "'").text(0, 0), long_text);
        EXPECT_TRUE(lease->alive());
    });
    EXPECT_EQ(pool.stats().closed_unhealthy, 0u);
    {
        auto lease = pool.acquire();
        asio::cancellation_signal signal;
        std::optional<error_code> ended;
        asio::co_spawn(
            io, [&] { return lease->async_query("SELECT SLEEP(600)"); },
            asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr thrown, mariadb::Result const&) {
                ended = code_of([&] { std::rethrow_exception(thrown); });
            }));
        for (int i = 0; i < 3; ++i) asio_test::poll(io);
        signal.emit(asio::cancellation_type::terminal);
        ASSERT_TRUE(run_until(io, [&] { return ended.has_value(); }));
        EXPECT_EQ(*ended, asio::error::operation_aborted);
    }
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    asio_test::expect_clean_end(pool, io);
}

TEST_F(MariadbTls, ACertificateOfAnotherHostIsRefused) {
    serve(weir::test::Flaw::wrong_host);
    Pool<Connection> pool{BlockingConnector{secured()}};
    EXPECT_EQ(pool.try_acquire_for(10s).error(), error(2026));
    EXPECT_NE(pool.last_connect_failure()->text.find("certificate"), std::string::npos)
        << pool.last_connect_failure()->text;
}

TEST_F(MariadbTls, ACertificateThatHasExpiredIsRefused) {
    serve(weir::test::Flaw::expired);
    Pool<Connection> pool{BlockingConnector{secured()}};
    EXPECT_EQ(pool.try_acquire_for(10s).error(), error(2026));
    EXPECT_NE(pool.last_connect_failure()->text.find("expired"), std::string::npos)
        << pool.last_connect_failure()->text;
}

TEST_F(MariadbTls, ACertificateOfAnUnknownAuthorityIsRefused) {
    serve();
    mariadb::Options trusting_others = secured();
    trusting_others.tls->authorities = "/etc/ssl/certs/ca-certificates.crt";
    Pool<Connection> pool{BlockingConnector{trusting_others}};
    EXPECT_EQ(pool.try_acquire_for(10s).error(), error(2026));
}

TEST_F(Mariadb, AServerWithoutTlsIsRefusedWhereItIsAskedFor) {
    mariadb::Options secured = options();
    secured.tls = mariadb::Tls{.authorities = "/etc/ssl/certs/ca-certificates.crt"};
    Pool<Connection> pool{BlockingConnector{secured}};
    EXPECT_EQ(pool.try_acquire_for(10s).error(), error(2026));
}

}  // namespace
