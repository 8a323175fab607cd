#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "server.hpp"

namespace weir::test {

struct RedisOptions {
    std::string password{};  ///< of the user `default`; empty: none is asked for
    std::string config{};    ///< more lines of redis.conf, such as "maxclients 10"
};

/// A Redis server. Keeps its data over a `kill` and a `restart`.
class RedisServer : public Server {
public:
    explicit RedisServer(RedisOptions options = {}) : Server{"redis", {"redis"}}, options_{std::move(options)} {
        needs();
        launch();
    }

    /// Throws `ProgramMissing`.
    static void needs() {
        server();
        client();
    }

    std::string const& password() const noexcept { return options_.password; }

    /// Runs a command past the adapter and returns its answer as redis-cli prints it.
    std::string cli(Command words) const { return cli_as(password(), std::move(words)); }
    /// The same with another password than the one it was started with.
    std::string cli_as(std::string const& password, Command words) const {
        Command command{client(), "-h", "127.0.0.1", "-p", std::to_string(port())};
        if (!password.empty()) command.insert(command.end(), {"-a", password, "--no-auth-warning"});
        command.insert(command.end(), words.begin(), words.end());
        return run(std::move(command));
    }

    /// How many clients the server itself counts, but for the one that asks.
    std::size_t clients() const {
        std::string const list = cli({"CLIENT", "LIST", "TYPE", "normal"});
        return static_cast<std::size_t>(std::count(list.begin(), list.end(), '\n'));
    }

private:
    static std::string server() { return program({"/usr/bin/redis-server"}); }
    static std::string client() { return program({"/usr/bin/redis-cli"}); }

    void configure() override {
        std::string text = "bind 127.0.0.1\nport " + std::to_string(port()) +
                           "\ndaemonize no\nsave \"\"\nappendonly yes\nappendfsync no\ndir " + directory().string() +
                           "\n";
        if (!password().empty()) text += "requirepass " + password() + "\n";
        config_ = scratch().write("redis.conf", text + options_.config + "\n");
    }
    Command command() const override { return {server(), config_}; }
    bool answers() override { return cli_says("PING", "PONG"); }

    bool cli_says(char const* question, char const* answer) const {
        try {
            return cli({question}) == answer;
        } catch (std::runtime_error const&) {
            return false;
        }
    }

    RedisOptions options_;
    std::string config_;
};

}  // namespace weir::test
