#pragma once
// TCP streams, by Asio.
//
//     using namespace weir;
//     Pool<tcp::Connection, Upkeep> pool{io.get_executor(), tcp::Connector{{.host = "cache", .service = "11211"}},
//                                        {.upkeep = {.check_after_idle = 1s}}};
//     auto lease = co_await pool.async_acquire(asio::use_awaitable);
//     co_await asio::async_write(lease->stream(), asio::buffer(request), asio::use_awaitable);

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <weir/adapters/stream.hpp>
#include <weir/connector.hpp>
#include <weir/error.hpp>

namespace weir::tcp {

/// A connected stream: `conn.stream()` is a `boost::asio::ip::tcp::socket`.
///
/// What is given back is lent again as it is. Who leaves half a request or half an answer in the stream calls
/// `lease.discard()`; a pool with the policy `DiscardOnException` does so for a lease that an exception drops.
using Connection = adapters::StreamConnection<boost::asio::ip::tcp>;

/// How the system finds out that the peer of a quiet connection has vanished without a word: a probe after `idle`,
/// then every `interval`; `count` in a row without an answer end it.
struct KeepAlive {
    std::chrono::seconds idle{60};
    std::chrono::seconds interval{10};
    int count = 3;
};

/// What to connect to, and how. TCP_NODELAY is always on: who asks and then waits must not be held back.
struct Options {
    /// A name or an address.
    std::string host{};
    /// A port's number, or a name such as "https".
    std::string service{};
    /// None: no probes.
    std::optional<KeepAlive> keep_alive = KeepAlive{};
    /// How long what was sent may stay unacknowledged before the connection fails (RFC 5482); it also takes the place
    /// of `KeepAlive::count`. 0: as the system does, which may be a quarter of an hour.
    std::chrono::milliseconds user_timeout{0};
    /// The address to connect from. None: the system chooses.
    std::optional<boost::asio::ip::address> local{};

    /// Throws `std::invalid_argument` naming the field that is wrong.
    void validate() const {
        auto const check = [](bool good, char const* text) {
            if (!good) throw std::invalid_argument{text};
        };
        check(!host.empty(), "weir: tcp::Options::host must not be empty");
        check(!service.empty(), "weir: tcp::Options::service must not be empty");
        check(user_timeout.count() >= 0, "weir: tcp::Options::user_timeout must not be negative");
        check(user_timeout.count() <= INT32_MAX, "weir: tcp::Options::user_timeout must be less than 24 days");
        if (!keep_alive) return;
        // The bounds are Linux's.
        auto const in_bounds = [](std::chrono::seconds time) { return time.count() >= 1 && time.count() <= 32767; };
        check(in_bounds(keep_alive->idle), "weir: tcp::KeepAlive::idle must be from 1 s to 32767 s");
        check(in_bounds(keep_alive->interval), "weir: tcp::KeepAlive::interval must be from 1 s to 32767 s");
        check(keep_alive->count >= 1 && keep_alive->count <= 127, "weir: tcp::KeepAlive::count must be from 1 to 127");
    }

    /// For people.
    std::string name() const {
        bool const has_colons = host.find(':') != std::string::npos;
        return (has_colons ? "[" + host + "]" : host) + ":" + service;
    }
};

namespace detail {

using boost::asio::ip::tcp;
using Endpoints = std::vector<tcp::endpoint>;

inline Endpoints endpoints_of(tcp::resolver::results_type const& found) { return {found.begin(), found.end()}; }

/// Of an address and a number, which need no looking up, and so no other thread.
inline std::optional<tcp::endpoint> parse(std::string const& host, std::string const& service) {
    std::uint16_t port{};
    auto const* const end = service.data() + service.size();
    auto const [parsed, bad] = std::from_chars(service.data(), end, port);
    boost::system::error_code ec;
    auto const address = boost::asio::ip::make_address(host, ec);
    if (ec || bad != std::errc{} || parsed != end) return std::nullopt;
    return tcp::endpoint{address, port};
}

[[noreturn]] inline void fail_to_resolve(boost::system::error_code why, Options const& options) {
    throw boost::system::system_error{why, "weir: cannot resolve " + options.name()};
}

/// Does not wait for the system's resolver, which cannot be interrupted, once it is cancelled (terminal). The resolver
/// keeps the executor's context busy until it has given up itself.
inline boost::asio::awaitable<Endpoints> async_resolve(Options const& options) {
    if (auto const numeric = parse(options.host, options.service)) co_return Endpoints{*numeric};

    struct Lookup {
        explicit Lookup(boost::asio::any_io_executor const& strand)
            : resolver{strand}, done{strand, boost::asio::steady_timer::time_point::max()} {}
        tcp::resolver resolver;
        boost::asio::steady_timer done;
        bool finished = false;
        boost::system::error_code failed{};
        Endpoints found{};
    };
    boost::asio::any_io_executor const strand = co_await boost::asio::this_coro::executor;
    auto const lookup = std::make_shared<Lookup>(strand);
    lookup->resolver.async_resolve(
        options.host, options.service,
        [lookup](boost::system::error_code failed, tcp::resolver::results_type const& found) {
            lookup->finished = true;
            lookup->failed = failed;
            lookup->found = endpoints_of(found);
            lookup->done.cancel();
        });
    co_await lookup->done.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    if (!lookup->finished) {
        lookup->resolver.cancel();
        throw boost::system::system_error{boost::asio::error::operation_aborted};
    }
    if (lookup->failed) fail_to_resolve(lookup->failed, options);
    co_return std::move(lookup->found);
}

/// As `async_resolve`, for a thread that may wait until the deadline, and no longer than until the pool closes: the
/// system's resolver waits on a thread of its own, which nobody waits for.
inline Endpoints resolve(Options const& options, ConnectContext const& context) {
    if (auto const numeric = parse(options.host, options.service)) return {*numeric};

    struct Lookup {
        std::mutex mutex;  // protects all below
        std::condition_variable_any done;
        bool finished = false;
        boost::system::error_code failed{};
        Endpoints found{};
    };
    auto const lookup = std::make_shared<Lookup>();
    std::thread{[lookup, host = options.host, service = options.service] {
        boost::asio::io_context unused;
        boost::system::error_code failed;
        auto found = endpoints_of(tcp::resolver{unused}.resolve(host, service, failed));
        std::lock_guard const lock{lookup->mutex};
        lookup->failed = failed;
        lookup->found = std::move(found);
        lookup->finished = true;
        lookup->done.notify_all();
    }}.detach();
    std::unique_lock lock{lookup->mutex};
    lookup->done.wait_until(lock, context.lifetime.stop_token(), context.deadline, [&] { return lookup->finished; });
    if (context.lifetime.stopped()) throw boost::system::system_error{boost::asio::error::operation_aborted};
    if (!lookup->finished) fail_to_resolve(Errc::timed_out, options);
    if (lookup->failed) fail_to_resolve(lookup->failed, options);
    return std::move(lookup->found);
}

inline void set_option(tcp::socket& socket, int name, int value) {
    if (::setsockopt(socket.native_handle(), IPPROTO_TCP, name, &value, sizeof(value)) != 0)
        throw boost::system::system_error{errno, boost::system::system_category(), "setsockopt"};
}

inline void prepare(tcp::socket& socket, Options const& options) {
    if (options.local) socket.bind({*options.local, 0});
    socket.set_option(tcp::no_delay{true});
    if (options.user_timeout.count() != 0)
        set_option(socket, TCP_USER_TIMEOUT, static_cast<int>(options.user_timeout.count()));
    if (!options.keep_alive) return;
    socket.set_option(boost::asio::socket_base::keep_alive{true});
    set_option(socket, TCP_KEEPIDLE, static_cast<int>(options.keep_alive->idle.count()));
    set_option(socket, TCP_KEEPINTVL, static_cast<int>(options.keep_alive->interval.count()));
    set_option(socket, TCP_KEEPCNT, options.keep_alive->count);
}

}  // namespace detail

/// Opens connections on the pool's executor.
///
/// Errors are the system's and the resolver's (`connection_refused`, `host_not_found`, …), their text says of what. A
/// host with several addresses is tried at each, in the resolver's order, the time that is left being shared evenly,
/// so that one that does not answer leaves time for the next; the error is that of the last.
///
/// Distinct objects: safe. Shared objects: safe.
class Connector : public adapters::StreamHooks {
public:
    /// Throws `std::invalid_argument` naming the option that is wrong.
    explicit Connector(Options options) : options_{std::move(options)} { options_.validate(); }

    boost::asio::awaitable<Connection> connect(ConnectContext const& context) const {
        auto addresses = co_await detail::async_resolve(options_);
        auto conn = co_await connect_to(context, std::move(addresses));
        co_return conn;
    }

    /// As `connect`, for those who know the addresses from elsewhere than from the system's resolver.
    boost::asio::awaitable<Connection> connect_to(ConnectContext const& context,
                                                  std::vector<boost::asio::ip::tcp::endpoint> addresses) const {
        return adapters::async_connect_in_turn<boost::asio::ip::tcp>(
            context, options_.name(), std::move(addresses),
            [this](boost::asio::ip::tcp::socket& socket) { detail::prepare(socket, options_); });
    }

    /// Whether it is quiet: open, as far as is known here, and nothing in it that nobody has asked for.
    ///
    /// A look, no round trip, and nothing is read. What a server says unasked, between an answer and the next question,
    /// belongs to a broken or a dying conversation; for protocols in which it may speak first write a connector with a
    /// `check` of its own around this one.
    boost::asio::awaitable<bool> check(Connection& conn) const { co_return conn.is_quiet(); }

    Options const& options() const noexcept { return options_; }

private:
    Options options_;
};

/// Opens connections on the thread that asks, for those who use `stream()` without an event loop.
///
/// As `Connector` in all else. A wait ends at the deadline, or when the pool closes.
class BlockingConnector : public adapters::StreamHooks {
public:
    explicit BlockingConnector(Options options) : options_{std::move(options)} { options_.validate(); }

    Connection connect(ConnectContext const& context) const {
        return connect_to(context, detail::resolve(options_, context));
    }

    Connection connect_to(ConnectContext const& context,
                          std::vector<boost::asio::ip::tcp::endpoint> const& addresses) const {
        return adapters::connect_in_turn<boost::asio::ip::tcp>(
            context, options_.name(), addresses,
            [this](boost::asio::ip::tcp::socket& socket) { detail::prepare(socket, options_); });
    }

    bool check(Connection& conn) const noexcept { return conn.is_quiet(); }

    Options const& options() const noexcept { return options_; }

private:
    Options options_;
};

}  // namespace weir::tcp
