#pragma once
// What all servers of the integration tests have in common.

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "port.hpp"
#include "process.hpp"
#include "scratch.hpp"
#include "tree.hpp"

namespace weir::test {

/// A program that a server needs is not installed; see `ServerTest`.
class ProgramMissing : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The first of these files that there is. Throws `ProgramMissing`.
inline std::string program(std::initializer_list<char const*> candidates) {
    for (char const* path : candidates)
        if (::access(path, X_OK) == 0) return path;
    throw ProgramMissing{std::string{*candidates.begin()} + " is not installed; sh cmake/setup.sh test installs it"};
}

/// A word that nobody else knows.
inline std::string secret() {
    std::random_device random;
    std::string word;
    for (int i = 0; i < 4; ++i) {
        char digits[9];
        std::snprintf(digits, sizeof digits, "%08x", random());
        word += digits;
    }
    return word;
}

/// A server in a temporary directory, on a free port of 127.0.0.1, with the least rights it can have.
///
/// A constructor returns when the server answers, and throws `runtime_error` with its log when it does not within a
/// minute. What it has started and written has gone when it ends, and also when the test program dies.
///
/// Distinct objects: safe. Shared objects: unsafe, but for `port`, `running` and `log`.
class Server {
public:
    Server(Server const&) = delete;
    Server& operator=(Server const&) = delete;
    virtual ~Server() { kill(); }

    std::uint16_t port() const noexcept { return port_; }
    std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
    std::filesystem::path const& directory() const noexcept { return scratch_.path(); }
    /// What it has said for itself.
    std::string log() const { return contents(directory() / "log"); }

    bool running() const noexcept { return process_ && process_->running(); }
    /// All its processes.
    std::vector<pid_t> processes() const { return running() ? tree_of(process_->pid()) : std::vector<pid_t>{}; }

    /// SIGKILL for all its processes, frozen or not. Returns when they have gone, so their sockets are closed.
    void kill() {
        if (!process_) return;
        if (process_->running()) {
            std::vector<pid_t> const tree = stop_tree(process_->pid());
            for (pid_t const pid : tree) ::kill(pid, SIGKILL);
            wait_for_end(tree);
        }
        process_.reset();
    }

    /// Ends it in order, without waiting for its clients; `kill`, if that takes too long.
    void stop() { end(stop_signal()); }

    /// Stops all its processes where they are (SIGSTOP): connections stand, new ones are still accepted by the kernel,
    /// and nothing answers.
    void freeze() {
        if (process_) stop_tree(process_->pid());
    }
    void thaw() {
        for (pid_t const pid : processes()) ::kill(pid, SIGCONT);
    }

    /// Starts it again on the same port and data, killing it first if it runs. Returns when it answers.
    void restart() {
        kill();
        start();
        await_answer();
    }

    /// Brings it back to where a test may begin, whatever the one before has left.
    void heal() {
        thaw();
        if (!running()) restart();
    }

protected:
    Server(std::string const& name, std::initializer_list<char const*> accounts)
        : name_{name}, scratch_{name, account_for(accounts)} {}

    /// What starts it on `port()`.
    virtual Command command() const = 0;
    /// Whether it is this server that serves on `port()`.
    virtual bool answers() = 0;
    /// What ends it in order without waiting for its clients.
    virtual int stop_signal() const { return SIGTERM; }
    /// Called before every start, when the port is known.
    virtual void configure() {}

    /// To be called at the end of a constructor.
    void launch() {
        for (int attempt = 1;; ++attempt) {
            port_ = free_port();
            try {
                start();
                await_answer();
                return;
            } catch (std::runtime_error const&) {
                // Somebody may have taken the port after we had looked; another failure repeats itself soon enough.
                bool const taken = log().find("ddress already in use") != std::string::npos;
                if (attempt == 5 || !taken) throw;
            }
            process_.reset();
            std::filesystem::remove(directory() / "log");
        }
    }

    void end(int signal) {
        if (!process_) return;
        thaw();
        std::vector<pid_t> const tree = processes();
        process_->signal(signal);
        if (process_->wait_for(std::chrono::seconds{20})) wait_for_end(tree);
        kill();
    }

    Scratch const& scratch() const noexcept { return scratch_; }

    /// Runs a program as the server's account, in its directory, and returns what it printed.
    std::string run(Command command, Command environment = {}) const {
        return test::run({.command = std::move(command),
                          .directory = directory(),
                          .log = {},
                          .account = scratch_.account(),
                          .environment = std::move(environment)});
    }
    /// The same, and whether that went well.
    bool succeeds(Command command, Command environment = {}) const {
        try {
            run(std::move(command), std::move(environment));
            return true;
        } catch (std::runtime_error const&) {
            return false;
        }
    }

private:
    void start() {
        configure();
        process_.emplace(Launch{
            .command = command(), .directory = directory(), .log = directory() / "log", .account = scratch_.account()});
    }

    void await_answer() {
        using namespace std::chrono_literals;
        auto const give_up = std::chrono::steady_clock::now() + 60s;
        while (running() && std::chrono::steady_clock::now() < give_up) {
            if (listening(port_) && answers()) return;
            std::this_thread::sleep_for(5ms);
        }
        std::string const how = running() ? " does not answer; its log:\n" : " has ended; its log:\n";
        kill();
        throw std::runtime_error{name_ + " on " + address() + how + log()};
    }

    std::string name_;
    Scratch scratch_;
    std::uint16_t port_ = 0;
    std::optional<Process> process_;
};

}  // namespace weir::test
