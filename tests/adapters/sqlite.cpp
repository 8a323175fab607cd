// The SQLite adapter, by itself and in pools.

#include "support/coroutine.hpp"
#include "support/eventually.hpp"

#include <sqlite3.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <future>
#include <gtest/gtest.h>
#include <latch>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stdlib.h>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <weir/adapters/sqlite.hpp>
#include <weir/adapters/sqlite_async.hpp>
#include <weir/pool.hpp>

namespace weir::sqlite {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;
using adapters::SessionSettings;
using asio_test::code_of;

/// A directory for a test's databases, gone with it.
class Sqlite : public ::testing::Test {
protected:
    Sqlite() {
        std::string name = (std::filesystem::temp_directory_path() / "weir_sqlite_XXXXXX").string();
        if (!::mkdtemp(name.data())) throw std::runtime_error{"no temporary directory"};
        directory_ = name;
    }
    ~Sqlite() override { std::filesystem::remove_all(directory_); }

    std::string file(std::string const& name = "test.db") const { return (directory_ / name).string(); }

    Connection with_table(Options const& options) const {
        Connection conn{options};
        conn.exec("CREATE TABLE t (a)");
        return conn;
    }

private:
    std::filesystem::path directory_;
};

Connection in_memory() { return Connection{Options{.mode = Mode::memory}}; }

std::int64_t number(Connection& conn, std::string const& sql) { return conn.exec(sql).get<std::int64_t>(0, 0); }

template <class Function>
std::string text_of(Function function) {
    try {
        function();
    } catch (std::exception const& error) {
        return error.what();
    }
    return {};
}

void expect_refused(Options const& options, std::string const& field) {
    std::string const text = text_of([&] { Connector{options}; });
    EXPECT_EQ(text.find("weir: sqlite::Options::" + field + " must"), 0u) << text;
}

/// A query that never ends by itself, and says when it has begun.
class Endless {
public:
    static constexpr char const* sql =
        "WITH RECURSIVE c(i) AS (SELECT has_begun() UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c";

    explicit Endless(Connection& conn) {
        sqlite3_create_function(
            conn.native_handle(), "has_begun", 0, SQLITE_UTF8, &begun_,
            [](sqlite3_context* context, int, sqlite3_value**) {
                static_cast<std::latch*>(sqlite3_user_data(context))->count_down();
                sqlite3_result_int(context, 1);
            },
            nullptr, nullptr);
    }
    void wait_until_begun() { begun_.wait(); }

private:
    std::latch begun_{1};
};

std::size_t kept_statements(Connection& conn) {
    std::size_t count = 0;
    for (auto* each = sqlite3_next_stmt(conn.native_handle(), nullptr); each;
         each = sqlite3_next_stmt(conn.native_handle(), each))
        ++count;
    return count;
}

// ---- Opening -----------------------------------------------------------------------------------------------------------

TEST_F(Sqlite, OptionsThatAreWrongAreRefusedByName) {
    expect_refused({}, "path");
    expect_refused({.path = std::string{"a\0b", 3}}, "path");
    expect_refused({.path = "no/name", .mode = Mode::memory}, "path");
    expect_refused({.path = "f", .busy_timeout = -1ms}, "busy_timeout");
    expect_refused({.path = "f", .mode = Mode::read_only, .wal = true}, "wal");
    expect_refused({.mode = Mode::memory, .wal = true}, "wal");
    expect_refused({.path = "f", .pragmas = {{"a; DROP TABLE t", "1"}}}, "pragmas");
    expect_refused({.path = "f", .pragmas = {{"busy_timeout", "1"}}}, "pragmas");
}

TEST_F(Sqlite, AMissingFileIsNamedWithItsCause) {
    for (Mode const mode : {Mode::read_only, Mode::read_write}) {
        Options const options{.path = file("missing.db"), .mode = mode};
        EXPECT_EQ(code_of([&] { Connection{options}; }), condition(SQLITE_CANTOPEN));
        std::string const text = text_of([&] { Connection{options}; });
        EXPECT_NE(text.find("missing.db: No such file or directory"), text.npos) << text;
    }
    EXPECT_FALSE(std::filesystem::exists(file("missing.db")));
}

TEST_F(Sqlite, WhatIsNoDatabaseFailsWhenOpened) {
    std::ofstream{file("letter.txt")} << std::string(4096, 'x');
    Options const options{.path = file("letter.txt")};
    EXPECT_EQ(code_of([&] { Connection{options}; }), condition(SQLITE_NOTADB));
    EXPECT_NE(text_of([&] { Connection{options}; }).find("letter.txt"), std::string::npos);
}

TEST_F(Sqlite, AReadOnlyConnectionRefusesToWrite) {
    with_table({.path = file()});
    Connection conn{{.path = file(), .mode = Mode::read_only}};
    EXPECT_EQ(code_of([&] { conn.exec("INSERT INTO t VALUES (1)"); }), condition(SQLITE_READONLY));
    EXPECT_EQ(number(conn, "SELECT count(*) FROM t"), 0);
}

TEST_F(Sqlite, TheOptionsAreInForce) {
    Connection conn{{.path = file(), .wal = true, .pragmas = {{"synchronous", "normal"}, {"cache_size", "-4000"}}}};
    EXPECT_EQ(conn.pragma("journal_mode"), "wal");
    EXPECT_EQ(conn.pragma("synchronous"), "1");
    EXPECT_EQ(conn.pragma("cache_size"), "-4000");
    EXPECT_EQ(conn.pragma("foreign_keys"), "1");
    EXPECT_EQ(conn.pragma("busy_timeout"), "5000");
    EXPECT_EQ(Connection({.path = file(), .foreign_keys = false}).pragma("foreign_keys"), "0");
}

TEST_F(Sqlite, APragmaThatDoesNotExistFailsWhenOpened) {
    std::string const text = text_of([&] { Connection{{.path = file(), .pragmas = {{"synchronus", "off"}}}}; });
    EXPECT_NE(text.find("there is no PRAGMA synchronus"), text.npos) << text;
}

TEST_F(Sqlite, DatabasesInMemoryAreSharedByName) {
    auto first = with_table({.path = "shared_by_name", .mode = Mode::memory});
    Connection second{{.path = "shared_by_name", .mode = Mode::memory}};
    EXPECT_EQ(number(second, "SELECT count(*) FROM t"), 0);

    auto loner = with_table({.mode = Mode::memory});
    auto other = in_memory();
    EXPECT_EQ(code_of([&] { other.exec("SELECT * FROM t"); }), condition(SQLITE_ERROR));
}

TEST_F(Sqlite, AMovedConnectionKeepsItsStatements) {
    auto conn = in_memory();
    conn.exec("SELECT 1");
    Connection moved{std::move(conn)};
    EXPECT_EQ(number(moved, "SELECT 1"), 1);
    EXPECT_EQ(conn.native_handle(), nullptr);  // NOLINT(bugprone-use-after-move)
    moved = in_memory();
    EXPECT_EQ(number(moved, "SELECT 2"), 2);
}

// ---- Queries -----------------------------------------------------------------------------------------------------------

TEST_F(Sqlite, ValuesComeBackAsTheyWere) {
    auto conn = in_memory();
    auto const largest = std::numeric_limits<std::int64_t>::max();
    Blob const bytes{std::byte{0}, std::byte{255}};
    std::string const text{"a\0'b", 4};
    auto const result = conn.exec("SELECT ? AS a, ?, ?, ?, ?, ?, ?, ?, ?, ?", largest, 2.5, text, bytes, nullptr, true,
                                  std::optional<int>{}, std::optional<int>{7}, "", Blob{});
    EXPECT_EQ(result.columns.at(0), "a");
    EXPECT_EQ(result.get<std::int64_t>(0, 0), largest);
    EXPECT_EQ(result.get<double>(0, 1), 2.5);
    EXPECT_EQ(result.get<std::string>(0, 2), text);
    EXPECT_EQ(result.get<Blob>(0, 3), bytes);
    result.get<std::monostate>(0, 4);
    EXPECT_EQ(result.get<std::int64_t>(0, 5), 1);
    result.get<std::monostate>(0, 6);
    EXPECT_EQ(result.get<std::int64_t>(0, 7), 7);
    EXPECT_EQ(result.get<std::string>(0, 8), "");
    EXPECT_EQ(result.get<Blob>(0, 9), Blob{});

    auto const again = conn.exec("SELECT ?, ?", result.rows[0][1], result.rows[0][2]);
    EXPECT_EQ(again.rows[0], (std::vector<Value>{2.5, text}));
    EXPECT_THROW(conn.exec("SELECT ?", std::numeric_limits<std::uint64_t>::max()), std::out_of_range);
}

TEST_F(Sqlite, ParametersAreCounted) {
    auto conn = in_memory();
    EXPECT_EQ(code_of([&] { conn.exec("SELECT ?, ?", 1); }), condition(SQLITE_RANGE));
    EXPECT_EQ(code_of([&] { conn.exec("SELECT 1", 1); }), condition(SQLITE_RANGE));
    EXPECT_EQ(conn.exec("SELECT :a, ?1", 5).get<std::int64_t>(0, 1), 5);
}

TEST_F(Sqlite, ChangesAreThoseOfTheStatementAlone) {
    auto conn = with_table({.mode = Mode::memory});
    EXPECT_EQ(conn.exec("INSERT INTO t VALUES (1), (2)").changes, 2);
    EXPECT_EQ(conn.exec("SELECT * FROM t").changes, 0);
    EXPECT_EQ(conn.exec("BEGIN").changes, 0);
    EXPECT_EQ(conn.exec("UPDATE t SET a = 3 WHERE a = 9").changes, 0);
}

TEST_F(Sqlite, ASecondStatementIsRefusedAndNotForgotten) {
    auto conn = with_table({.mode = Mode::memory});
    EXPECT_EQ(code_of([&] { conn.exec("SELECT 1; DELETE FROM t"); }), boost::system::errc::invalid_argument);
    EXPECT_EQ(number(conn, "SELECT 1; -- and a comment"), 1);
    EXPECT_TRUE(conn.exec("-- nothing").rows.empty());
    conn.exec_script("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);");
    EXPECT_EQ(number(conn, "SELECT count(*) FROM t"), 2);
}

TEST_F(Sqlite, AnErrorHasTheExtendedCodeAndTheText) {
    auto conn = in_memory();
    conn.exec("CREATE TABLE u (a UNIQUE)");
    conn.exec("INSERT INTO u VALUES (1)");
    auto const twice = [&] { conn.exec("INSERT INTO u VALUES (?)", 1); };
    EXPECT_EQ(code_of(twice).value(), SQLITE_CONSTRAINT_UNIQUE);
    EXPECT_EQ(code_of(twice), condition(SQLITE_CONSTRAINT));
    EXPECT_STREQ(code_of(twice).category().name(), "sqlite");
    EXPECT_EQ(text_of(twice), "UNIQUE constraint failed: u.a");
}

TEST_F(Sqlite, StatementsAreKeptUpToTheirNumberTheLastUsedOnes) {
    Connection conn{{.mode = Mode::memory, .statement_cache = 2}};
    conn.exec("SELECT 0");
    conn.exec("SELECT 0, 1");
    conn.exec("SELECT 0");
    auto* const first = sqlite3_next_stmt(conn.native_handle(), nullptr);
    conn.exec("SELECT 0, 1, 2");  // takes the place of the second
    EXPECT_EQ(kept_statements(conn), 2u);
    bool is_there = false;
    for (auto* each = sqlite3_next_stmt(conn.native_handle(), nullptr); each;
         each = sqlite3_next_stmt(conn.native_handle(), each))
        is_there = is_there || std::string{sqlite3_sql(each)} == "SELECT 0";
    EXPECT_TRUE(is_there);
    EXPECT_NE(first, nullptr);

    Connection without{{.mode = Mode::memory, .statement_cache = 0}};
    without.exec("SELECT 0");
    EXPECT_EQ(kept_statements(without), 0u);
}

TEST_F(Sqlite, AKeptStatementSeesANewColumn) {
    auto conn = with_table({.mode = Mode::memory});
    conn.exec("INSERT INTO t VALUES (1)");
    EXPECT_EQ(conn.exec("SELECT * FROM t").columns.size(), 1u);
    conn.exec("ALTER TABLE t ADD COLUMN b DEFAULT 'new'");
    auto const result = conn.exec("SELECT * FROM t");
    EXPECT_EQ(result.columns, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(result.get<std::string>(0, 1), "new");
}

TEST_F(Sqlite, APragmaTakesEffectEveryTime) {
    auto conn = in_memory();
    for (int round = 0; round < 2; ++round) {
        conn.exec("PRAGMA foreign_keys = off");
        EXPECT_EQ(number(conn, "PRAGMA foreign_keys"), 0);
        conn.exec("PRAGMA foreign_keys = on");
        EXPECT_EQ(number(conn, "PRAGMA foreign_keys"), 1);
    }
    EXPECT_EQ(kept_statements(conn), 0u);
}

// ---- Locks and interrupts ----------------------------------------------------------------------------------------------

TEST_F(Sqlite, AStatementWaitsForALockAsLongAsItMay) {
    auto holder = with_table({.path = file()});
    Connection conn{{.path = file(), .busy_timeout = 50ms}};
    holder.exec("BEGIN IMMEDIATE");
    auto const begun = std::chrono::steady_clock::now();
    EXPECT_EQ(code_of([&] { conn.exec("INSERT INTO t VALUES (1)"); }), condition(SQLITE_BUSY));
    EXPECT_GE(std::chrono::steady_clock::now() - begun, 50ms);

    conn.busy_timeout(60s);
    auto waiting = std::async(std::launch::async, [&] { return conn.exec("INSERT INTO t VALUES (1)").changes; });
    EXPECT_EQ(waiting.wait_for(20ms), std::future_status::timeout);
    holder.exec("COMMIT");
    EXPECT_EQ(waiting.get(), 1);
}

TEST_F(Sqlite, AStopEndsAQueryThatRuns) {
    auto conn = in_memory();
    Endless query{conn};
    std::stop_source stop;
    auto running = std::async(std::launch::async, [&] { conn.exec(stop.get_token(), Endless::sql); });
    query.wait_until_begun();
    stop.request_stop();
    EXPECT_EQ(code_of([&] { running.get(); }), condition(SQLITE_INTERRUPT));
    EXPECT_EQ(number(conn, "SELECT 1"), 1) << "nothing of it is left";
}

TEST_F(Sqlite, AStopThatComesBeforeTheFirstStepIsNotLost) {
    auto conn = in_memory();
    Endless const query{conn};
    std::stop_source stop;
    InterruptOn const until{conn, stop.get_token()};
    stop.request_stop();
    EXPECT_EQ(code_of([&] { conn.exec(Endless::sql); }), condition(SQLITE_INTERRUPT));
}

TEST_F(Sqlite, AStopEndsAWaitForALock) {
    auto holder = with_table({.path = file()});
    Connection conn{{.path = file(), .busy_timeout = 10min}};
    holder.exec("BEGIN IMMEDIATE");
    std::stop_source stop;
    auto waiting = std::async(std::launch::async, [&] { conn.exec(stop.get_token(), "INSERT INTO t VALUES (1)"); });
    EXPECT_EQ(waiting.wait_for(20ms), std::future_status::timeout);
    stop.request_stop();
    EXPECT_EQ(code_of([&] { waiting.get(); }), condition(SQLITE_INTERRUPT));
}

TEST_F(Sqlite, AStoppedTransactionCanBeRolledBack) {
    auto conn = with_table({.mode = Mode::memory});
    std::stop_source stop;
    InterruptOn const until{conn, stop.get_token()};
    conn.exec("BEGIN");
    conn.exec("INSERT INTO t VALUES (1)");
    stop.request_stop();
    EXPECT_EQ(code_of([&] { conn.exec("COMMIT"); }), condition(SQLITE_INTERRUPT));
    EXPECT_TRUE(conn.in_transaction());
    conn.exec("ROLLBACK");
    EXPECT_FALSE(conn.in_transaction());
}

TEST_F(Sqlite, TheOuterOfTwoStopsCounts) {
    auto conn = in_memory();
    Endless query{conn};
    std::stop_source outer;
    std::stop_source inner;
    InterruptOn const until{conn, outer.get_token()};
    auto running = std::async(std::launch::async, [&] { conn.exec(inner.get_token(), Endless::sql); });
    query.wait_until_begun();
    outer.request_stop();
    EXPECT_EQ(code_of([&] { running.get(); }), condition(SQLITE_INTERRUPT));
}

TEST_F(Sqlite, AStopMayComeWhileTheConnectionEnds) {
    for (int round = 0; round < 200; ++round) {
        std::stop_source stop;
        std::optional<Connection> conn{in_memory()};
        std::optional<InterruptOn> until{std::in_place, *conn, stop.get_token()};
        std::latch ready{2};
        std::jthread const stopper{[&] {
            ready.arrive_and_wait();
            stop.request_stop();
        }};
        ready.arrive_and_wait();
        conn.reset();  // before the one that interrupts it, against the rules
        until.reset();
    }
}

// ---- Settings ----------------------------------------------------------------------------------------------------------

TEST_F(Sqlite, EveryPragmaThatMayBeASettingIsUndone) {
    Connector const connector{{.path = file(), .pragmas = {{"synchronous", "normal"}, {"temp_store", "1"}}}};
    for (auto const name : undoable_pragmas) {
        auto conn = connector.connect({.deadline = std::chrono::steady_clock::now() + 10s});
        std::string const pragma{name};
        auto const before = conn.pragma(pragma);
        connector.apply(conn, SessionSettings{{pragma, before == "0" ? "1" : before == "1" ? "0" : "12345"}});
        // The two that are not for every build and every file to change.
        if (name != "mmap_size" && name != "threads") {
            EXPECT_NE(conn.pragma(pragma), before) << name;
        }
        connector.reset(conn);
        EXPECT_EQ(conn.pragma(pragma), before) << name;
    }
}

TEST_F(Sqlite, ResetBringsBackWhatTheConnectionWasOpenedWith) {
    Connector const connector{{.path = file(), .pragmas = {{"cache_size", "-4321"}}}};
    auto conn = connector.connect({.deadline = std::chrono::steady_clock::now() + 10s});
    EXPECT_EQ(conn.busy_timeout(), 5000ms);
    connector.apply(conn, SessionSettings{{"cache_size", "100"}, {"busy_timeout", "7"}, {"query_only", "on"}});
    EXPECT_EQ(conn.pragma("cache_size"), "100");
    EXPECT_EQ(conn.busy_timeout(), 7ms);
    EXPECT_EQ(code_of([&] { conn.exec("CREATE TABLE t (a)"); }), condition(SQLITE_READONLY));
    connector.reset(conn);
    EXPECT_EQ(conn.pragma("cache_size"), "-4321");
    EXPECT_EQ(conn.busy_timeout(), 5000ms);
    conn.exec("CREATE TABLE t (a)");
}

TEST_F(Sqlite, ASettingThatCannotBeUndoneIsRefused) {
    Connector const connector{{.path = file()}};
    auto conn = connector.connect({.deadline = std::chrono::steady_clock::now() + 10s});
    for (std::string const name : {"journal_mode", "user_version", "case_sensitive_like", "optimize", "nonsense",
                                   "cache_size = 1; DROP TABLE t; --", ""}) {
        std::string const text = text_of([&] { connector.apply(conn, SessionSettings{{name, "1"}}); });
        EXPECT_NE(text.find("cannot be a setting"), text.npos) << name << ": " << text;
    }
    EXPECT_EQ(code_of([&] {
                  connector.apply(conn, SessionSettings{{"busy_timeout", "soon"}});
              }),
              boost::system::errc::invalid_argument);
}

TEST_F(Sqlite, AValueCannotBreakOutOfItsPlace) {
    auto conn = with_table({.mode = Mode::memory});
    conn.pragma("temp_store", "1'; DROP TABLE t; --");
    EXPECT_EQ(number(conn, "SELECT count(*) FROM t"), 0);
    EXPECT_EQ(code_of([&] { conn.pragma("cache_size; DROP TABLE t", "1"); }), boost::system::errc::invalid_argument);
}

// ---- In pools ----------------------------------------------------------------------------------------------------------

TEST_F(Sqlite, APoolLendsEachSettingItsOwnConnections) {
    with_table({.path = file()});
    using Pool = Pool<Connection, SettingBuckets<SessionSettings>>;
    Pool pool{Connector{{.path = file()}}, {.size = {.high = 1}}};
    SessionSettings const careful{{"query_only", "on"}};
    {
        auto lease = pool.acquire(careful);
        EXPECT_EQ(code_of([&] { lease->exec("DELETE FROM t"); }), condition(SQLITE_READONLY));
    }
    pool.acquire()->exec("DELETE FROM t");
    EXPECT_EQ(pool.stats().connected, 1u);
    EXPECT_EQ(pool.stats().settings_reset, 1u);
    EXPECT_EQ(code_of([&] {
                  pool.acquire(SessionSettings{{"journal_mode", "wal"}}).release();
              }),
              boost::system::errc::invalid_argument);
}

TEST_F(Sqlite, ATransactionLeftOpenIsNotLentToTheNext) {
    with_table({.path = file(), .wal = true});
    Pool<Connection> pool{Connector{{.path = file()}}, {.size = {.high = 1}}};
    {
        auto lease = pool.acquire();
        lease->exec("BEGIN");
        lease->exec("INSERT INTO t VALUES (1)");
    }
    auto lease = pool.acquire();
    EXPECT_FALSE(lease->in_transaction());
    EXPECT_EQ(number(*lease, "SELECT count(*) FROM t"), 0);
    EXPECT_EQ(pool.stats().connected, 1u) << "in WAL mode a rollback is cheap";
}

TEST_F(Sqlite, ARollbackThatWouldWriteTheFileClosesTheConnection) {
    with_table({.path = file()});
    Pool<Connection> pool{Connector{{.path = file()}}, {.size = {.high = 1}}};
    {
        auto lease = pool.acquire();
        lease->exec("BEGIN");
        lease->exec("SELECT * FROM t");
    }
    EXPECT_EQ(pool.stats().closed_unhealthy, 0u) << "it has only read";
    {
        auto lease = pool.acquire();
        lease->exec("BEGIN");
        lease->exec("INSERT INTO t VALUES (1)");
    }
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    EXPECT_EQ(number(*pool.acquire(), "SELECT count(*) FROM t"), 0);
}

TEST_F(Sqlite, ACursorLeftOpenIsEndedAtTheReturn) {
    auto writer = with_table({.path = file()});
    writer.exec("INSERT INTO t VALUES (1), (2)");
    writer.busy_timeout(0ms);
    Pool<Connection> pool{Connector{{.path = file()}}, {.size = {.high = 1}}};
    sqlite3_stmt* cursor = nullptr;
    {
        auto lease = pool.acquire();
        sqlite3_prepare_v2(lease->native_handle(), "SELECT a FROM t", -1, &cursor, nullptr);
        EXPECT_EQ(sqlite3_step(cursor), SQLITE_ROW);
        EXPECT_EQ(code_of([&] { writer.exec("INSERT INTO t VALUES (3)"); }), condition(SQLITE_BUSY));
    }
    writer.exec("INSERT INTO t VALUES (3)");
    EXPECT_EQ(pool.stats().idle, 1u);
    sqlite3_finalize(cursor);
}

TEST_F(Sqlite, AConnectionThatWasMovedOutOfItsLeaseIsNotLent) {
    Pool<Connection> pool{Connector{{.path = file()}}, {.size = {.high = 1}}};
    Connection const taken{std::move(*pool.acquire())};
    EXPECT_NE(pool.acquire()->native_handle(), nullptr);
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
}

TEST_F(Sqlite, WhatOneHolderStopsDoesNotEndWhatTheNextDoes) {
    Pool<Connection> pool{Connector{{.path = file()}}, {.size = {.high = 1}}};
    std::stop_source stop;
    auto lease = pool.acquire();
    InterruptOn const until{*lease, stop.get_token()};
    lease.release();  // too early
    stop.request_stop();
    auto const sql =
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 9999) SELECT count(*) FROM c";
    EXPECT_EQ(number(*pool.acquire(), sql), 9999);
}

TEST_F(Sqlite, AFileThatWasReplacedIsOpenedAnew) {
    with_table({.path = file("new.db")}).exec("INSERT INTO t VALUES ('new')");
    with_table({.path = file()});
    Pool<Connection, Upkeep> pool{Connector{{.path = file()}},
                                  {.size = {.high = 1}, .upkeep = {.check_after_idle = 1ns}}};
    pool.acquire().release();
    std::filesystem::rename(file("new.db"), file());
    EXPECT_EQ(pool.acquire()->exec("SELECT a FROM t").get<std::string>(0, 0), "new");
    EXPECT_EQ(pool.stats().closed_unhealthy, 1u);
    std::filesystem::remove(file());
}

TEST_F(Sqlite, TheCloseOfAPoolEndsAQueryThatHasItsToken) {
    Pool<Connection> pool{Connector{{.path = file()}}};
    auto lease = pool.acquire();
    Endless query{*lease};
    auto running = std::async(std::launch::async, [&, lease = std::move(lease)]() mutable {
        auto const holder = std::move(lease);
        holder->exec(pool.lifetime().stop_token(), Endless::sql);
    });
    query.wait_until_begun();
    EXPECT_TRUE(pool.close(30s));
    EXPECT_EQ(code_of([&] { running.get(); }), condition(SQLITE_INTERRUPT));
}

TEST_F(Sqlite, TheCloseOfAPoolEndsAConnectThatWaitsForALock) {
    auto holder = with_table({.path = file()});
    holder.exec_script("PRAGMA locking_mode = exclusive; BEGIN EXCLUSIVE");
    Pool<Connection> pool{Connector{{.path = file(), .busy_timeout = 10min}}, {.connect = {.timeout = 10min}}};
    auto waiting = std::async(std::launch::async, [&] { return pool.try_acquire_for(10min); });
    ASSERT_TRUE(test::eventually([&] { return pool.stats().connecting == 1; }));
    EXPECT_TRUE(pool.close(30s));
    EXPECT_TRUE(waiting.get().has_error());
}

TEST_F(Sqlite, ReadersAndOneWriterWorkAtOnce) {
    constexpr int writes = 100;
    with_table({.path = file(), .wal = true}).exec("INSERT INTO t VALUES (0)");
    Pool<Connection> writer{Connector{{.path = file(), .wal = true}}, {.size = {.high = 1}}};
    Pool<Connection> readers{Connector{{.path = file(), .mode = Mode::read_only}}, {.size = {.high = 3}}};
    std::atomic<int> wrong{0};
    std::atomic<bool> done{false};
    {
        std::vector<std::jthread> threads;
        std::latch written{2};
        for (int i = 0; i < 2; ++i)
            threads.emplace_back([&] {
                for (int n = 0; n < writes; ++n) writer.acquire()->exec("UPDATE t SET a = a + ?", 1);
                written.count_down();
            });
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&] {
                for (std::int64_t last = 0; !done;) {
                    auto const seen = number(*readers.acquire(), "SELECT a FROM t");
                    if (seen < last) ++wrong;
                    last = seen;
                }
            });
        written.wait();
        done = true;
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(number(*readers.acquire(), "SELECT a FROM t"), 2 * writes);
    EXPECT_EQ(readers.stats().closed_unhealthy + writer.stats().closed_unhealthy, 0u);
    EXPECT_TRUE(readers.close());
    EXPECT_TRUE(writer.close());
    EXPECT_FALSE(std::filesystem::exists(file() + "-wal")) << "the last connection has tidied up";
}

// ---- From coroutines ---------------------------------------------------------------------------------------------------

struct Coroutine {
    asio::io_context io;
    asio::thread_pool threads{2};
    asio::cancellation_signal signal;
    std::exception_ptr failure;
    bool done = false;

    template <class Function>
    void spawn(Function work) {
        asio::co_spawn(io, std::move(work), asio::bind_cancellation_slot(signal.slot(), [this](std::exception_ptr e) {
                           failure = std::move(e);
                           done = true;
                       }));
    }
    boost::system::error_code outcome() const {
        return code_of([this] {
            if (failure) std::rethrow_exception(failure);
        });
    }
};

TEST_F(Sqlite, ACoroutineGetsItsAnswerOnItsOwnThread) {
    Coroutine world;
    auto conn = with_table({.mode = Mode::memory});
    std::thread::id worked_on;
    world.spawn([&]() -> asio::awaitable<void> {
        auto const self = std::this_thread::get_id();
        auto const answer = co_await async_exec(world.threads.get_executor(), conn, "SELECT ?, ?", 7, "text");
        EXPECT_EQ(answer.get<std::int64_t>(0, 0), 7);
        EXPECT_EQ(answer.get<std::string>(0, 1), "text");
        EXPECT_EQ(std::this_thread::get_id(), self);

        auto const transaction = [&](Connection& on) {
            worked_on = std::this_thread::get_id();
            on.exec("BEGIN");
            auto const changes = on.exec("INSERT INTO t VALUES (1), (2)").changes;
            on.exec("COMMIT");
            return changes;
        };
        EXPECT_EQ(co_await async_run(world.threads.get_executor(), conn, transaction), 2);
        EXPECT_NE(worked_on, self);
        EXPECT_EQ(std::this_thread::get_id(), self);

        co_await async_run(world.threads.get_executor(), conn, [](Connection& on) { on.exec("DELETE FROM t"); });
    });
    world.io.run();
    EXPECT_EQ(world.outcome(), boost::system::error_code{});
    EXPECT_EQ(number(conn, "SELECT count(*) FROM t"), 0);
}

TEST_F(Sqlite, ACoroutineGetsTheErrorOfItsQuery) {
    Coroutine world;
    auto conn = in_memory();
    world.spawn([&]() -> asio::awaitable<void> {
        co_await async_exec(world.threads.get_executor(), conn, "SELECT * FROM nowhere");
    });
    world.io.run();
    EXPECT_EQ(world.outcome(), condition(SQLITE_ERROR));
}

TEST_F(Sqlite, ACancelledQueryOfACoroutineIsInterrupted) {
    Coroutine world;
    auto conn = in_memory();
    Endless query{conn};
    world.spawn(
        [&]() -> asio::awaitable<void> { co_await async_exec(world.threads.get_executor(), conn, Endless::sql); });
    std::jthread const waits{[&] {
        query.wait_until_begun();
        asio::post(world.io, [&] { world.signal.emit(asio::cancellation_type::terminal); });
    }};
    world.io.run();
    EXPECT_EQ(world.outcome(), asio::error::operation_aborted);
    EXPECT_EQ(number(conn, "SELECT 1"), 1);
}

TEST_F(Sqlite, AQueryThatIsCancelledBeforeItsThreadIsFreeDoesNotRun) {
    Coroutine world;
    asio::thread_pool one{1};
    auto conn = in_memory();
    bool has_run = false;
    std::latch busy{1};
    asio::post(one, [&] { busy.wait(); });
    world.spawn([&]() -> asio::awaitable<void> {
        co_await async_run(one.get_executor(), conn, [&](Connection&) { has_run = true; });
    });
    world.io.poll();
    world.signal.emit(asio::cancellation_type::terminal);
    world.io.poll();  // brings the cancellation to the coroutine
    busy.count_down();
    world.io.run();
    EXPECT_EQ(world.outcome(), asio::error::operation_aborted);
    EXPECT_FALSE(has_run);
}

TEST_F(Sqlite, AHandlerIsCalledOnItsExecutor) {
    asio::io_context io;
    asio::thread_pool threads{1};
    auto conn = in_memory();
    std::int64_t got = 0;
    async_run(
        threads.get_executor(), conn, [](Connection& on) { return number(on, "SELECT 3"); },
        asio::bind_executor(io, [&, keep = std::make_unique<int>(0)](std::exception_ptr failure, std::int64_t n) {
            EXPECT_FALSE(failure);
            EXPECT_TRUE(io.get_executor().running_in_this_thread());
            got = n;
        }));
    io.run();  // has work until it is done
    EXPECT_EQ(got, 3);
}

TEST_F(Sqlite, AQueryDoesNotBlockThePoolsExecutor) {
    asio::io_context io;
    asio::thread_pool threads{2};
    with_table({.path = file()});
    Pool<Connection> pool{io.get_executor(), Connector{{.path = file()}}, {.size = {.high = 2}}};
    std::latch both{2};  // neither passes it unless both run at once
    int ended = 0;
    for (int i = 0; i < 2; ++i)
        asio::co_spawn(
            io,
            [&]() -> asio::awaitable<void> {
                auto lease = co_await pool.async_acquire();
                co_await async_run(threads.get_executor(), *lease, [&](Connection& on) {
                    both.arrive_and_wait();
                    on.exec("SELECT * FROM t");
                });
            },
            [&](std::exception_ptr const& failure) { ended += failure ? 0 : 1; });
    asio_test::run_until(io, [&] { return ended == 2; });
    EXPECT_EQ(ended, 2);
    asio_test::expect_clean_end(pool, io);
}

}  // namespace
}  // namespace weir::sqlite
