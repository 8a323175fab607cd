// Bad nights of a PostgreSQL server, and of what stands in front of it.

#include <gtest/gtest.h>

#include <weir/adapters/libpq.hpp>
#include <weir/error.hpp>

#include "faults.hpp"
#include "postgres_backend.hpp"
#include "servers/fixture.hpp"
#include "servers/haproxy.hpp"
#include "servers/network.hpp"
#include "servers/pgbouncer.hpp"
#include "servers/postgres.hpp"
#include "servers/silent.hpp"
#include "support/asio.hpp"
#include "support/coroutine.hpp"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace {

using namespace weir::test;
using namespace std::chrono_literals;

// What libpq finds, and what the server says.
constexpr char const* lost = "SQLSTATE 08006";
constexpr char const* not_opened = "SQLSTATE 08001";
constexpr char const* terminated = "SQLSTATE 57P01";
constexpr char const* crashed = "SQLSTATE 57P02";
constexpr char const* starting = "SQLSTATE 57P03";
constexpr char const* wrong_password = "SQLSTATE 28P01";
constexpr char const* no_database = "SQLSTATE 3D000";
constexpr char const* too_many = "SQLSTATE 53300";
// What the pool and the clients' own limits say.
std::string const timed_out = make_error_code(weir::Errc::timed_out).message();
std::string const cancelled = boost::asio::error::make_error_code(boost::asio::error::operation_aborted).message();

class PostgresFaults : public SharedServerTest<PostgresServer> {
protected:
    static void terminate_all() {
        server().sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                     " WHERE application_name IN ('enduring', 'closing')");
    }

    PostgresBackend backend{server()};
};

TEST_F(PostgresFaults, KilledAndRestarted) {
    endure(backend, {.name = "killed (-9), restarted",
                     .begin = [] { server().kill(); },
                     .end = [] { server().restart(); },
                     .cause = not_opened,
                     .others = {lost, crashed, starting, timed_out}});
}

TEST_F(PostgresFaults, StoppedAndContinued) {
    endure(backend, {.name = "stopped (SIGSTOP), continued",
                     .begin = [] { server().freeze(); },
                     .end = [] { server().thaw(); },
                     .cause = cancelled,
                     .others = {timed_out}});
}

TEST_F(PostgresFaults, SessionsTerminatedOneByOne) {
    auto const terminate_one = [] {
        server().sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                     " WHERE application_name IN ('enduring', 'closing') ORDER BY random() LIMIT 1");
    };
    endure(backend, {.name = "sessions terminated one by one",
                     .begin = terminate_one,
                     .meanwhile = terminate_one,
                     .end = [] {},
                     .cause = terminated,
                     .others = {lost}});
}

TEST_F(PostgresFaults, MaxConnectionsReached) {
    std::size_t const places = std::stoul(server().sql(
        "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"));
    std::vector<weir::libpq::Connection> others;
    auto const take_all = [&] {
        auto const deadline = std::chrono::steady_clock::now() + 20s;
        while (
            !asio_test::code_of([&] { others.push_back(weir::libpq::Connection::open({server().url()}, deadline)); }))
            continue;
    };
    endure(backend, {.name = "`max_connections` reached",
                     .begin =
                         [&] {
                             // Whoever comes first takes what is freed: until all of it is ours.
                             ASSERT_TRUE(asio_test::wait_until([&] {
                                 take_all();
                                 if (others.size() == places) return true;
                                 try {
                                     terminate_all();
                                 } catch (std::runtime_error const&) {
                                     // Those about to be refused hold the superuser's own places for a moment.
                                 }
                                 return false;
                             }));
                         },
                     .end = [&] { others.clear(); },
                     .cause = too_many,
                     .others = {lost, terminated, timed_out}});
}

TEST_F(PostgresFaults, PasswordWrong) {
    endure(backend, {.name = "password wrong",
                     .begin =
                         [] {
                             server().sql("ALTER ROLE weir PASSWORD 'another'");
                             terminate_all();
                         },
                     .end = [] { server().sql("ALTER ROLE weir PASSWORD '" + server().password() + "'"); },
                     .cause = wrong_password,
                     .others = {lost, terminated, timed_out}});
}

TEST_F(PostgresFaults, DatabaseMissing) {
    endure(backend, {.name = "database missing",
                     .begin =
                         [] {
                             server().sql("ALTER DATABASE weir CONNECTION LIMIT 0");
                             ASSERT_TRUE(asio_test::wait_until([] {
                                 terminate_all();
                                 try {
                                     server().sql("ALTER DATABASE weir RENAME TO elsewhere");
                                     return true;
                                 } catch (std::runtime_error const&) {
                                     return false;  // some session has not ended yet
                                 }
                             }));
                         },
                     .end =
                         [] {
                             server().sql("ALTER DATABASE elsewhere RENAME TO weir");
                             server().sql("ALTER DATABASE weir CONNECTION LIMIT -1");
                         },
                     .cause = no_database,
                     .others = {too_many, lost, terminated, timed_out}});
}

/// Clients who see the server through a proxy, which leads them elsewhere for a while.
class PostgresElsewhere : public ServerTest<PostgresServer, HaProxy> {
protected:
    struct Elsewhere {
        std::string name;
        std::uint16_t port;
        std::string certificates = "";  // of authorities
        std::string cause;
    };

    void endure_elsewhere(PostgresServer& server, Elsewhere const& elsewhere) {
        HaProxy proxy{{server.port(), elsewhere.port}};
        auto url = server.url(proxy.port());
        if (!elsewhere.certificates.empty()) url += "?sslmode=verify-full&sslrootcert=" + elsewhere.certificates;
        PostgresBackend backend{server, url};
        endure(backend, {.name = elsewhere.name,
                         .begin =
                             [&] {
                                 proxy.use(1);
                                 proxy.cut(0);
                             },
                         .end = [&] { proxy.use(0); },
                         .cause = elsewhere.cause,
                         .others = {lost, timed_out, cancelled}});
    }
};

TEST_F(PostgresElsewhere, AListenerAcceptsAndSaysNothing) {
    Silent const silent;
    endure_elsewhere(shared<PostgresServer>(),
                     {.name = "listener that accepts and says nothing", .port = silent.port(), .cause = timed_out});
}

class PostgresCertificates : public PostgresElsewhere, public testing::WithParamInterface<Flaw> {};

TEST_P(PostgresCertificates, IsNotAccepted) {
    PostgresServer good{{.tls = Flaw::none}};
    PostgresServer bad{{.tls = GetParam()}};
    auto const certificates = std::filesystem::temp_directory_path() / ("weir_" + secret() + ".pem");
    std::ofstream{certificates} << contents(good.root_certificate()) << contents(bad.root_certificate());
    endure_elsewhere(good,
                     {.name = GetParam() == Flaw::expired ? "TLS certificate expired" : "TLS certificate of another",
                      .port = bad.port(),
                      .certificates = certificates,
                      .cause = not_opened});
    std::filesystem::remove(certificates);
}

INSTANTIATE_TEST_SUITE_P(Postgres, PostgresCertificates, testing::Values(Flaw::expired, Flaw::wrong_host),
                         [](auto const& each) { return each.param == Flaw::expired ? "Expired" : "OfAnother"; });

TEST_F(PostgresElsewhere, FailsOverToTheStandby) {
    PostgresServer primary;
    PostgresServer standby{{.standby_of = &primary}};
    HaProxy proxy{{primary.port(), standby.port()}};
    PostgresBackend backend{primary, primary.url(proxy.port())};
    ASSERT_TRUE(standby.catch_up(primary));
    endure(backend, {.name = "failover to a standby behind HAProxy, `refresh`",
                     .begin =
                         [&] {
                             primary.kill();
                             backend.ask_about_sessions(standby);
                         },
                     .end =
                         [&] {
                             standby.promote();
                             proxy.use(1);
                         },
                     .cause = lost,
                     .others = {not_opened, crashed, timed_out},
                     .refresh = true});
}

/// As PgBouncer counts its clients.
class BouncedBackend : public PostgresBackend {
public:
    static constexpr char const* name = "PgBouncer";

    BouncedBackend(PostgresServer& server, PgBouncer& bouncer)
        : PostgresBackend{server, bouncer.url()}, bouncer_{bouncer} {}

    std::size_t sessions(std::string const& application) const {
        std::size_t found = 0;
        std::istringstream lines{bouncer_.admin("SHOW CLIENTS")};
        for (std::string line; std::getline(lines, line);) found += line.find("|" + application + "|") != line.npos;
        return found;
    }

private:
    PgBouncer& bouncer_;
};

class PgBouncerFaults : public ServerTest<PostgresServer, PgBouncer> {};

TEST_F(PgBouncerFaults, Paused) {
    // So few that it is not about to open another when it is paused: that would count as a login that failed, and for a
    // moment after the resume it turns clients away.
    PgBouncer bouncer{shared<PostgresServer>(), {.pool_mode = "transaction", .pool_size = 4}};
    BouncedBackend backend{shared<PostgresServer>(), bouncer};
    endure(backend, {.name = "paused, resumed",
                     .begin = [&] { bouncer.admin("PAUSE"); },
                     .end = [&] { bouncer.admin("RESUME"); },
                     .cause = cancelled,
                     .others = {timed_out}});
}

class PostgresNetwork : public ServerTest<PostgresServer> {};

TEST_F(PostgresNetwork, LinkCut) {
    std::optional<Cable> cable;
    try {
        cable.emplace();
    } catch (std::system_error const& error) {
        if (std::getenv("CI") != nullptr) FAIL() << error.what();  // NOLINT(concurrency-mt-unsafe)
        GTEST_SKIP() << error.what();
    }
    std::unique_ptr<PostgresServer> server = cable->far().run([] {
        // The server has to notice, too.
        auto started = std::make_unique<PostgresServer>(
            PostgresOptions{.config = "listen_addresses = '*'\ntcp_keepalives_idle = 1\ntcp_keepalives_interval = 1\n"
                                      "tcp_keepalives_count = 2\ntcp_user_timeout = 2000\n"});
        std::ofstream{started->directory() / "data/pg_hba.conf", std::ios::app}
            << "host all weir 10.231.0.0/24 scram-sha-256\n";
        started->sql("SELECT pg_reload_conf()");
        return started;
    });

    struct Backend : PostgresBackend {
        using PostgresBackend::PostgresBackend;
        std::size_t sessions(std::string const& application) const {
            return far->run([&] { return PostgresBackend::sessions(application); });
        }
        Host* far = nullptr;
    };
    Backend backend{*server, "host=" + std::string{Cable::far_address} + " port=" + std::to_string(server->port()) +
                                 " user=weir dbname=weir password=" + server->password() +
                                 " keepalives_idle=1 keepalives_interval=1 keepalives_count=2 tcp_user_timeout=500"};
    backend.far = &cable->far();
    cable->near().run([&] {
        endure(backend, {.name = "link cut, mended",
                         .begin = [&] { cable->cut(); },
                         .end = [&] { cable->mend(); },
                         .cause = lost,
                         .others = {not_opened, timed_out, cancelled}});
    });
    cable->far().run([&] { server.reset(); });
}

}  // namespace
