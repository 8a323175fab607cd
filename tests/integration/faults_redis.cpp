// Bad nights of a Redis server.

#include <gtest/gtest.h>

#include <weir/adapters/hiredis.hpp>
#include <weir/error.hpp>

#include "faults.hpp"
#include "servers/fixture.hpp"
#include "servers/haproxy.hpp"
#include "servers/redis.hpp"
#include "servers/silent.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace weir::test;
using namespace std::chrono_literals;
using boost::asio::error::make_error_code;
using weir::hiredis::Errc;

std::string const lost = make_error_code(boost::asio::error::eof).message();
std::string const reset = make_error_code(boost::asio::error::connection_reset).message();
std::string const broken = make_error_code(boost::asio::error::broken_pipe).message();
std::string const refused = make_error_code(boost::asio::error::connection_refused).message();
std::string const too_many = make_error_code(Errc::too_many_clients).message();
std::string const wrong_password = make_error_code(Errc::wrong_password).message();
std::string const cancelled = make_error_code(boost::asio::error::operation_aborted).message();
std::string const timed_out = make_error_code(weir::Errc::timed_out).message();

class RedisBackend {
public:
    using Connection = weir::hiredis::Connection;
    using Drop = weir::ReleaseOnDrop;
    static constexpr char const* name = "Redis";

    /// Clients connect to `port`, which leads to `server`.
    RedisBackend(RedisServer& server, std::uint16_t port) : server_{server}, port_{port} {}
    explicit RedisBackend(RedisServer& server) : RedisBackend{server, server.port()} {}

    weir::hiredis::Connector connector(std::string const& client) const {
        return weir::hiredis::Connector{
            {.port = port_, .password = server_.password(), .client_name = client, .command_timeout = 1s}};
    }

    static std::int64_t answer(std::int64_t question) { return question * 7 + 1; }
    static boost::asio::awaitable<std::int64_t> async_ask(Connection& conn, std::int64_t question) {
        auto const reply = co_await conn.async_command("EVAL", "return ARGV[1] * 7 + 1", 0, question);
        co_return reply.integer();
    }
    static std::int64_t ask(Connection& conn, std::int64_t question) {
        return conn.command("EVAL", "return ARGV[1] * 7 + 1", 0, question).integer();
    }

    /// Where to find them, one on a line.
    std::vector<std::string> addresses(std::string const& client) const {
        std::vector<std::string> found;
        std::istringstream lines{server_.cli({"CLIENT", "LIST", "TYPE", "normal"})};
        for (std::string line; std::getline(lines, line);) {
            auto const from = line.find(" addr=");
            if (line.find(" name=" + client + " ") != line.npos)
                found.push_back(line.substr(from + 6, line.find(' ', from + 1) - from - 6));
        }
        return found;
    }
    std::size_t sessions(std::string const& client) const { return addresses(client).size(); }

private:
    RedisServer& server_;
    std::uint16_t port_;
};

class RedisFaults : public ServerTest<RedisServer> {
protected:
    RedisServer server{{.password = secret()}};
    RedisBackend backend{server};
};

TEST_F(RedisFaults, KilledAndRestarted) {
    endure(backend, {.name = "killed (-9), restarted",
                     .begin = [&] { server.kill(); },
                     .end = [&] { server.restart(); },
                     .cause = refused,
                     .others = {lost, reset, broken, timed_out}});
}

TEST_F(RedisFaults, StoppedAndContinued) {
    endure(backend, {.name = "stopped (SIGSTOP), continued",
                     .begin = [&] { server.freeze(); },
                     .end = [&] { server.thaw(); },
                     .cause = cancelled,
                     .others = {timed_out}});
}

TEST_F(RedisFaults, ClientsKilledOneByOne) {
    auto const kill_each = [&] {
        for (auto const* client : {"enduring", "closing"})
            for (auto const& address : backend.addresses(client)) {
                try {
                    server.cli({"CLIENT", "KILL", address});
                } catch (std::runtime_error const&) {
                    // It had ended by itself.
                }
            }
    };
    endure(backend, {.name = "`CLIENT KILL`, one by one",
                     .begin = kill_each,
                     .meanwhile = kill_each,
                     .end = [] {},
                     .cause = lost,
                     .others = {reset, broken}});
}

TEST_F(RedisFaults, MaxClientsReached) {
    // Nobody else gets in by then, redis-cli neither.
    weir::Pool<weir::hiredis::Connection> admins{
        weir::hiredis::BlockingConnector{{.port = server.port(), .password = server.password()}}};
    auto const admin = admins.acquire();
    endure(backend, {.name = "`maxclients` reached",
                     .begin =
                         [&] {
                             admin->command("CONFIG", "SET", "maxclients", 1);
                             admin->command("CLIENT", "KILL", "TYPE", "normal");
                         },
                     .end = [&] { admin->command("CONFIG", "SET", "maxclients", 1000); },
                     .cause = too_many,
                     .others = {lost, reset, broken, timed_out}});
}

TEST_F(RedisFaults, PasswordWrong) {
    endure(backend,
           {.name = "password wrong",
            .begin =
                [&] {
                    server.cli({"ACL", "SETUSER", "default", "resetpass", ">another"});
                    server.cli_as("another", {"CLIENT", "KILL", "TYPE", "normal"});
                },
            .end =
                [&] {
                    server.cli_as("another", {"ACL", "SETUSER", "default", "resetpass", ">" + server.password()});
                },
            .cause = wrong_password,
            .others = {lost, reset, broken, timed_out}});
}

TEST_F(RedisFaults, AListenerAcceptsAndSaysNothing) {
    Silent const silent;
    HaProxy proxy{{server.port(), silent.port()}};
    RedisBackend through{server, proxy.port()};
    endure(through, {.name = "listener that accepts and says nothing",
                     .begin =
                         [&] {
                             proxy.use(1);
                             proxy.cut(0);
                         },
                     .end = [&] { proxy.use(0); },
                     .cause = timed_out,
                     .others = {lost, reset, broken, cancelled}});
}

}  // namespace
