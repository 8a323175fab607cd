// The servers that all other integration tests lean on: they start, do as they are told, and leave nothing behind.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <support/eventually.hpp>
#include <thread>
#include <type_traits>
#include <vector>

#include "servers/fixture.hpp"
#include "servers/haproxy.hpp"
#include "servers/mariadb.hpp"
#include "servers/nginx.hpp"
#include "servers/pgbouncer.hpp"
#include "servers/postgres.hpp"
#include "servers/redis.hpp"

namespace weir::test {
namespace {

// One of each kind, asked in the same way, by something that is no part of it.
struct Redis {
    static void needs() { RedisServer::needs(); }
    RedisServer server{{.password = "open-sesame"}};
    std::string ask() { return server.cli({"PING"}); }
    std::string expected = "PONG";
};
struct Postgres {
    static void needs() { PostgresServer::needs(); }
    PostgresServer server;
    std::string ask() { return server.psql(server.url(), "SELECT current_user"); }
    std::string expected = "weir";
};
struct Mariadb {
    static void needs() { MariadbServer::needs(); }
    MariadbServer server;
    std::string ask() { return server.sql("SELECT 6 * 7"); }
    std::string expected = "42";
};
struct Bouncer {
    static void needs() { PgBouncer::needs(); }
    PostgresServer behind;
    PgBouncer server{behind};
    std::string ask() { return behind.psql(server.url(), "SELECT current_user"); }
    std::string expected = "weir";
};
struct Proxy {
    static void needs() {
        HaProxy::needs();
        Nginx::needs();
    }
    Nginx behind;
    HaProxy server{{behind.port()}};
    std::string ask() { return talk(server.port(), "GET / HTTP/1.0\r\n\r\n").substr(0, 15); }
    std::string expected = "HTTP/1.1 200 OK";
};
struct Web {
    static void needs() { Nginx::needs(); }
    Nginx server;
    std::string ask() { return talk(server.port(), "GET / HTTP/1.0\r\n\r\n").substr(0, 15); }
    std::string expected = "HTTP/1.1 200 OK";
};

template <class Kind>
class EveryServer : public ServerTest<Kind> {};
using Kinds = ::testing::Types<Redis, Postgres, Mariadb, Bouncer, Proxy, Web>;
TYPED_TEST_SUITE(EveryServer, Kinds);

bool all_are(std::vector<pid_t> const& processes, bool (*fits)(ProcessState)) {
    for (pid_t const pid : processes)
        if (!fits(state_of(pid))) return false;
    return true;
}
bool is_frozen_or_gone(ProcessState state) { return state.letter == 'T' || state.gone(); }
bool is_gone(ProcessState state) { return state.gone(); }

// By nobody who has the rights of root.
void expect_unprivileged(std::vector<pid_t> const& processes) {
    int seen = 0;
    for (pid_t const pid : processes) {
        struct stat process {};
        if (::stat(("/proc/" + std::to_string(pid)).c_str(), &process) != 0) continue;  // it has just ended
        ++seen;
        EXPECT_NE(process.st_uid, 0u);
    }
    EXPECT_GE(seen, 1);
}

TYPED_TEST(EveryServer, AnswersFreezesDiesComesBackAndLeavesNothingBehind) {
    auto kind = std::make_unique<TypeParam>();
    auto& server = kind->server;
    auto const directory = server.directory();
    ASSERT_EQ(kind->ask(), kind->expected) << server.log();
    ASSERT_TRUE(std::filesystem::exists(directory));
    auto const port = server.port();

    server.freeze();
    auto processes = server.processes();
    ASSERT_FALSE(processes.empty());
    EXPECT_TRUE(all_are(processes, is_frozen_or_gone));
    EXPECT_TRUE(listening(port)) << "the kernel accepts for a frozen server";
    server.thaw();
    EXPECT_EQ(kind->ask(), kind->expected) << server.log();

    processes = server.processes();
    expect_unprivileged(processes);
    server.kill();
    EXPECT_TRUE(all_are(processes, is_gone));
    EXPECT_FALSE(listening(port));
    EXPECT_FALSE(server.running());

    server.restart();
    EXPECT_EQ(server.port(), port);
    EXPECT_EQ(kind->ask(), kind->expected) << server.log();

    server.freeze();
    server.kill();
    EXPECT_FALSE(listening(port)) << "a frozen one can be killed, too";
    server.heal();
    EXPECT_EQ(kind->ask(), kind->expected) << server.log();

    server.stop();
    EXPECT_FALSE(listening(port));
    server.restart();
    EXPECT_EQ(kind->ask(), kind->expected) << server.log();

    processes = server.processes();
    ASSERT_FALSE(processes.empty());
    kind.reset();
    EXPECT_TRUE(all_are(processes, is_gone));
    EXPECT_FALSE(std::filesystem::exists(directory));
    EXPECT_FALSE(listening(port));
}

// The parent learns from a file what its child had started before it died.
constexpr char const* note = "WEIR_TEST_CRASH_NOTE";

[[noreturn]] void die_with(Server& server) {
    std::string text = server.directory().string();
    for (pid_t const pid : server.processes()) text += ' ' + std::to_string(pid);
    std::ofstream{std::getenv(note)} << text << std::endl;
    ::kill(::getpid(), SIGKILL);
    std::abort();
}

TYPED_TEST(EveryServer, DiesWithATestThatIsKilledWhileItIsFrozen) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    auto const path = std::filesystem::temp_directory_path() / ("weir-crash-note." + std::to_string(::getpid()));
    ::setenv(note, path.c_str(), 0);
    EXPECT_EXIT(
        {
            TypeParam kind;
            kind.server.freeze();
            die_with(kind.server);
        },
        ::testing::KilledBySignal(SIGKILL), "");
    ::unsetenv(note);

    std::ifstream file{path};
    std::string directory;
    ASSERT_TRUE(file >> directory);
    std::vector<pid_t> processes;
    for (pid_t pid{}; file >> pid;) processes.push_back(pid);
    std::filesystem::remove(path);
    ASSERT_FALSE(processes.empty());
    EXPECT_TRUE(eventually([&] { return all_are(processes, is_gone); }));
    EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(directory); }));
}

class RedisAlone : public ServerTest<RedisServer> {};

TEST_F(RedisAlone, KeepsItsDataWhenItIsKilled) {
    RedisServer redis;
    redis.cli({"SET", "fish", "trout"});
    redis.restart();
    EXPECT_EQ(redis.cli({"GET", "fish"}), "trout");
}

TEST_F(RedisAlone, OutlivesTheThreadThatStartedIt) {
    std::optional<RedisServer> redis;
    std::thread{[&] { redis.emplace(); }}.join();
    EXPECT_EQ(redis->cli({"PING"}), "PONG");
    std::thread{[&] { redis->restart(); }}.join();
    EXPECT_EQ(redis->cli({"PING"}), "PONG");
}

TEST_F(RedisAlone, ShowsItsLogWhenItDoesNotStart) {
    try {
        RedisServer redis{{.config = "no-such-directive 1"}};
        FAIL() << "it started";
    } catch (std::runtime_error const& error) {
        EXPECT_NE(std::string{error.what()}.find("no-such-directive"), std::string::npos) << error.what();
    }
}

// Or a client of the test's own would seem to be connected for as long as the server lives.
TEST_F(RedisAlone, InheritsNoSocketOfTheTest) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    RedisServer redis;
    ::close(ends[0]);
    char byte{};
    EXPECT_EQ(::recv(ends[1], &byte, 1, MSG_DONTWAIT), 0) << "somebody else holds the other end";
    ::close(ends[1]);
}

class PostgresAlone : public ServerTest<PostgresServer> {};

TEST_F(PostgresAlone, KeepsItsDataWhenItIsKilled) {
    PostgresServer postgres;
    postgres.psql(postgres.url(), "CREATE TABLE fish AS SELECT 'trout' AS name");
    postgres.restart();
    EXPECT_EQ(postgres.psql(postgres.url(), "SELECT name FROM fish"), "trout");
}

TEST_F(PostgresAlone, ServesTlsThatStandsUpToVerification) {
    PostgresServer postgres{{.tls = Flaw::none}};
    auto const url = postgres.url() + "?sslmode=verify-full&sslrootcert=" + postgres.root_certificate();
    EXPECT_EQ(postgres.psql(url, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"), "t");
}

TEST_F(PostgresAlone, HasAStandbyThatFollowsAndIsPromoted) {
    PostgresServer primary;
    PostgresServer standby{{.standby_of = &primary}};
    primary.psql(primary.url(), "CREATE TABLE fish AS SELECT 'trout' AS name");
    ASSERT_TRUE(standby.catch_up(primary));
    EXPECT_EQ(standby.psql(standby.url(), "SELECT name FROM fish"), "trout");
    EXPECT_THROW(standby.psql(standby.url(), "DELETE FROM fish"), std::runtime_error);
    primary.kill();
    standby.promote();
    standby.psql(standby.url(), "INSERT INTO fish VALUES ('perch')");
    EXPECT_EQ(standby.psql(standby.url(), "SELECT count(*) FROM fish"), "2");
}

class Certificates : public ServerTest<Authority> {};

TEST_F(Certificates, HaveTheFlawThatWasAskedForAndNoOther) {
    Scratch const scratch{"certificates", account_for({"nobody"})};
    Authority authority{scratch};
    auto const verdict = [&](Flaw flaw) -> std::string {
        try {
            return run({.command = {"/usr/bin/openssl", "verify", "-CAfile", authority.root(), "-verify_ip",
                                    "127.0.0.1", authority.issue(flaw).certificate},
                        .directory = scratch.path(),
                        .log = {},
                        .account = scratch.account()});
        } catch (std::runtime_error const& error) {
            return error.what();
        }
    };
    EXPECT_TRUE(verdict(Flaw::none).ends_with(": OK")) << verdict(Flaw::none);
    EXPECT_NE(verdict(Flaw::expired).find("certificate has expired"), std::string::npos) << verdict(Flaw::expired);
    EXPECT_NE(verdict(Flaw::wrong_host).find("IP address mismatch"), std::string::npos) << verdict(Flaw::wrong_host);
}

class BouncerAlone : public ServerTest<PgBouncer> {};

TEST_F(BouncerAlone, IsPausedAndResumed) {
    PostgresServer postgres;
    PgBouncer bouncer{postgres};
    bouncer.admin("PAUSE");
    EXPECT_THROW(postgres.psql(bouncer.url() + "?connect_timeout=2", "SELECT 1"), std::runtime_error);
    bouncer.admin("RESUME");
    EXPECT_EQ(postgres.psql(bouncer.url(), "SELECT 1"), "1");
}

class ProxyAlone : public ServerTest<HaProxy, Nginx> {};

TEST_F(ProxyAlone, SwitchesBetweenBackends) {
    Nginx first;
    Nginx second;
    first.put("name", "first");
    second.put("name", "second");
    HaProxy proxy{{first.port(), second.port()}};
    auto const name = [&] {
        std::string const answer = talk(proxy.port(), "GET /name HTTP/1.0\r\n\r\n");
        return answer.substr(answer.rfind('\n') + 1);
    };
    EXPECT_EQ(name(), "first");
    proxy.use(1);
    EXPECT_EQ(name(), "second");
    first.kill();
    EXPECT_EQ(name(), "second");
    proxy.restart();
    EXPECT_EQ(name(), "second");
}

TEST_F(ProxyAlone, CutsTheConnectionsOfABackend) {
    Nginx nginx;
    HaProxy proxy{{nginx.port()}};
    Descriptor const client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    auto const address = loopback(proxy.port());
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address), 0);
    // Whoever is answered has been passed on. Before, another may be: who looked whether the proxy listens.
    std::string const question = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    ASSERT_EQ(::send(client.get(), question.data(), question.size(), MSG_NOSIGNAL), std::ssize(question));
    char byte{};
    ASSERT_EQ(::recv(client.get(), &byte, 1, 0), 1);
    ASSERT_TRUE(eventually([&] { return nginx.clients() == 1; }));
    proxy.cut(0);
    EXPECT_TRUE(eventually([&] { return nginx.clients() == 0; }));
    while (::recv(client.get(), &byte, 1, 0) > 0) continue;  // the rest of the answer, and then the end
}

class WebAlone : public ServerTest<Nginx> {};

TEST_F(WebAlone, HangsUpOnAClientThatKeepsSilent) {
    using namespace std::chrono_literals;
    Nginx nginx{{.keepalive_timeout = 50ms}};
    // HTTP/1.1, so the server keeps the connection; `talk` returns when it no longer does.
    auto const begun = std::chrono::steady_clock::now();
    EXPECT_NE(talk(nginx.port(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").find("keep-alive"), std::string::npos);
    auto const taken = std::chrono::steady_clock::now() - begun;
    EXPECT_GE(taken, 50ms);
    EXPECT_LT(taken, 4s);
}

TEST_F(WebAlone, CountsItsClients) {
    Nginx nginx;
    EXPECT_EQ(nginx.clients(), 0u);
    Descriptor const client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    auto const address = loopback(nginx.port());
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address), 0);
    EXPECT_TRUE(eventually([&] { return nginx.clients() == 1; }));
}

TEST(FreePort, IsNoneThatAClientIsGiven) {
    int clients_from = 0;
    std::ifstream{"/proc/sys/net/ipv4/ip_local_port_range"} >> clients_from;
    for (int i = 0; i < 100; ++i) EXPECT_LT(free_port(), clients_from);
}

}  // namespace
}  // namespace weir::test
