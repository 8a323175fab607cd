// Bad nights of a MariaDB server.

#include <gtest/gtest.h>

#include <weir/adapters/mariadb.hpp>
#include <weir/error.hpp>
#include <weir/policy/drop.hpp>

#include "faults.hpp"
#include "servers/fixture.hpp"
#include "servers/haproxy.hpp"
#include "servers/mariadb.hpp"
#include "servers/silent.hpp"
#include "support/coroutine.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace weir::test;
using namespace std::chrono_literals;
using boost::asio::error::make_error_code;

std::string error(unsigned number) { return weir::mariadb::error(number).message(); }

// Of the server.
std::string const too_many = error(1040);
std::string const wrong_password = error(1045);
std::string const no_database = error(1049);
std::string const killed = error(1927);
// Of Connector/C.
std::string const not_there = error(2002);
std::string const not_connected = error(2003);
std::string const gone = error(2006);
std::string const lost = error(2013);
// Of the pool, and of the clients' own limits.
std::string const cancelled = make_error_code(boost::asio::error::operation_aborted).message();
std::string const timed_out = make_error_code(weir::Errc::timed_out).message();

/// Each name is a user of its own, so that the server knows whose sessions it counts.
class MariadbBackend {
public:
    using Connection = weir::mariadb::Connection;
    using Drop = weir::ReleaseOnDrop;
    static constexpr char const* name = "MariaDB";

    /// Clients connect to `port`, which leads to `server`.
    MariadbBackend(MariadbServer& server, std::uint16_t port) : server_{server}, port_{port} {
        server.sql("CREATE DATABASE IF NOT EXISTS ledger");
        for (std::string const user : {"enduring", "closing"}) {
            server.sql("CREATE USER IF NOT EXISTS " + user + "@'127.0.0.1'");
            server.sql("GRANT ALL ON ledger.* TO " + user + "@'127.0.0.1'");
            set_password(user, server.password());
        }
    }
    explicit MariadbBackend(MariadbServer& server) : MariadbBackend{server, server.port()} {}

    void set_password(std::string const& user, std::string const& password) const {
        server_.sql("ALTER USER " + user + "@'127.0.0.1' IDENTIFIED BY '" + password + "'");
    }

    weir::mariadb::Connector connector(std::string const& user) const {
        return weir::mariadb::Connector{{.host = "127.0.0.1",
                                         .port = port_,
                                         .user = user,
                                         .password = server_.password(),
                                         .database = "ledger",
                                         .query_timeout = 1s}};
    }

    static std::int64_t answer(std::int64_t question) { return question * 7 + 1; }
    static boost::asio::awaitable<std::int64_t> async_ask(Connection& conn, std::int64_t question) {
        auto const result = co_await conn.async_query("SELECT ? * 7 + 1", question);
        co_return result.number(0, 0);
    }
    static std::int64_t ask(Connection& conn, std::int64_t question) {
        return conn.query("SELECT ? * 7 + 1", question).number(0, 0);
    }

    std::size_t sessions(std::string const& user) const {
        return std::stoul(
            server_.sql("SELECT count(*) FROM information_schema.processlist WHERE user = '" + user + "'"));
    }

private:
    MariadbServer& server_;
    std::uint16_t port_;
};

class MariadbFaults : public SharedServerTest<MariadbServer> {
protected:
    static void kill_all() {
        server().sql("KILL USER enduring@'127.0.0.1'");
        server().sql("KILL USER closing@'127.0.0.1'");
    }

    MariadbBackend backend{server()};
};

TEST_F(MariadbFaults, KilledAndRestarted) {
    endure(backend, {.name = "killed (-9), restarted",
                     .begin = [] { server().kill(); },
                     .end = [] { server().restart(); },
                     .cause = not_there,
                     .others = {not_connected, gone, lost, timed_out}});
}

TEST_F(MariadbFaults, StoppedAndContinued) {
    endure(backend, {.name = "stopped (SIGSTOP), continued",
                     .begin = [] { server().freeze(); },
                     .end = [] { server().thaw(); },
                     .cause = cancelled,
                     .others = {timed_out}});
}

TEST_F(MariadbFaults, SessionsKilledOneByOne) {
    auto const kill_one = [] {
        try {
            server().sql("KILL CONNECTION " + server().sql("SELECT id FROM information_schema.processlist WHERE user IN"
                                                           " ('enduring', 'closing') ORDER BY rand() LIMIT 1"));
        } catch (std::runtime_error const&) {
            // There was none, or it had ended by itself.
        }
    };
    endure(backend, {.name = "`KILL`, one by one",
                     .begin = kill_one,
                     .meanwhile = kill_one,
                     .end = [] {},
                     .cause = lost,
                     .others = {killed, gone}});
}

TEST_F(MariadbFaults, MaxConnectionsReached) {
    auto const open = [](std::string const& user) {
        return weir::mariadb::Connection::open(
            {.host = "127.0.0.1", .port = server().port(), .user = user, .password = server().password()},
            std::chrono::steady_clock::now() + 20s);
    };
    auto admin = open("admin");  // who comes later may find no room
    auto const places = admin.query("SELECT @@max_connections - 1").number<std::size_t>(0, 0);
    std::vector<weir::mariadb::Connection> others;
    auto const take_all = [&] {
        while (!asio_test::code_of([&] { others.push_back(open("weir")); })) continue;
    };
    endure(backend, {.name = "`max_connections` reached",
                     .begin =
                         [&] {
                             // Whoever comes first takes what is freed: until all of it is ours.
                             for (take_all(); others.size() != places; take_all()) {
                                 admin.query("KILL USER enduring@'127.0.0.1'");
                                 admin.query("KILL USER closing@'127.0.0.1'");
                             }
                         },
                     .end = [&] { others.clear(); },
                     .cause = too_many,
                     .others = {killed, gone, lost, timed_out}});
}

TEST_F(MariadbFaults, PasswordWrong) {
    endure(backend, {.name = "password wrong",
                     .begin =
                         [&] {
                             for (auto const* user : {"enduring", "closing"}) backend.set_password(user, "another");
                             kill_all();
                         },
                     .end =
                         [&] {
                             for (auto const* user : {"enduring", "closing"})
                                 backend.set_password(user, server().password());
                         },
                     .cause = wrong_password,
                     .others = {killed, gone, lost, timed_out}});
}

TEST_F(MariadbFaults, DatabaseMissing) {
    endure(backend, {.name = "database missing",
                     .begin =
                         [] {
                             server().sql("DROP DATABASE ledger");
                             kill_all();
                         },
                     .end = [] { server().sql("CREATE DATABASE ledger"); },
                     .cause = no_database,
                     .others = {killed, gone, lost, timed_out}});
}

TEST_F(MariadbFaults, AListenerAcceptsAndSaysNothing) {
    Silent const silent;
    HaProxy proxy{{server().port(), silent.port()}};
    MariadbBackend through{server(), proxy.port()};
    endure(through, {.name = "listener that accepts and says nothing",
                     .begin =
                         [&] {
                             proxy.use(1);
                             proxy.cut(0);
                         },
                     .end = [&] { proxy.use(0); },
                     .cause = timed_out,
                     .others = {gone, lost, cancelled}});
}

}  // namespace
