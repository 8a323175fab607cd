// Pools of sessions of a real PostgreSQL server.

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <gtest/gtest.h>

#include <weir/adapters/libpq.hpp>
#include <weir/pool.hpp>
#include <weir/testing/manual_clock.hpp>

#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "servers/fixture.hpp"
#include "servers/postgres.hpp"
#include "support/coroutine.hpp"
#include "support/slow_names.hpp"

namespace {

namespace asio = boost::asio;
namespace libpq = weir::libpq;
using namespace std::chrono_literals;
using asio_test::code_of;
using asio_test::run;
using asio_test::run_until;
using asio_test::Runner;
using asio_test::wait_until;
using boost::system::error_code;
using boost::system::system_error;
using libpq::Connection;
using libpq::Connector;
using libpq::sqlstate;
using weir::Pool;
using weir::test::PostgresServer;

class Postgres : public weir::test::SharedServerTest<PostgresServer> {};

PostgresServer& server() { return weir::test::shared<PostgresServer>(); }

/// Sessions of programs named so, as the server counts them; those in that state, or all.
int sessions(std::string const& name, std::string const& state = "") {
    static Connection watcher = Connection::open({.conninfo = server().url()}, std::chrono::steady_clock::now() + 10s);
    auto const result = watcher.query(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND $2 IN ('', state)", name, state);
    return result.number<int>(0, 0);
}

libpq::Options named(std::string const& name) {
    return {.conninfo = server().url(), .parameters = {{"application_name", name}}};
}

int backend(Connection& conn) { return PQbackendPID(conn.native_handle()); }

bool something_came(Connection& conn) {
    return weir::adapters::look_at(PQsocket(conn.native_handle())) != weir::adapters::SocketState::quiet;
}

void terminate(int pid) {
    auto admin = Connection::open({.conninfo = server().url()}, std::chrono::steady_clock::now() + 10s);
    ASSERT_EQ(admin.query("SELECT pg_terminate_backend($1)", pid).text(0, 0), "t");
    ASSERT_TRUE(
        wait_until([&] { return admin.query("SELECT 1 FROM pg_stat_activity WHERE pid = $1", pid).rows() == 0; }));
}

TEST_F(Postgres, ACoroutineQueriesWithParametersOfEveryKind) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{server().url()}};
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        auto const row = co_await lease->async_query("SELECT $1::int + 1, $2::text, $3::bool, $4::float8, $5::text, $6",
                                                     41, "it's", true, 0.25, std::optional<int>{}, nullptr);
        EXPECT_EQ(row.rows(), 1u);
        EXPECT_EQ(row.columns(), 6u);
        EXPECT_EQ(row.number(0, 0), 42);
        EXPECT_EQ(row.text(0, 1), "it's");
        EXPECT_EQ(row.text(0, 2), "t");
        EXPECT_EQ(row.number<double>(0, 3), 0.25);
        EXPECT_TRUE(row.is_null(0, 4));
        EXPECT_TRUE(row.is_null(0, 5));
        EXPECT_FALSE(row.is_null(0, 0));
        EXPECT_EQ(code_of([&] { row.number(0, 1); }), sqlstate("22P02"));
        EXPECT_EQ(code_of([&] { lease->query("SELECT $1", std::string("a\0b", 3)); }), sqlstate("22021"));
    });
    EXPECT_TRUE(pool.close());
}

TEST_F(Postgres, ThreadsQueryWithoutAnExecutor) {
    Pool<Connection> pool{libpq::BlockingConnector{server().url()}};
    auto lease = pool.acquire();
    EXPECT_EQ(lease->query("SELECT 6 * 7").number(0, 0), 42);
    EXPECT_EQ(lease->query("CREATE TEMP TABLE t (n int); INSERT INTO t VALUES (1), (2), (3)").affected(), 3u);
    EXPECT_EQ(lease->query("SELECT n FROM t ORDER BY n").column(0), "n");
}

TEST_F(Postgres, ASessionOpenedByACoroutineServesThreadsAndTheOtherWayRound) {
    asio::io_context io;
    Pool<Connection> by_coroutine{io.get_executor(), Connector{server().url()}};
    Pool<Connection> by_thread{io.get_executor(), libpq::BlockingConnector{server().url()}};
    auto opened_here = by_thread.acquire();
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await by_coroutine.async_acquire(asio::use_awaitable);
        EXPECT_EQ(lease->query("SELECT 1").number(0, 0), 1);
        auto const result = co_await opened_here->async_query("SELECT 2");
        EXPECT_EQ(result.number(0, 0), 2);
    });
}

TEST_F(Postgres, WhatTheServerRefusesComesWithItsSqlstate) {
    Pool<Connection> pool{libpq::BlockingConnector{server().url()}};
    auto lease = pool.acquire();
    lease->query("CREATE TEMP TABLE once (n int PRIMARY KEY); INSERT INTO once VALUES (1)");
    EXPECT_EQ(code_of([&] { lease->query("INSERT INTO once VALUES (1)"); }), sqlstate("23505"));
    EXPECT_EQ(code_of([&] { lease->query("SELEC 1"); }), sqlstate("42601"));
    EXPECT_EQ(code_of([&] { lease->query("COPY once TO STDOUT"); }), sqlstate("0A000"));
    EXPECT_EQ(sqlstate("23505").message(), "SQLSTATE 23505");
    EXPECT_FALSE(lease->fit());  // of the COPY
}

TEST_F(Postgres, AFailedStatementLeavesTheSessionFit) {
    Pool<Connection> pool{libpq::BlockingConnector{server().url()}};
    int pid = 0;
    {
        auto lease = pool.acquire();
        pid = backend(*lease);
        EXPECT_EQ(code_of([&] { lease->query("SELECT 1 / 0"); }), sqlstate("22012"));
        EXPECT_TRUE(lease->fit());
    }
    EXPECT_EQ(backend(*pool.acquire()), pid);
}

struct Refusal {
    char const* name;
    std::vector<std::pair<std::string, std::string>> parameters;
    char const* state;
    char const* text;
};

class PostgresRefuses : public Postgres, public testing::WithParamInterface<Refusal> {};

TEST_P(PostgresRefuses, TheTrueCauseReachesTheAcquirer) {
    libpq::Options const options{.conninfo = server().url(), .parameters = GetParam().parameters};
    Pool<Connection> blocking{libpq::BlockingConnector{options}};
    auto const got = blocking.try_acquire_for(20s);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), sqlstate(GetParam().state)) << got.error().message();
    EXPECT_NE(blocking.last_connect_failure()->text.find(GetParam().text), std::string::npos)
        << blocking.last_connect_failure()->text;

    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{options}};
    run(io, [&]() -> asio::awaitable<void> {
        error_code ec;
        auto lease = co_await pool.async_acquire(asio::redirect_error(asio::use_awaitable, ec));
        EXPECT_EQ(ec, sqlstate(GetParam().state)) << ec.message();
    });
    EXPECT_NE(pool.last_connect_failure()->text.find(GetParam().text), std::string::npos)
        << pool.last_connect_failure()->text;
    EXPECT_EQ(pool.last_connect_failure()->text.find("LOCATION"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Postgres, PostgresRefuses,
    testing::Values(Refusal{"WrongPassword", {{"password", "wrong"}}, "28P01", "password authentication failed"},
                    Refusal{"DatabaseMissing", {{"dbname", "nowhere"}}, "3D000", "\"nowhere\" does not exist"},
                    Refusal{"NobodyListens", {{"port", "1"}, {"hostaddr", "127.0.0.1"}}, "08001", "Connection refused"},
                    Refusal{"NoSuchHost", {{"host", "nowhere.invalid"}}, "08001", "nowhere.invalid"},
                    Refusal{"PortIsNoNumber", {{"port", "abc"}}, "08001", "invalid integer value \"abc\""},
                    Refusal{"NoTls", {{"sslmode", "require"}}, "08001", "does not support SSL"}),
    [](auto const& each) { return each.param.name; });

TEST_F(Postgres, AWrongConninfoIsRefusedAtOnceAndNamed) {
    auto const why = [](libpq::Options options) -> std::string {
        try {
            Connector{std::move(options)};
        } catch (std::invalid_argument const& error) {
            return error.what();
        }
        return "accepted";
    };
    EXPECT_EQ(why({.conninfo = "hots=db"}), "weir: libpq::Options::conninfo: invalid connection option \"hots\"");
    EXPECT_EQ(why({.conninfo = "", .parameters = {{"hots", "db"}}}),
              "weir: libpq::Options::parameters: unknown keyword 'hots'");
    EXPECT_EQ(why({.conninfo = "", .query_timeout = 0s}),
              "weir: libpq::Options::query_timeout must be above zero, and at most a year");
    EXPECT_EQ(why({.conninfo = "host=db"}), "accepted");
}

using weir::testing::ManualClock;
using Checked = Pool<Connection, weir::Upkeep, ManualClock>;

TEST_F(Postgres, ASessionThatWasTerminatedWhileIdleIsNotLent) {
    asio::io_context io;
    Checked pool{io.get_executor(), Connector{server().url()}, {.upkeep = {.check_after_idle = 1s}}};
    int first = 0;
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        first = backend(*lease);
    });
    terminate(first);
    ManualClock::advance(2s);
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        EXPECT_NE(backend(*lease), first);
        auto const result = co_await lease->async_query("SELECT 1");
        EXPECT_EQ(result.number(0, 0), 1);
    });
    EXPECT_TRUE(run_until(io, [&] { return pool.stats().closed_unhealthy == 1; }));
}

template <class Connector>
void hang_up_while_idle(asio::io_context& io, Connector connector) {
    Pool<Connection> pool{io.get_executor(), std::move(connector)};
    Runner const running{io};
    int first = 0;
    {
        auto lease = pool.acquire();
        first = backend(*lease);
    }
    terminate(first);
    EXPECT_TRUE(wait_until([&] { return pool.stats().open == 0; })) << "nobody has told the pool";
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    EXPECT_EQ(pool.acquire()->query("SELECT 1").number(0, 0), 1);
}

TEST_F(Postgres, ASessionThatEndsWhileItIsIdleIsClosedAtOnceThoughNothingIsEverChecked) {
    asio::io_context io;
    hang_up_while_idle(io, Connector{server().url()});
    hang_up_while_idle(io, libpq::BlockingConnector{server().url()});
}

TEST_F(Postgres, IdleSessionsKeepNoContextFromReturning) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{server().url()}};
    run(io, [&]() -> asio::awaitable<void> { (void)co_await pool.async_acquire(asio::use_awaitable); });
    EXPECT_FALSE(asio_test::has_work(io));
    EXPECT_EQ(pool.stats().idle, 1u);
}

TEST_F(Postgres, ACheckSeesATerminatedSessionAndLeavesAHealthyOneWithANoticeAlone) {
    auto conn = Connection::open({.conninfo = server().url()}, std::chrono::steady_clock::now() + 10s);
    conn.query("LISTEN bell");
    auto other = Connection::open({.conninfo = server().url()}, std::chrono::steady_clock::now() + 10s);
    other.query("NOTIFY bell");
    ASSERT_TRUE(wait_until([&] { return something_came(conn); }));
    EXPECT_TRUE(conn.alive());
    EXPECT_EQ(conn.query("SELECT 1").number(0, 0), 1);
    terminate(backend(conn));
    ASSERT_TRUE(wait_until([&] { return something_came(conn); }));
    EXPECT_FALSE(conn.alive());
    EXPECT_FALSE(conn.alive());
    EXPECT_EQ(code_of([&] { conn.query("SELECT 1"); }), sqlstate("08006"));
}

TEST_F(Postgres, ALostSessionFailsWithTheCauseAndIsNotKept) {
    Pool<Connection> pool{libpq::BlockingConnector{server().url()}};
    {
        auto lease = pool.acquire();
        terminate(backend(*lease));
        EXPECT_EQ(code_of([&] { lease->query("SELECT 1"); }), sqlstate("57P01"));
    }
    auto const stats = pool.stats();
    EXPECT_EQ(stats.closed_unhealthy, 1u);
    EXPECT_EQ(stats.open, 0u);
}

TEST_F(Postgres, ASessionLeftInATransactionIsClosed) {
    Pool<Connection> pool{libpq::BlockingConnector{server().url()}};
    int first = 0;
    {
        auto lease = pool.acquire();
        first = backend(*lease);
        lease->query("BEGIN");
        EXPECT_FALSE(lease->fit());
    }
    EXPECT_NE(backend(*pool.acquire()), first);
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
}

TEST_F(Postgres, AResettingConnectorLeavesNothingOfOneLeaseToTheNext) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), libpq::ResettingConnector{server().url()}, {.size = {.high = 1}}};
    run(io, [&]() -> asio::awaitable<void> {
        int first = 0;
        {
            auto lease = co_await pool.async_acquire(asio::use_awaitable);
            first = backend(*lease);
            co_await lease->async_query("SET work_mem TO '77kB'");
            co_await lease->async_query("CREATE TEMP TABLE mine (n int); BEGIN");
        }
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        EXPECT_EQ(backend(*lease), first);
        auto const memory = co_await lease->async_query("SHOW work_mem");
        EXPECT_NE(memory.text(0, 0), "77kB");
        auto const table = co_await lease->async_query("SELECT to_regclass('pg_temp.mine')");
        EXPECT_TRUE(table.is_null(0, 0));
    });
    asio_test::expect_clean_end(pool, io);
}

using PerTenant = Pool<Connection, weir::SettingBuckets<Connection::Settings>>;

template <class Connector>
void settings_come_and_go(asio::io_context& io, Connector connector) {
    PerTenant pool{io.get_executor(), std::move(connector), {.size = {.high = 1}}};
    Connection::Settings const tenant{
        {"search_path", "tenant_7, public"}, {"application_name", "it's \"odd\""}, {"work_mem", "77kB"}};
    Runner const running{io};
    auto const memory = [](auto& lease) { return std::string{lease->query("SHOW work_mem").text(0, 0)}; };
    std::string const usual = memory(*std::make_unique<weir::Lease<Connection>>(pool.acquire()));
    ASSERT_NE(usual, "77kB");
    {
        auto lease = pool.acquire(tenant);
        EXPECT_EQ(memory(lease), "77kB");
        EXPECT_EQ(lease->query("SHOW search_path").text(0, 0), "tenant_7, public");
        EXPECT_EQ(lease->query("SHOW application_name").text(0, 0), "it's \"odd\"");
    }
    {
        auto lease = pool.acquire();
        EXPECT_EQ(memory(lease), usual);
        EXPECT_EQ(lease->query("SHOW search_path").text(0, 0), "\"$user\", public");
    }
    auto const wrong = pool.try_acquire_for(10s, Connection::Settings{{"no such thing", "1"}});
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error(), sqlstate("42704")) << wrong.error().message();
    EXPECT_EQ(pool.stats().settings_applied, 1u);
    EXPECT_EQ(pool.stats().settings_reset, 1u);
    EXPECT_TRUE(pool.close());
}

TEST_F(Postgres, AResettingConnectorTakesNoSettingForOneThatItHasTakenBack) {
    asio::io_context io;
    PerTenant pool{io.get_executor(), libpq::ResettingConnector{server().url()}, {.size = {.high = 1}}};
    Connection::Settings const tenant{{"work_mem", "77kB"}};
    Runner const running{io};
    for (int i = 0; i != 3; ++i) {
        auto lease = pool.acquire(tenant);
        EXPECT_EQ(lease->query("SHOW work_mem").text(0, 0), "77kB");
    }
    EXPECT_NE(pool.acquire()->query("SHOW work_mem").text(0, 0), "77kB");
    EXPECT_EQ(pool.stats().settings_applied, 1u);
}

TEST_F(Postgres, SettingsAreAppliedAndTakenBack) {
    asio::io_context io;
    settings_come_and_go(io, Connector{server().url()});
    settings_come_and_go(io, libpq::BlockingConnector{server().url()});
}

TEST_F(Postgres, AQueryThatIsCancelledSpoilsItsSessionAndStopsInTheServer) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{named("cancelled")}};
    asio::cancellation_signal signal;
    std::optional<error_code> ended;
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
            auto lease = co_await pool.async_acquire(asio::use_awaitable);
            co_await lease->async_query("SELECT pg_sleep(600)");
        },
        asio::bind_cancellation_slot(
            signal.slot(), [&](std::exception_ptr error) { ended = code_of([&] { std::rethrow_exception(error); }); }));
    ASSERT_TRUE(run_until(io, [&] { return sessions("cancelled", "active") == 1; }));
    signal.emit(asio::cancellation_type::terminal);
    ASSERT_TRUE(run_until(io, [&] { return ended.has_value(); }));
    EXPECT_EQ(*ended, asio::error::operation_aborted);
    EXPECT_TRUE(run_until(io, [&] { return pool.stats().open == 0; }));
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    EXPECT_TRUE(wait_until([] { return sessions("cancelled") == 0; })) << "the server goes on with it";
}

TEST_F(Postgres, AStatementThatFillsTheSocketIsSentWhole) {
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{server().url()}};
    std::string const long_text(16u << 20, 'x');
    Runner const running{io};
    auto lease = pool.acquire();
    EXPECT_EQ(lease->query("SELECT length($1)", long_text).number(0, 0), 16 << 20);
    auto answer = asio::co_spawn(
        io, [&] { return lease->async_query("SELECT md5($1), $1", long_text); }, asio::use_future);
    auto const result = answer.get();
    EXPECT_EQ(result.text(0, 1).size(), long_text.size());
}

TEST_F(Postgres, ServersThatDoNotAnswerArePassedOver) {
    asio::io_context io;
    libpq::Options options{.conninfo = server().url()};
    auto const port = std::to_string(server().port());
    options.parameters = {{"host", "nowhere.invalid,127.0.0.1,127.0.0.1"}, {"port", "1,1," + port}};
    Pool<Connection> pool{io.get_executor(), Connector{options}};
    run(io, [&]() -> asio::awaitable<void> {
        auto lease = co_await pool.async_acquire(asio::use_awaitable);
        EXPECT_EQ(PQport(lease->native_handle()), port);
    });
}

TEST_F(Postgres, AServerThatIsFrozenCostsAConnectItsTimeAndABlockingQueryItsOwn) {
    libpq::Options options = named("frozen");
    options.query_timeout = 2s;  // which is enough for a server that is not
    Pool<Connection> patient{libpq::BlockingConnector{options}};
    Pool<Connection> blocking{libpq::BlockingConnector{options}, {.connect = {.timeout = 100ms}}};
    asio::io_context io;
    Pool<Connection> pool{io.get_executor(), Connector{options}, {.connect = {.timeout = 100ms}}};
    {
        auto lease = patient.acquire();
        lease->query("SELECT 1");
        server().freeze();
        EXPECT_EQ(code_of([&] { lease->query("SELECT 1"); }), make_error_code(weir::Errc::timed_out));
        EXPECT_EQ(blocking.try_acquire_for(20s).error(), make_error_code(weir::Errc::timed_out));
        run(io, [&]() -> asio::awaitable<void> {
            error_code ec;
            auto const none = co_await pool.async_acquire(asio::redirect_error(asio::use_awaitable, ec));
            EXPECT_EQ(ec, make_error_code(weir::Errc::timed_out)) << ec.message();
        });
        EXPECT_TRUE(run_until(io, [&] { return pool.stats().open == 0; }));
        server().thaw();
    }
    EXPECT_EQ(patient.stats().open, 0u);
    EXPECT_EQ(blocking.stats().open, 0u);
    EXPECT_TRUE(wait_until([&] { return sessions("frozen") == 0; }));
}

TEST_F(Postgres, AFullServerSaysSoAndServesWhenThereIsRoom) {
    std::vector<Connection> taken;
    auto const deadline = std::chrono::steady_clock::now() + 20s;
    error_code full;
    while (!full) full = code_of([&] { taken.push_back(Connection::open({.conninfo = server().url()}, deadline)); });
    EXPECT_EQ(full, sqlstate("53300")) << full.message();
    Pool<Connection> pool{libpq::BlockingConnector{server().url()}};
    EXPECT_EQ(pool.try_acquire_for(10s).error(), sqlstate("53300"));
    taken.clear();
    EXPECT_TRUE(wait_until([&] { return pool.try_acquire_for(10s).has_value(); }));
}

TEST_F(Postgres, TheServerCountsWhatThePoolCountsAndNothingIsLeftBehind) {
    asio::io_context io;
    Runner const running{io, 2};
    {
        Pool<Connection> pool{io.get_executor(), Connector{named("counted")}, {.size = {.high = 5}}};
        std::vector<std::future<void>> clients;
        for (int client = 0; client < 20; ++client)
            clients.push_back(asio::co_spawn(
                io,
                [&pool, client]() -> asio::awaitable<void> {
                    for (int i = 0; i < 20; ++i) {
                        auto lease = co_await pool.async_acquire(asio::use_awaitable);
                        auto const answer = co_await lease->async_query("SELECT $1::int * 1000 + $2::int", client, i);
                        if (answer.number(0, 0) != client * 1000 + i) throw std::logic_error{"somebody else's answer"};
                    }
                },
                asio::use_future));
        for (auto& each : clients) each.get();
        EXPECT_TRUE(wait_until([&] { return pool.stats().connecting == 0; }));
        EXPECT_EQ(sessions("counted"), static_cast<int>(pool.stats().open));
        EXPECT_LE(pool.stats().open, 5u);
        EXPECT_EQ(pool.stats().closed_unhealthy, 0u);
        EXPECT_TRUE(pool.close());
    }
    EXPECT_TRUE(wait_until([&] { return sessions("counted") == 0; }));
}

}  // namespace
