#pragma once
// Redis, by hiredis. Link with it (`-lhiredis`).
//
//     using namespace weir;
//     Pool<hiredis::Connection> pool{io.get_executor(), hiredis::Connector{{.host = "cache", .password = "…"}}};
//     auto lease = co_await pool.async_acquire();
//     auto const reply = co_await lease->async_command("GET", key);

#include <boost/asio/awaitable.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/container_hash/hash.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>
#include <weir/adapters/hiredis_connection.hpp>
#include <weir/adapters/hiredis_pipeline.hpp>
#include <weir/adapters/hiredis_reply.hpp>
#include <weir/connector.hpp>

namespace weir::hiredis {

/// How an idle connection is looked at.
enum class Check : std::uint8_t {
    /// One look at the socket, without a round trip. Sees that the server has hung up, not that it hangs or that the
    /// network is gone; keep-alive finds that out, after half a minute.
    passive,
    /// The server answers a PING.
    round_trip
};

struct Options {
    /// A name or an address. The addresses of a name are tried one by one.
    std::string host = "127.0.0.1";
    std::uint16_t port = 6379;
    /// Of the server's access list (Redis 6); empty: its `default` user.
    std::string user{};
    /// Empty: none is given.
    std::string password{};
    int database = 0;
    /// What CLIENT LIST shows; no spaces.
    std::string client_name{};
    Check check = Check::passive;
    /// How long `command` and `pipeline`, which block, wait for replies; then the connection is spoiled. Coroutines wait
    /// until they are cancelled.
    std::chrono::milliseconds command_timeout = std::chrono::seconds{30};
};

/// The same. Throws `std::invalid_argument` that names what is wrong.
inline Options validated(Options options) {
    if (options.host.empty()) throw std::invalid_argument{"weir: hiredis::Options::host must not be empty"};
    if (options.port == 0) throw std::invalid_argument{"weir: hiredis::Options::port must not be 0"};
    if (!options.user.empty() && options.password.empty())
        throw std::invalid_argument{"weir: hiredis::Options::password must not be empty where there is a user"};
    if (options.database < 0) throw std::invalid_argument{"weir: hiredis::Options::database must not be negative"};
    for (char const each : options.client_name)
        if (each < '!' || each > '~')
            throw std::invalid_argument{"weir: hiredis::Options::client_name must have neither spaces nor controls"};
    if (options.command_timeout <= options.command_timeout.zero() ||
        options.command_timeout > adapters::longest_timeout)
        throw std::invalid_argument{"weir: hiredis::Options::command_timeout must be above zero, and at most a year"};
    return options;
}

/// Session state, for `weir::SettingBuckets`. What is not given stays as it was connected with.
struct Settings {
    std::optional<int> database{};
    std::optional<std::string> client_name{};

    bool operator==(Settings const&) const = default;
};

namespace detail {

/// What is said to a server, and what is made of its replies.
class Protocol {
public:
    explicit Protocol(Options options) : options_{validated(std::move(options))} {}

    Options const& options() const noexcept { return options_; }

    /// The last one is a PING: only a server that serves answers it.
    Pipeline hello() const {
        Pipeline commands;
        sign_in(commands);
        if (options_.database != 0) commands.add("SELECT", options_.database);
        if (!options_.client_name.empty()) commands.add("CLIENT", "SETNAME", options_.client_name);
        commands.add("PING");
        return commands;
    }
    void greeted(Connection& conn, std::vector<Reply> const& replies) const {
        for (std::size_t i = 0; i != replies.size(); ++i) {
            bool const may_not_ping = i + 1 == replies.size() && replies[i].error() == Errc::no_permission;
            if (!may_not_ping) replies[i].throw_error();
        }
        conn.settle();
    }

    Pipeline apply(Settings const& settings) const {
        Pipeline commands;
        if (settings.database) commands.add("SELECT", *settings.database);
        if (settings.client_name) commands.add("CLIENT", "SETNAME", *settings.client_name);
        return commands;
    }
    void applied(Connection& conn, std::vector<Reply> const& replies) const {
        for (Reply const& reply : replies) reply.throw_error();
        conn.settle();
    }

    /// RESET (Redis 6.2) takes back what nobody has kept track of too, and the user.
    Pipeline reset() const {
        Pipeline commands;
        commands.add("RESET");
        sign_in(commands);
        commands.add("SELECT", options_.database).add("CLIENT", "SETNAME", options_.client_name);
        return commands;
    }
    void done_reset(Connection& conn, std::vector<Reply> const& replies) const {
        // Where there is none, the others have taken back what settings can be.
        if (replies.front().error() != Errc::unknown_command) replies.front().throw_error();
        for (std::size_t i = 1; i != replies.size(); ++i) replies[i].throw_error();
        conn.settle();
    }

private:
    void sign_in(Pipeline& commands) const {
        if (options_.password.empty()) return;
        if (options_.user.empty())
            commands.add("AUTH", options_.password);
        else
            commands.add("AUTH", options_.user, options_.password);
    }

    Options options_;
};

}  // namespace detail

/// Opens connections on the pool's executor.
///
/// A connection that comes back with a reply outstanding, in a transaction, subscribed, or with its database, name or
/// user changed by commands, is closed; see `Connection::fit`.
///
/// With `SettingBuckets<Settings>` an acquire gets one with the database and the name it asks for.
class Connector {
public:
    Connector() : Connector{Options{}} {}

    /// Throws `std::invalid_argument` that names what is wrong. Nothing is connected yet.
    explicit Connector(Options options) : protocol_{std::move(options)} {}

    boost::asio::awaitable<Connection> connect(ConnectContext const& context) const {
        auto servers = co_await resolve();
        auto conn = co_await Connection::async_open(std::move(servers), context.executor, options().command_timeout);
        auto const replies = co_await conn.async_pipeline(protocol_.hello());
        protocol_.greeted(conn, replies);
        conn.watch(context.evictor);
        co_return conn;
    }

    boost::asio::awaitable<bool> check(Connection& conn) const {
        if (!conn.alive()) co_return false;
        if (options().check == Check::round_trip) co_await conn.async_command("PING");
        co_return true;
    }

    boost::asio::awaitable<void> apply(Connection& conn, Settings const& settings) const {
        auto const replies = co_await conn.async_pipeline(protocol_.apply(settings));
        protocol_.applied(conn, replies);
    }

    boost::asio::awaitable<void> reset(Connection& conn) const {
        auto const replies = co_await conn.async_pipeline(protocol_.reset());
        protocol_.done_reset(conn, replies);
    }

    bool recycle(Connection& conn) const noexcept { return conn.fit(); }

private:
    Options const& options() const noexcept { return protocol_.options(); }

    boost::asio::awaitable<Connection::Endpoints> resolve() const {
        boost::system::error_code is_name;
        auto const address = boost::asio::ip::make_address(options().host, is_name);
        if (!is_name) co_return Connection::Endpoints{{address, options().port}};
        // Ends when the system's look-up does, also when it is cancelled before.
        boost::asio::ip::tcp::resolver resolver{co_await boost::asio::this_coro::executor};
        auto const found =
            co_await resolver.async_resolve(options().host, std::to_string(options().port), boost::asio::use_awaitable);
        co_return Connection::Endpoints{found.begin(), found.end()};
    }

    detail::Protocol protocol_;
};

/// As `Connector`, for programs of threads: connects, checks and sets on the thread that needs the connection, or on one
/// of the pool's workers, and needs no executor.
class BlockingConnector {
public:
    BlockingConnector() : BlockingConnector{Options{}} {}
    explicit BlockingConnector(Options options) : protocol_{std::move(options)} {}

    Connection connect(ConnectContext const& context) const {
        boost::asio::io_context unused;
        boost::asio::ip::tcp::resolver resolver{unused};
        auto const found = resolver.resolve(options().host, std::to_string(options().port));
        Connection::Endpoints const servers{found.begin(), found.end()};
        auto conn = Connection::open(servers, context.deadline, options().command_timeout);
        protocol_.greeted(conn, conn.pipeline_until(context.deadline, protocol_.hello()));
        conn.watch(context.evictor);
        return conn;
    }

    bool check(Connection& conn) const {
        if (!conn.alive()) return false;
        if (options().check == Check::round_trip) conn.command("PING");
        return true;
    }

    void apply(Connection& conn, Settings const& settings) const {
        protocol_.applied(conn, conn.pipeline(protocol_.apply(settings)));
    }

    void reset(Connection& conn) const { protocol_.done_reset(conn, conn.pipeline(protocol_.reset())); }

    bool recycle(Connection& conn) const noexcept { return conn.fit(); }

private:
    Options const& options() const noexcept { return protocol_.options(); }

    detail::Protocol protocol_;
};

}  // namespace weir::hiredis

template <>
struct std::hash<weir::hiredis::Settings> {
    std::size_t operator()(weir::hiredis::Settings const& settings) const {
        std::size_t seed = 0;
        boost::hash_combine(seed, settings.database.value_or(-1));
        boost::hash_combine(seed, settings.client_name.has_value());
        boost::hash_combine(seed, settings.client_name.value_or(std::string{}));
        return seed;
    }
};
