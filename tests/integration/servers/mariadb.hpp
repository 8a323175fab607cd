#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "server.hpp"

namespace weir::test {

struct MariadbOptions {
    int max_connections = 100;  ///< besides one for the test itself
    std::string config{};       ///< more lines of my.cnf's section [mariadbd]
};

/// A MariaDB server with a user `admin`, for the test itself, and a user `weir` with a password, who may do what he
/// likes in a database `weir`.
class MariadbServer : public Server {
public:
    explicit MariadbServer(MariadbOptions options = {}) : Server{"mariadb", {"mysql"}}, options_{std::move(options)} {
        needs();
        scratch().make_directory("tmp");
        run({installer(), "--no-defaults", "--datadir=" + (directory() / "data").string(),
             // Each server clears away what it finds of temporary tables as it starts, those of others too.
             "--tmpdir=" + (directory() / "tmp").string(), "--skip-test-db", "--auth-root-authentication-method=normal",
             "--skip-name-resolve", "--innodb-log-file-size=8M", "--innodb-flush-method=nosync"});
        // Read at every start, before the first client.
        scratch().write("init.sql",

                        "CREATE USER IF NOT EXISTS admin@'127.0.0.1' IDENTIFIED BY '" + password_ +
                            "';\n"
                            "GRANT ALL ON *.* TO admin@'127.0.0.1' WITH GRANT OPTION;\n"
                            "CREATE USER IF NOT EXISTS weir@'127.0.0.1' IDENTIFIED BY '" +
                            password_ +
                            "';\n"
                            "CREATE DATABASE IF NOT EXISTS weir;\nGRANT ALL ON weir.* TO weir@'127.0.0.1';\n");
        launch();
    }

    /// Throws `ProgramMissing`.
    static void needs() {
        server();
        client();
        installer();
    }

    std::string user() const { return "weir"; }
    std::string database() const { return "weir"; }
    std::string const& password() const noexcept { return password_; }

    /// Runs SQL as the administrator, past the adapter, and returns what the client prints: rows on lines, columns
    /// separated by tabs.
    std::string sql(std::string const& statement) const { return sql("admin", statement, "weir"); }

    /// How many sessions of ordinary users the server itself counts.
    std::size_t clients() const {
        return std::stoul(sql("SELECT count(*) FROM information_schema.processlist WHERE user = 'weir'"));
    }

private:
    static std::string server() { return program({"/usr/sbin/mariadbd"}); }
    static std::string client() { return program({"/usr/bin/mariadb"}); }
    static std::string installer() { return program({"/usr/bin/mariadb-install-db"}); }

    std::string sql(std::string const& user, std::string const& statement, std::string const& database) const {
        return run({client(), "--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--port=" + std::to_string(port()),
                    "--user=" + user, "--batch", "--skip-column-names", "--connect-timeout=20",
                    "--execute=" + statement, database},
                   {"MYSQL_PWD=" + password_});
    }

    // Data is lost neither with the processes nor for want of a sync: only the machine's end would take it.
    void configure() override {
        std::string const here = directory().string();
        scratch().write("my.cnf", "[mariadbd]\nbind-address=127.0.0.1\nport=" + std::to_string(port()) +
                                      "\ndatadir=" + here + "/data\nsocket=" + here + "/socket\npid-file=" + here +
                                      "/pid\ntmpdir=" + here + "/tmp\ninit-file=" + here +
                                      "/init.sql\nskip-name-resolve\nskip-log-bin\nperformance-schema=off\n"
                                      "innodb-flush-log-at-trx-commit=0\ninnodb-flush-method=nosync\n"
                                      "innodb-buffer-pool-size=8M\ninnodb-log-file-size=8M\n"
                                      "max-connect-errors=1000000\nmax-connections=" +
                                      std::to_string(options_.max_connections) + "\n" + options_.config + "\n");
    }
    Command command() const override { return {server(), "--defaults-file=" + (directory() / "my.cnf").string()}; }
    bool answers() override {
        try {
            return sql("admin", "SELECT 1", "weir") == "1";
        } catch (std::runtime_error const&) {
            return false;
        }
    }

    MariadbOptions options_;
    std::string password_ = secret();
};

}  // namespace weir::test
