#pragma once
// MariaDB (and MySQL), by MariaDB Connector/C. Link with it (`-lmariadb`).
//
//     using namespace weir;
//     mariadb::Options const options{.host = "db", .user = "app", .password = "…", .database = "shop"};
//     Pool<mariadb::Connection> pool{io.get_executor(), mariadb::Connector{options}};
//     auto lease = co_await pool.async_acquire(asio::use_awaitable);
//     auto const result = co_await lease->async_query("SELECT name FROM item WHERE id = ?", 7);

#include <boost/asio/awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <weir/adapters/mariadb_connection.hpp>
#include <weir/adapters/mariadb_options.hpp>
#include <weir/adapters/tcp.hpp>
#include <weir/connector.hpp>

namespace weir::mariadb {

namespace detail {

inline tcp::Options address_of(Options const& options) {
    return {.host = options.host, .service = std::to_string(options.port)};
}

inline Options at(boost::asio::ip::tcp::endpoint const& endpoint, Options options) {
    options.host = endpoint.address().to_string();
    return options;
}

/// What a server says itself it would say at its other addresses, too.
inline bool is_worth_another(boost::system::system_error const& failure) {
    constexpr int first_of_library = 2000;
    return failure.code().category() == error_category() && failure.code().value() >= first_of_library;
}

}  // namespace detail

/// Opens sessions by the library's non-blocking interface, on the pool's executor.
///
/// A session that comes back in a transaction, or with an answer that nobody has read, is closed. Other state (SET,
/// temporary tables, locks, the default database) stays: see `ResettingConnector`.
///
/// With `SettingBuckets<Connection::Settings>` settings are made as `Connection::apply` says, and `Connection::reset`
/// takes them back.
///
/// Distinct objects: safe. Shared objects: safe.
class Connector {
public:
    /// Throws `std::invalid_argument` naming the field that is wrong. Nothing is connected yet.
    explicit Connector(Options options) : options_{std::move(options)} {
        options_.validate();
        if (options_.tls) throw std::invalid_argument{"weir: mariadb::Options::tls must be left to BlockingConnector"};
    }

    boost::asio::awaitable<Connection> connect(ConnectContext const& context) const {
        if (!options_.unix_socket.empty()) {
            auto conn = co_await Connection::async_open(options_, context.executor);
            conn.watch(context.evictor);
            co_return conn;
        }
        auto const address = detail::address_of(options_);
        auto const endpoints = co_await tcp::detail::async_resolve(address);
        std::optional<Connection> conn;
        for (std::size_t i = 0; !conn; ++i) {
            auto const options = detail::at(endpoints.at(i), options_);
            try {
                conn = co_await Connection::async_open(options, context.executor);
            } catch (boost::system::system_error const& failure) {
                if (i + 1 == endpoints.size() || !detail::is_worth_another(failure)) throw;
            }
        }
        conn->watch(context.evictor);
        co_return std::move(*conn);
    }

    boost::asio::awaitable<bool> check(Connection& conn) const {
        if (!conn.alive()) co_return false;
        if (options_.check == Check::round_trip) co_await conn.async_ping();
        co_return true;
    }

    boost::asio::awaitable<void> apply(Connection& conn, Connection::Settings const& settings) const {
        return conn.async_apply(settings);
    }

    boost::asio::awaitable<void> reset(Connection& conn) const { return conn.async_reset(); }

    bool recycle(Connection& conn) const noexcept { return conn.fit(); }

private:
    Options options_;
};

/// Leaves nothing of one lease to the next but its setting: after each, a transaction is rolled back, the session is
/// reset, and the setting made again.
///
/// Who gives back does not wait for that; the session counts as leased until it is done.
class ResettingConnector : public Connector {
public:
    using Connector::Connector;

    boost::asio::awaitable<void> apply(Connection& conn, Connection::Settings const& settings) const {
        co_await conn.async_apply(settings);
        conn.settings_ = settings;
    }

    boost::asio::awaitable<void> reset(Connection& conn) const {
        co_await conn.async_reset();
        conn.settings_ = Connection::Settings{};
    }

    boost::asio::awaitable<bool> recycle(Connection& conn) const {
        if (!conn.usable()) co_return false;
        co_await conn.async_reset();
        // The pool takes it for one that has its setting still.
        if (!conn.settings_.empty()) co_await conn.async_apply(conn.settings_);
        co_return conn.fit();
    }
};

/// As `Connector`, for programs of threads, and for TLS: opens, checks and sets on the thread that needs the session, or
/// on one of the pool's workers, and needs no executor.
///
/// Coroutines can use what it opens as they use what the other opens.
class BlockingConnector {
public:
    explicit BlockingConnector(Options options) : options_{std::move(options)} { options_.validate(); }

    Connection connect(ConnectContext const& context) const {
        auto conn = open(context);
        conn.watch(context.evictor);
        return conn;
    }

    bool check(Connection& conn) const {
        if (!conn.alive()) return false;
        if (options_.check == Check::round_trip) conn.ping();
        return true;
    }

    void apply(Connection& conn, Connection::Settings const& settings) const { conn.apply(settings); }

    void reset(Connection& conn) const { conn.reset(); }

    bool recycle(Connection& conn) const noexcept { return conn.fit(); }

private:
    // The time that is left is shared evenly among a host's addresses.
    Connection open(ConnectContext const& context) const {
        if (!options_.unix_socket.empty()) return Connection::open(options_, context.deadline);
        auto const endpoints = tcp::detail::resolve(detail::address_of(options_), context);
        // By its name, which the certificate is for.
        if (options_.tls) return Connection::open(options_, context.deadline);
        for (std::size_t i = 0;; ++i) {
            auto const now = std::chrono::steady_clock::now();
            auto const share = (context.deadline - now) / static_cast<std::ptrdiff_t>(endpoints.size() - i);
            try {
                return Connection::open(detail::at(endpoints.at(i), options_), now + share);
            } catch (boost::system::system_error const& failure) {
                bool const timed_out = failure.code() == Errc::timed_out;
                if (i + 1 == endpoints.size() || !(timed_out || detail::is_worth_another(failure))) throw;
            }
        }
    }

    Options options_;
};

}  // namespace weir::mariadb
