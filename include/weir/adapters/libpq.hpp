#pragma once
// PostgreSQL, by libpq. Link with it (`-lpq`, or CMake's `PostgreSQL::PostgreSQL`).
//
//     using namespace weir;
//     Pool<libpq::Connection> pool{io.get_executor(), libpq::Connector{"postgresql://app@db/shop"}};
//     auto lease = co_await pool.async_acquire();
//     auto const result = co_await lease->async_query("SELECT name FROM item WHERE id = $1", 7);

#include <boost/asio/awaitable.hpp>
#include <string>
#include <utility>
#include <weir/adapters/libpq_connection.hpp>
#include <weir/adapters/session_settings.hpp>
#include <weir/connector.hpp>

namespace weir::libpq {

namespace detail {

/// The statement that makes settings.
struct Assignment {
    // By set_config, which takes names and values as parameters where SET takes them as text.
    explicit Assignment(adapters::SessionSettings const& settings) {
        int number = 0;
        for (auto const& [name, value] : settings) {
            sql += (number == 0 ? "SELECT set_config($" : ", set_config($") + std::to_string(number + 1) + ", $" +
                   std::to_string(number + 2) + ", false)";
            number += 2;
            parameters.add(name);
            parameters.add(value);
        }
    }

    std::string sql;  // nothing for nothing, which is a statement too
    Parameters parameters;
};

}  // namespace detail

/// Opens sessions by libpq's non-blocking interface, on the pool's executor.
///
/// A session that comes back in a transaction, or with an answer that nobody has read, is closed; the server is told to
/// stop, and rolls it back. Other state (SET, temporary tables, LISTEN, advisory locks) stays: see `ResettingConnector`.
///
/// With `SettingBuckets<Connection::Settings>` the settings are made as by SET, and DISCARD ALL takes them back.
class Connector {
public:
    explicit Connector(std::string conninfo) : Connector{Options{.conninfo = std::move(conninfo)}} {}

    /// Throws `std::invalid_argument` that names what is wrong. Nothing is connected yet.
    explicit Connector(Options options) : options_{validated(std::move(options))} {}

    boost::asio::awaitable<Connection> connect(ConnectContext const& context) const {
        auto conn = co_await Connection::async_open(options_, context.executor);
        conn.watch(context.evictor);
        co_return conn;
    }

    boost::asio::awaitable<bool> check(Connection& conn) const {
        if (!conn.alive()) co_return false;
        if (options_.check == Check::round_trip) co_await conn.async_query("");
        co_return true;
    }

    boost::asio::awaitable<void> apply(Connection& conn, Connection::Settings const& settings) const {
        detail::Assignment assignment{settings};
        co_await conn.async_query(std::move(assignment.sql), std::move(assignment.parameters));
    }

    boost::asio::awaitable<void> reset(Connection& conn) const { co_await conn.async_query("DISCARD ALL"); }

    bool recycle(Connection& conn) const noexcept { return conn.fit(); }

    void close(Connection& conn) const {
        if (conn.busy()) conn.stop();
    }

private:
    Options options_;
};

/// Leaves nothing of one lease to the next but its setting: after each, what is under way is rolled back and DISCARD ALL
/// run, and the setting made again.
///
/// Who gives back does not wait for that; the session counts as leased until it is done.
class ResettingConnector : public Connector {
public:
    using Connector::Connector;

    boost::asio::awaitable<void> apply(Connection& conn, Connection::Settings const& settings) const {
        co_await Connector::apply(conn, settings);
        conn.settings_ = settings;
    }

    boost::asio::awaitable<void> reset(Connection& conn) const {
        co_await Connector::reset(conn);
        conn.settings_ = Connection::Settings{};
    }

    boost::asio::awaitable<bool> recycle(Connection& conn) const {
        auto const status = PQtransactionStatus(conn.native_handle());
        if (status == PQTRANS_INTRANS || status == PQTRANS_INERROR) co_await conn.async_query("ROLLBACK");
        if (!conn.fit()) co_return false;
        co_await conn.async_query("DISCARD ALL");
        // The pool takes it for one that has its setting still.
        if (!conn.settings_.empty()) co_await Connector::apply(conn, conn.settings_);
        co_return true;
    }
};

/// As `Connector`, for programs of threads: opens, checks and sets on the thread that needs the session, or on one of
/// the pool's workers, and needs no executor.
class BlockingConnector {
public:
    explicit BlockingConnector(std::string conninfo) : BlockingConnector{Options{.conninfo = std::move(conninfo)}} {}
    explicit BlockingConnector(Options options) : options_{validated(std::move(options))} {}

    Connection connect(ConnectContext const& context) const {
        auto conn = Connection::open(options_, context.deadline);
        conn.watch(context.evictor);
        return conn;
    }

    bool check(Connection& conn) const {
        if (!conn.alive()) return false;
        if (options_.check == Check::round_trip) conn.query("");
        return true;
    }

    void apply(Connection& conn, Connection::Settings const& settings) const {
        detail::Assignment const assignment{settings};
        conn.query(assignment.sql, assignment.parameters);
    }

    void reset(Connection& conn) const { conn.query("DISCARD ALL"); }

    bool recycle(Connection& conn) const noexcept { return conn.fit(); }

    void close(Connection& conn) const {
        if (conn.busy()) conn.stop();
    }

private:
    Options options_;
};

}  // namespace weir::libpq
