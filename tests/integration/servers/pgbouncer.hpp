#pragma once

#include <string>
#include <utility>

#include "postgres.hpp"
#include "server.hpp"

namespace weir::test {

struct PgBouncerOptions {
    std::string pool_mode = "session";  ///< or "transaction"
    int pool_size = 20;                 ///< how many sessions it opens to the server at most
    std::string config{};               ///< more lines of pgbouncer.ini's section [pgbouncer]
};

/// A PgBouncer in front of a PostgreSQL server, which has to outlive it. Same users, passwords and databases.
class PgBouncer : public Server {
public:
    explicit PgBouncer(PostgresServer const& behind, PgBouncerOptions options = {})
        : Server{"pgbouncer", {"postgres"}}, behind_{behind}, options_{std::move(options)} {
        needs();
        launch();
    }

    /// Throws `ProgramMissing`.
    static void needs() {
        bouncer();
        PostgresServer::needs();
    }

    std::string url() const { return behind_.url(port()); }

    /// A command to its console, such as "PAUSE", "RESUME" or "SHOW POOLS", and what it answers.
    std::string admin(std::string const& command) const {
        return behind_.psql(behind_.url("postgres", port(), "pgbouncer"), command);
    }

private:
    static std::string bouncer() { return program({"/usr/sbin/pgbouncer"}); }

    void configure() override {
        scratch().write("users",
                        "\"postgres\" \"" + behind_.password() + "\"\n\"weir\" \"" + behind_.password() + "\"\n");
        scratch().write(
            "pgbouncer.ini",
            "[databases]\n* = host=127.0.0.1 port=" + std::to_string(behind_.port()) +
                "\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " + std::to_string(port()) +
                "\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = users\nadmin_users = postgres\n"
                "max_client_conn = 1000\nserver_login_retry = 1\npool_mode = " +
                options_.pool_mode + "\ndefault_pool_size = " + std::to_string(options_.pool_size) +
                "\nignore_startup_parameters = extra_float_digits\n" + options_.config + "\n");
    }
    Command command() const override { return {bouncer(), "pgbouncer.ini"}; }
    bool answers() override {
        try {
            return !admin("SHOW VERSION").empty();
        } catch (std::runtime_error const&) {
            return false;
        }
    }

    PostgresServer const& behind_;
    PgBouncerOptions options_;
};

}  // namespace weir::test
