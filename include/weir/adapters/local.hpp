#pragma once
// Streams of UNIX domain sockets, by Asio: `weir::local::Connector{{.path = "/run/cache.sock"}}`. Else as in tcp.hpp.

#include <sys/un.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <weir/adapters/stream.hpp>
#include <weir/connector.hpp>

namespace weir::local {

/// A connected stream: `conn.stream()` is a `boost::asio::local::stream_protocol::socket`. As `tcp::Connection`.
using Connection = adapters::StreamConnection<boost::asio::local::stream_protocol>;

/// What to connect to.
struct Options {
    /// Of the socket; one that begins with a zero byte is a name in Linux's abstract namespace.
    std::string path{};

    /// Throws `std::invalid_argument` naming the field that is wrong.
    void validate() const {
        if (path.empty()) throw std::invalid_argument{"weir: local::Options::path must not be empty"};
        if (path.size() >= sizeof(sockaddr_un::sun_path))
            throw std::invalid_argument{"weir: local::Options::path must be shorter than 108 bytes"};
    }
};

/// Opens connections on the pool's executor. As `tcp::Connector`; a server whose queue is full is `try_again`, at once.
///
/// Distinct objects: safe. Shared objects: safe.
class Connector : public adapters::StreamHooks {
public:
    explicit Connector(Options options) : options_{std::move(options)} { options_.validate(); }

    boost::asio::awaitable<Connection> connect(ConnectContext const& context) const {
        return adapters::async_connect_in_turn<boost::asio::local::stream_protocol>(context, options_.path,
                                                                                    {options_.path}, [](auto&) {});
    }

    /// As that of `tcp::Connector`.
    boost::asio::awaitable<bool> check(Connection& conn) const { co_return conn.is_quiet(); }

private:
    Options options_;
};

/// Opens connections on the thread that asks. As `tcp::BlockingConnector`.
class BlockingConnector : public adapters::StreamHooks {
public:
    explicit BlockingConnector(Options options) : options_{std::move(options)} { options_.validate(); }

    Connection connect(ConnectContext const& context) const {
        return adapters::connect_in_turn<boost::asio::local::stream_protocol>(context, options_.path, {options_.path},
                                                                              [](auto&) {});
    }

    bool check(Connection& conn) const noexcept { return conn.is_quiet(); }

private:
    Options options_;
};

}  // namespace weir::local
