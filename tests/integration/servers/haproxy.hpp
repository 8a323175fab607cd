#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "server.hpp"

namespace weir::test {

/// HAProxy passing on TCP connections to one of several ports of 127.0.0.1: at first to the first.
class HaProxy : public Server {
public:
    explicit HaProxy(std::vector<std::uint16_t> backends)
        : Server{"haproxy", {"haproxy"}}, backends_{std::move(backends)} {
        needs();
        launch();
    }

    /// Throws `ProgramMissing`.
    static void needs() { proxy(); }

    /// From now on new connections go to this backend. Those that stand are left alone; see `cut`.
    void use(std::size_t backend) {
        used_ = backend;
        for (std::size_t i = 0; i != backends_.size(); ++i)
            admin("set server backends/" + name(i) + " state " + (i == backend ? "ready" : "maint"));
    }
    /// Ends all connections to a backend.
    void cut(std::size_t backend) { admin("shutdown sessions server backends/" + name(backend)); }

    /// A command to its administrator's socket, and what it answers.
    std::string admin(std::string const& command) const {
        return talk((directory() / "admin").string(), command + "\n");
    }

private:
    static std::string proxy() { return program({"/usr/sbin/haproxy"}); }
    static std::string name(std::size_t backend) { return "b" + std::to_string(backend); }

    void configure() override {
        std::string text = "global\n    stats socket " + (directory() / "admin").string() +
                           " mode 600 level admin\ndefaults\n    mode tcp\n    timeout connect 2s\n"
                           "    timeout client 1h\n    timeout server 1h\nfrontend front\n    bind " +
                           address() + "\n    default_backend backends\nbackend backends\n";
        for (std::size_t i = 0; i != backends_.size(); ++i)
            text += "    server " + name(i) + " 127.0.0.1:" + std::to_string(backends_[i]) +
                    (i == used_ ? "\n" : " disabled\n");
        scratch().write("haproxy.cfg", text);
    }
    Command command() const override { return {proxy(), "-db", "-f", "haproxy.cfg"}; }
    bool answers() override { return !admin("show version").empty(); }

    std::vector<std::uint16_t> backends_;
    std::size_t used_ = 0;
};

}  // namespace weir::test
