// A TCP relay in front of a server, which can be shut: to its clients the server is out of reach then.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <list>
#include <memory>
#include <thread>

namespace query_service {

/// Listens on 127.0.0.1, at a port that was free. Works on a thread of its own. Thread-safe.
class Relay {
public:
    using Protocol = boost::asio::generic::stream_protocol;

    /// Throws `system_error` when it cannot listen.
    explicit Relay(Protocol::endpoint server);
    ~Relay();
    Relay(Relay const&) = delete;
    Relay& operator=(Relay const&) = delete;

    std::uint16_t port() const noexcept { return port_; }

    /// Drops all clients, and whoever comes from now on. Returns when that is done.
    void shut();
    void open();

private:
    using Tcp = boost::asio::ip::tcp;

    /// A client, and its line to the server.
    struct Pair {
        explicit Pair(Tcp::socket socket) : client(std::move(socket)), server(client.get_executor()) {}
        void close() noexcept;
        Tcp::socket client;
        Protocol::socket server;
    };

    boost::asio::awaitable<void> accept();
    boost::asio::awaitable<void> serve(std::shared_ptr<Pair> pair);
    template <class From, class To>
    static boost::asio::awaitable<void> copy(From& from, To& to, std::shared_ptr<Pair> pair);

    // All but the port belongs to the thread.
    boost::asio::io_context io_{1};
    Protocol::endpoint server_;
    Tcp::acceptor acceptor_;
    std::uint16_t port_;
    bool shut_ = false;
    std::list<std::weak_ptr<Pair>> pairs_;
    std::jthread thread_;
};

}  // namespace query_service
