#pragma once
// A PostgreSQL server as clients of `Load` see it.

#include <weir/adapters/libpq.hpp>

#include "servers/postgres.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace weir::test {

/// Distinct objects: safe. Shared objects: unsafe, but for the questions.
class PostgresBackend {
public:
    using Connection = libpq::Connection;
    using Drop = weir::ReleaseOnDrop;
    static constexpr char const* name = "PostgreSQL";

    /// Clients connect to `url`, which leads to `server`.
    PostgresBackend(PostgresServer& server, std::string url) : server_{&server}, url_{std::move(url)} {}
    explicit PostgresBackend(PostgresServer& server) : PostgresBackend{server, server.url()} {}

    /// From now on this one counts the sessions.
    void ask_about_sessions(PostgresServer& server) noexcept { server_ = &server; }

    libpq::Connector connector(std::string const& application) const {
        return libpq::Connector{{.conninfo = url_,
                                 .parameters = {{"application_name", application}},
                                 .query_timeout = std::chrono::seconds{1}}};
    }

    static std::int64_t answer(std::int64_t question) { return question * 7 + 1; }
    static boost::asio::awaitable<std::int64_t> async_ask(Connection& conn, std::int64_t question) {
        auto const result = co_await conn.async_query("SELECT $1::bigint * 7 + 1", question);
        co_return result.number(0, 0);
    }
    static std::int64_t ask(Connection& conn, std::int64_t question) {
        return conn.query("SELECT $1::bigint * 7 + 1", question).number(0, 0);
    }

    std::size_t sessions(std::string const& application) const {
        return std::stoul(
            server_->sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = '" + application + "'"));
    }

private:
    PostgresServer* server_;
    std::string url_;
};

}  // namespace weir::test
