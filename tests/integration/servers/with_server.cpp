// Runs a command against a server of its own:
//
//     with_server <postgres|mariadb|redis|nginx> <command> [word...]
//
// In the words {host}, {port}, {url}, {user}, {password} and {database} are replaced. Ends as the command does; the
// server has gone by then, also when this is killed. .ci/run uses it for the examples.

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "mariadb.hpp"
#include "nginx.hpp"
#include "postgres.hpp"
#include "redis.hpp"

namespace {

using Facts = std::map<std::string, std::string>;

int run(std::vector<std::string> words, Facts facts, weir::test::Server const& server) {
    facts.insert({{"host", "127.0.0.1"}, {"port", std::to_string(server.port())}});
    std::vector<char*> arguments;
    for (std::string& word : words) {
        for (auto const& [name, value] : facts)
            for (auto at = word.find('{' + name + '}'); at != word.npos; at = word.find('{' + name + '}'))
                word.replace(at, name.size() + 2, value);
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    pid_t pid{};
    int const error = ::posix_spawnp(&pid, arguments.front(), nullptr, nullptr, arguments.data(), environ);
    if (error != 0) throw std::system_error{error, std::generic_category(), words.front()};
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

template <class Database>
Facts facts_of(Database const& server) {
    return {{"user", server.user()}, {"password", server.password()}, {"database", server.database()}};
}

int run_against(std::string const& kind, std::vector<std::string> words) {
    using namespace weir::test;
    if (kind == "postgres") {
        PostgresServer const server{{.max_connections = 200}};
        Facts facts = facts_of(server);
        facts["url"] = server.url();
        return run(std::move(words), std::move(facts), server);
    }
    if (kind == "mariadb") {
        MariadbServer const server;
        return run(std::move(words), facts_of(server), server);
    }
    if (kind == "redis") {
        RedisServer const server;
        return run(std::move(words), {}, server);
    }
    if (kind == "nginx") {
        Nginx const server;
        return run(std::move(words), {{"url", server.url()}}, server);
    }
    throw std::runtime_error{"no such server: " + kind};
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc < 3) throw std::runtime_error{"usage: with_server <postgres|mariadb|redis|nginx> <command> [word...]"};
    return run_against(argv[1], {argv + 2, argv + argc});
} catch (std::exception const& error) {
    std::cerr << "with_server: " << error.what() << "\n";
    return 126;
}
