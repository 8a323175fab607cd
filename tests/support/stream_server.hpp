#pragma once
// A server of streams in this process, for tests of what connects to one.

#include "eventually.hpp"

#include <gtest/gtest.h>

#include <weir/adapters/hangup_watch.hpp>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/packaged_task.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <iterator>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>
#include <weir/connector.hpp>
#include <weir/detail/supply.hpp>

namespace weir::test {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

/// What a session does: until the peer hangs up, which ends it by an exception.
template <class Stream>
asio::awaitable<void> echo(Stream& stream) {
    std::array<char, 4096> buffer{};
    for (;;) {
        auto const size = co_await stream.async_read_some(asio::buffer(buffer), asio::use_awaitable);
        co_await asio::async_write(stream, asio::buffer(buffer, size), asio::use_awaitable);
    }
}

/// Listens and says nothing.
template <class Stream>
asio::awaitable<void> swallow(Stream& stream) {
    std::array<char, 4096> buffer{};
    for (;;) co_await stream.async_read_some(asio::buffer(buffer), asio::use_awaitable);
}

/// Runs sessions on a thread of its own. Thread-safe.
template <class Protocol, class Stream = typename Protocol::socket>
class StreamServer {
public:
    using Socket = typename Protocol::socket;
    using Open = std::function<asio::awaitable<Stream>(Socket)>;
    using Serve = std::function<asio::awaitable<void>(Stream&)>;

    explicit StreamServer(typename Protocol::endpoint const& at, Open open = &StreamServer::as_is,
                          Serve serve = &echo<Stream>)
        : open_{std::move(open)}, serve_{std::move(serve)}, acceptor_{io_, at} {
        asio::co_spawn(io_, accept(), asio::detached);
        thread_ = std::thread{[this] { io_.run(); }};
    }
    StreamServer(StreamServer const&) = delete;
    StreamServer& operator=(StreamServer const&) = delete;
    ~StreamServer() {
        work_.reset();
        asio::post(io_, [this] {
            acceptor_.close();
            for (auto& session : sessions_) session.stream.lowest_layer().close();
        });
        // What is in a handshake has no session yet.
        asio::post(io_, [this] { io_.stop(); });
        thread_.join();
    }

    auto endpoint() const { return acceptor_.local_endpoint(); }
    std::string service() const { return std::to_string(acceptor_.local_endpoint().port()); }

    /// How many there are now, and how many there have been.
    std::size_t open() {
        return ask([&] { return sessions_.size(); });
    }
    std::size_t opened() {
        return ask([&] { return opened_; });
    }

    /// How sessions have ended, or failed to begin, in that order.
    std::vector<error_code> ends() {
        return ask([&] { return ends_; });
    }

    /// Waits until so many have ended.
    bool have_ended(std::size_t count) {
        return eventually([&] { return ends().size() >= count; });
    }

    /// Does something to each that is open; has been done when this returns.
    void each(std::function<void(Stream&)> const& act) {
        ask([&] {
            for (auto& session : sessions_) act(session.stream);
            return 0;
        });
    }
    void close_all() {
        each([](Stream& stream) { stream.lowest_layer().close(); });
    }
    /// A FIN and no more: what comes is still read.
    void half_close_all() {
        each([](Stream& stream) { stream.lowest_layer().shutdown(Socket::shutdown_send); });
    }
    void reset_all() {
        each([](Stream& stream) {
            stream.lowest_layer().set_option(asio::socket_base::linger{true, 0});
            stream.lowest_layer().close();
        });
    }
    void say_to_all(std::string const& text) {
        each([&](Stream& stream) { asio::write(stream, asio::buffer(text)); });
    }

private:
    struct Session {
        Stream stream;
    };

    static asio::awaitable<Stream> as_is(Socket socket) {
        if constexpr (std::is_same_v<Stream, Socket>)
            co_return socket;
        else
            throw boost::system::system_error{asio::error::operation_not_supported};
    }

    asio::awaitable<void> accept() {
        for (;;) {
            auto socket = co_await acceptor_.async_accept(asio::use_awaitable);
            // What has been sent has come by then, and does not wait for an acknowledgement.
            if constexpr (std::is_same_v<Protocol, tcp>) socket.set_option(tcp::no_delay{true});
            asio::co_spawn(io_, serve(std::move(socket)), asio::detached);
        }
    }

    asio::awaitable<void> serve(Socket socket) {
        error_code end;
        auto session = sessions_.end();
        try {
            auto stream = co_await open_(std::move(socket));
            session = sessions_.insert(sessions_.end(), Session{std::move(stream)});
            ++opened_;
            co_await serve_(session->stream);
        } catch (boost::system::system_error const& error) {
            end = error.code();
        }
        if (session != sessions_.end()) sessions_.erase(session);
        ends_.push_back(end);
    }

    template <class Function>
    auto ask(Function function) {
        return asio::post(io_, std::packaged_task<decltype(function())()>{function}).get();
    }

    Open const open_;
    Serve const serve_;
    asio::io_context io_;
    asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
    typename Protocol::acceptor acceptor_;
    // Touched on the thread only.
    std::list<Session> sessions_;
    std::vector<error_code> ends_;
    std::size_t opened_ = 0;
    std::thread thread_;
};

inline tcp::endpoint anywhere() { return {asio::ip::address_v4::loopback(), 0}; }

/// What comes back over a stream for what is sent.
template <class Stream>
std::string exchange(Stream& stream, std::string const& question) {
    std::string answer(question.size(), '\0');
    asio::write(stream, asio::buffer(question));
    asio::read(stream, asio::buffer(answer));
    return answer;
}

/// How an acquire fails.
template <class Pool>
boost::system::system_error failure_of(Pool& pool) {
    try {
        (void)pool.acquire();
    } catch (boost::system::system_error const& error) {
        return error;
    }
    ADD_FAILURE() << "the acquire did not fail";
    return boost::system::system_error{error_code{}};
}

/// A connector whose pool is not told of peers that hang up, so that the check before a lease has to see it.
template <class Connector>
struct Unwatched : Connector {
    using Connector::Connector;

    auto connect(ConnectContext const& context) const {
        using Result = decltype(Connector::connect(context));
        auto unwatched = context;
        unwatched.evictor = {};
        if constexpr (detail::is_awaitable<Result>)
            return connect_later<Result>(std::move(unwatched));
        else
            return Connector::connect(unwatched);
    }

private:
    template <class Result>
    Result connect_later(ConnectContext context) const {
        auto conn = co_await Connector::connect(context);
        co_return conn;
    }
};

/// How many files, sockets and so on this process has open, that of the thread which watches for hang-ups included.
inline std::size_t open_descriptors() {
    weir::adapters::HangupWatch const of_nothing{-1, {}};  // starts that thread, if nothing has yet
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, std::filesystem::directory_iterator{}));
}

/// A server that takes no connection and refuses none: its queue is full.
class FullServer {
public:
    FullServer() : acceptor_{io_, anywhere()} {
        acceptor_.listen(0);
        filler_.connect(acceptor_.local_endpoint());
    }

    tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }
    std::string service() const { return std::to_string(endpoint().port()); }

private:
    asio::io_context io_;
    tcp::acceptor acceptor_;
    tcp::socket filler_{io_};
};

/// Where nobody listens: bound, so that nobody else comes to.
class DeadPort {
public:
    DeadPort() : socket_{io_, anywhere()} {}

    tcp::endpoint endpoint() const { return socket_.local_endpoint(); }
    std::string service() const { return std::to_string(endpoint().port()); }

private:
    asio::io_context io_;
    tcp::socket socket_;
};

}  // namespace weir::test
