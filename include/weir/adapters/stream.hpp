#pragma once
// What the adapters of Asio's own sockets share: one address after the other within a time, a look, an end.

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <sstream>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>
#include <weir/adapters/hangup_watch.hpp>
#include <weir/adapters/socket.hpp>
#include <weir/connector.hpp>
#include <weir/error.hpp>
#include <weir/lifetime.hpp>

namespace weir::adapters {

/// A connected stream socket of `Protocol`.
///
/// As any socket of Asio's it must not outlive the context of its executor, which is the pool's: the pool is closed first.
///
/// Distinct objects: safe. Shared objects: unsafe.
template <class Protocol>
class StreamConnection {
public:
    using Stream = boost::asio::basic_stream_socket<Protocol>;

    /// The pool is told when the peer hangs up while it lies idle.
    StreamConnection(Stream stream, Evictor const& evictor)
        : stream_{std::move(stream)}, hangup_{stream_.native_handle(), evictor} {}

    /// For all that Asio and Boost.Beast do with streams. Its executor is the pool's; handlers run where they say.
    Stream& stream() noexcept { return stream_; }

    int native_handle() noexcept { return stream_.native_handle(); }

    /// Whether the peer is known to have hung up. Looks at nothing but memory.
    bool hung_up() const noexcept { return hangup_.heard(); }

    /// Whether it is open as far as is known here, and nothing has come that nobody has read. Reads nothing.
    bool is_quiet() noexcept { return stream_.is_open() && look_at(native_handle()) == SocketState::quiet; }

private:
    Stream stream_;
    HangupWatch hangup_;
};

/// The hooks of connectors of such connections that neither wait nor speak to the server.
struct StreamHooks {
    /// One whose stream its user has closed, or its peer, is not kept. Looks at nothing but memory.
    template <class Protocol>
    bool recycle(StreamConnection<Protocol>& conn) const noexcept {
        return conn.stream().is_open() && !conn.hung_up();
    }

    /// Tells the peer that nothing more will come, and waits for nothing.
    template <class Protocol>
    void close(StreamConnection<Protocol>& conn) const noexcept {
        boost::system::error_code ignored;
        conn.stream().shutdown(boost::asio::socket_base::shutdown_both, ignored);
        conn.stream().close(ignored);
    }
};

/// Has the waits for a socket on other threads end when a pool begins to close, for as long as this lives.
class EndOnStop {
public:
    EndOnStop(Lifetime const& lifetime, int socket) : callback_{lifetime.stop_token(), Shutdown{socket}} {}

private:
    struct Shutdown {
        int socket;
        // Unlike a close it leaves the number alone, and a socket that is still connecting is woken by it, too.
        void operator()() const noexcept { ::shutdown(socket, SHUT_RDWR); }
    };

    std::stop_callback<Shutdown> callback_;
};

namespace detail {

using time_point = std::chrono::steady_clock::time_point;

/// Until when the first of `left` addresses may take its time: what there is is shared evenly.
inline time_point share_of(time_point deadline, std::size_t left) {
    auto const now = std::chrono::steady_clock::now();
    return now + (deadline - now) / static_cast<std::chrono::steady_clock::rep>(left);
}

/// Cancels what a socket waits for when a time has come, unless this has gone by then. All in one strand.
class Cutoff {
public:
    template <class Socket>
    Cutoff(boost::asio::any_io_executor const& strand, time_point at, Socket& socket) : timer_{strand, at} {
        timer_.async_wait([&socket, alive = std::weak_ptr<int>{alive_}](boost::system::error_code failed) {
            if (failed || alive.expired()) return;
            boost::system::error_code ignored;
            socket.cancel(ignored);
        });
    }

private:
    std::shared_ptr<int> const alive_ = std::make_shared<int>();
    boost::asio::steady_timer timer_;
};

template <class Endpoint>
std::string text_of(std::string const& name, Endpoint const& endpoint) {
    std::ostringstream text;
    text << endpoint;
    return "weir: cannot connect to " + name + (text.str() == name ? "" : " (" + text.str() + ")");
}

/// What Asio takes for success, too: a UNIX socket's connect that found the server's queue full, and does not wait.
template <class Socket, class Endpoint>
bool was_turned_away(Socket const& socket, Endpoint const& endpoint) {
    boost::system::error_code ec;
    return endpoint.protocol().family() == AF_UNIX && (socket.remote_endpoint(ec), ec.failed());
}

template <class Socket, class Endpoint, class Prepare>
boost::system::error_code open(Socket& socket, Endpoint const& endpoint, Prepare const& prepare) {
    try {
        socket.open(endpoint.protocol());
        prepare(socket);
    } catch (boost::system::system_error const& error) {
        return error.code();
    }
    return {};
}

template <class Socket, class Endpoint>
boost::system::error_code connect_until(Socket& socket, Endpoint const& endpoint, time_point deadline,
                                        Lifetime const& lifetime) {
    using boost::system::error_code;
    error_code ec;
    int const handle = socket.native_handle();
    EndOnStop const interrupt{lifetime, handle};
    socket.non_blocking(true, ec);
    if (ec) return ec;
    if (::connect(handle, endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0) {
        if (errno != EINPROGRESS && errno != EINTR) return {errno, boost::system::system_category()};
        // A stop that came before the connect had nothing to wake.
        if (lifetime.stopped()) return boost::asio::error::operation_aborted;
        try {
            wait_for(handle, POLLOUT, deadline);
        } catch (boost::system::system_error const& error) {
            return error.code();
        }
        int failed = 0;
        socklen_t size = sizeof(failed);
        if (::getsockopt(handle, SOL_SOCKET, SO_ERROR, &failed, &size) != 0) failed = errno;
        if (failed != 0) return {failed, boost::system::system_category()};
    }
    socket.non_blocking(false, ec);
    return ec;
}

}  // namespace detail

/// Connects to the first of the addresses that answers, each in turn with its share of the time that is left.
///
/// `prepare(socket)` is called with each that is open and not connected yet; what it throws is that address's error.
/// Throws `system_error`: the error of the last address, or operation_aborted when cancelled (terminal).
template <class Protocol, class Prepare>
boost::asio::awaitable<StreamConnection<Protocol>> async_connect_in_turn(
    ConnectContext const& context, std::string name, std::vector<typename Protocol::endpoint> endpoints,
    Prepare prepare) {
    boost::asio::any_io_executor const strand = co_await boost::asio::this_coro::executor;
    boost::system::error_code failed = boost::asio::error::host_not_found;
    std::string text = "weir: no address of " + name;
    for (std::size_t i = 0; i != endpoints.size(); ++i) {
        auto const& endpoint = endpoints[i];
        typename StreamConnection<Protocol>::Stream socket{context.executor};
        failed = detail::open(socket, endpoint, prepare);
        if (!failed) {
            std::optional<detail::Cutoff> cutoff;  // none for the last, which the pool cuts off
            if (auto const left = endpoints.size() - i; left > 1)
                cutoff.emplace(strand, detail::share_of(context.deadline, left), socket);
            auto const [ec] =
                co_await socket.async_connect(endpoint, boost::asio::as_tuple(boost::asio::use_awaitable));
            failed = ec;
            if (!failed && detail::was_turned_away(socket, endpoint)) failed = boost::asio::error::try_again;
        }
        if (!failed) co_return StreamConnection<Protocol>{std::move(socket), context.evictor};

        auto const state = co_await boost::asio::this_coro::cancellation_state;
        if (state.cancelled() != boost::asio::cancellation_type::none)
            throw boost::system::system_error{boost::asio::error::operation_aborted};
        if (failed == boost::asio::error::operation_aborted) failed = Errc::timed_out;
        text = detail::text_of(name, endpoint);
    }
    throw boost::system::system_error{failed, text};
}

/// As `async_connect_in_turn`, on this thread. Throws operation_aborted when the pool closes meanwhile.
template <class Protocol, class Prepare>
StreamConnection<Protocol> connect_in_turn(ConnectContext const& context, std::string const& name,
                                           std::vector<typename Protocol::endpoint> const& endpoints,
                                           Prepare const& prepare) {
    boost::system::error_code failed = boost::asio::error::host_not_found;
    std::string text = "weir: no address of " + name;
    for (std::size_t i = 0; i != endpoints.size(); ++i) {
        auto const& endpoint = endpoints[i];
        typename StreamConnection<Protocol>::Stream socket{context.executor};
        failed = detail::open(socket, endpoint, prepare);
        if (!failed) {
            auto const until = detail::share_of(context.deadline, endpoints.size() - i);
            failed = detail::connect_until(socket, endpoint, until, context.lifetime);
        }
        if (!failed) return StreamConnection<Protocol>{std::move(socket), context.evictor};
        if (context.lifetime.stopped()) throw boost::system::system_error{boost::asio::error::operation_aborted};
        text = detail::text_of(name, endpoint);
    }
    throw boost::system::system_error{failed, text};
}

}  // namespace weir::adapters
