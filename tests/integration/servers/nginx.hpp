#pragma once

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "certificates.hpp"
#include "server.hpp"

namespace weir::test {

struct NginxOptions {
    std::chrono::milliseconds keepalive_timeout{75'000};  ///< how long an idle connection is kept
    int keepalive_requests = 1000;                        ///< how many requests one connection may make
    std::optional<Flaw> tls{};                            ///< speaks TLS only, with a certificate of this kind
    std::string config{};                                 ///< more lines of its section `server`
};

/// An nginx that serves the files that `put` has put there.
class Nginx : public Server {
public:
    explicit Nginx(NginxOptions options = {}) : Server{"nginx", {"www-data"}}, options_{std::move(options)} {
        needs();
        scratch().make_directory("files");
        scratch().make_directory("tmp");
        put("index.html", "weir\n");
        if (options_.tls) secure(*options_.tls);
        launch();
    }

    /// Throws `ProgramMissing`.
    static void needs() {
        server();
        Authority::needs();
    }

    std::string url() const { return (options_.tls ? "https://" : "http://") + address() + "/"; }
    /// What the server's certificate is to be checked against.
    std::string const& root_certificate() const noexcept { return root_certificate_; }

    /// Serves `text` as `/name`.
    void put(std::string const& name, std::string const& text) const { scratch().write("files/" + name, text); }

    /// How many connections the server itself counts, but for the one that asks.
    std::size_t clients() const {
        std::string const status = talk((directory() / "admin").string(), "GET / HTTP/1.0\r\n\r\n");
        std::string const label = "Active connections: ";
        auto const at = status.find(label);
        if (at == std::string::npos) throw std::runtime_error{"nginx does not say: " + status};
        return std::stoul(status.substr(at + label.size())) - 1;
    }

private:
    static std::string server() { return program({"/usr/sbin/nginx"}); }

    void secure(Flaw flaw) {
        Authority authority{scratch()};
        Certificate const own = authority.issue(flaw);
        root_certificate_ = authority.root();
        tls_ = "ssl_certificate " + own.certificate + ";\nssl_certificate_key " + own.key + ";\n";
    }

    void configure() override {
        std::filesystem::remove(directory() / "admin");  // one that was killed leaves it
        std::string text = "daemon off;\nmaster_process off;\npid pid;\nevents { worker_connections 1024; }\nhttp {\n"
                           "access_log off;\nkeepalive_timeout " +
                           std::to_string(options_.keepalive_timeout.count()) + "ms;\nkeepalive_requests " +
                           std::to_string(options_.keepalive_requests) + ";\n";
        for (char const* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
            text += std::string{kind} + "_temp_path tmp;\n";
        text += "server { listen unix:" + (directory() / "admin").string() + "; location / { stub_status; } }\n";
        text += "server {\nlisten " + address() + (options_.tls ? " ssl" : "") + ";\nroot files;\n" + tls_ +
                options_.config + "\n}\n}\n";
        scratch().write("nginx.conf", text);
    }
    Command command() const override {
        return {server(), "-p", directory().string(), "-c", "nginx.conf", "-e", "stderr"};
    }
    bool answers() override {
        return talk((directory() / "admin").string(), "GET / HTTP/1.0\r\n\r\n").find("200 OK") != std::string::npos;
    }

    NginxOptions options_;
    std::string root_certificate_;
    std::string tls_;
};

}  // namespace weir::test
