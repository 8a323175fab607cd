#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "certificates.hpp"
#include "server.hpp"

namespace weir::test {

class PostgresServer;

struct PostgresOptions {
    int max_connections = 100;           ///< three of which only superusers get
    std::optional<Flaw> tls{};           ///< serves TLS too, with a certificate of this kind
    PostgresServer const* standby_of{};  ///< follows this one; has its users, databases and passwords
    std::string config{};                ///< more lines of postgresql.conf
};

/// A PostgreSQL server with a superuser `postgres`, for the test itself, and a user `weir` who owns a database `weir`
/// and signs in with a password (SCRAM).
class PostgresServer : public Server {
public:
    explicit PostgresServer(PostgresOptions options = {})
        : Server{"postgres", {"postgres"}}, options_{std::move(options)} {
        needs();
        if (options_.standby_of != nullptr)
            copy(*options_.standby_of);
        else
            create();
        if (options_.tls) secure(*options_.tls);
        launch();
        if (options_.standby_of != nullptr) return;
        sql("CREATE ROLE weir LOGIN PASSWORD '" + password_ + "'");
        sql("CREATE DATABASE weir OWNER weir");
    }
    // At once, but not by SIGKILL: that would leave a segment of shared memory behind.
    ~PostgresServer() override { end(SIGQUIT); }

    /// Throws `ProgramMissing`.
    static void needs() {
        postgres("initdb");
        Authority::needs();
    }

    /// The path of one of its programs, of the newest version that there is. Throws `ProgramMissing`.
    static std::string postgres(std::string const& name) {
        std::filesystem::path newest;
        std::error_code none;
        for (auto const& version : std::filesystem::directory_iterator{"/usr/lib/postgresql", none}) {
            auto const path = version.path() / "bin" / name;
            bool const newer = newest.empty() || std::stoi(version.path().filename()) >
                                                     std::stoi(newest.parent_path().parent_path().filename());
            if (newer && ::access(path.c_str(), X_OK) == 0) newest = path;
        }
        if (newest.empty())
            throw ProgramMissing{"PostgreSQL's " + name + " is not installed; sh cmake/setup.sh test installs it"};
        return newest;
    }

    std::string user() const { return "weir"; }
    std::string database() const { return "weir"; }
    std::string const& password() const noexcept { return password_; }
    /// Where, as whom and with what to connect: an ordinary user's.
    std::string url() const { return url(port()); }
    /// The same through somebody who passes it on, such as `PgBouncer` or `HaProxy`.
    std::string url(std::uint16_t by_way_of) const { return url("weir", by_way_of, "weir"); }
    /// What the server's certificate is to be checked against.
    std::string const& root_certificate() const noexcept { return root_certificate_; }

    /// Runs SQL as the superuser, past the adapter, in the database `weir` or another, and returns what psql prints:
    /// rows on lines, columns separated by |.
    std::string sql(std::string const& statement, std::string const& database = "postgres") const {
        return psql(url("postgres", port(), database), statement);
    }
    /// The same elsewhere.
    std::string psql(std::string const& url, std::string const& statement) const {
        return run({postgres("psql"), "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement});
    }

    /// How many sessions of ordinary users the server itself counts.
    std::size_t clients() const {
        return std::stoul(sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'weir'"));
    }

    /// Makes a standby a primary; returns when it takes writes.
    void promote() { sql("SELECT pg_promote()"); }
    /// Waits until a standby has all that its primary had written before this call; false after half a minute.
    bool catch_up(PostgresServer const& primary) const {
        using namespace std::chrono_literals;
        std::string const end = primary.sql("SELECT pg_current_wal_lsn()");
        auto const give_up = std::chrono::steady_clock::now() + 30s;
        while (sql("SELECT pg_last_wal_replay_lsn() >= '" + end + "'") != "t") {
            if (std::chrono::steady_clock::now() > give_up) return false;
            std::this_thread::sleep_for(10ms);
        }
        return true;
    }

private:
    friend class PgBouncer;

    void create() {
        password_ = secret();
        run({postgres("initdb"), "--pgdata=data", "--username=postgres", "--auth=scram-sha-256",
             "--pwfile=" + scratch().write("password", password_).string(), "--encoding=UTF8", "--locale=C",
             "--no-sync"});
    }
    void copy(PostgresServer const& primary) {
        password_ = primary.password_;
        run({postgres("pg_basebackup"), "--pgdata=data", "--dbname=" + primary.url("postgres", primary.port(), ""),
             "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"});
    }
    void secure(Flaw flaw) {
        Authority authority{scratch()};
        Certificate const own = authority.issue(flaw);
        root_certificate_ = authority.root();
        tls_ = "ssl = on\nssl_cert_file = '" + own.certificate + "'\nssl_key_file = '" + own.key + "'\n";
    }

    std::string url(std::string const& user, std::uint16_t port, std::string const& database) const {
        return "postgresql://" + user + ":" + password_ + "@127.0.0.1:" + std::to_string(port) + "/" + database;
    }

    // Data is lost neither with the processes nor for want of a sync: only the machine's end would take it.
    void configure() override {
        scratch().write(
            "postgresql.conf",
            "listen_addresses = '127.0.0.1'\nport = " + std::to_string(port()) +
                "\nunix_socket_directories = ''\nmax_connections = " + std::to_string(options_.max_connections) +
                "\nshared_buffers = 16MB\nfsync = off\ndynamic_shared_memory_type = mmap\n"
                "superuser_reserved_connections = 3\n" +
                tls_ + options_.config + "\n");
    }
    Command command() const override {
        return {postgres("postgres"),
                "-D",
                "data",
                "-c",
                "config_file=" + (directory() / "postgresql.conf").string(),
                "-c",
                "hba_file=data/pg_hba.conf"};
    }
    bool answers() override {
        return succeeds({postgres("psql"), "-X", "-q", "-d", url("postgres", port(), "postgres"), "-c", "SELECT 1"});
    }
    int stop_signal() const override { return SIGINT; }

    PostgresOptions options_;
    std::string password_;
    std::string root_certificate_;
    std::string tls_;
};

}  // namespace weir::test
