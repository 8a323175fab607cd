#include "relay.hpp"

#include <sys/socket.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <utility>

namespace query_service {

namespace asio = boost::asio;

Relay::Relay(Protocol::endpoint server)
    : server_(std::move(server)),
      acceptor_(io_, Tcp::endpoint{asio::ip::address_v4::loopback(), 0}),
      port_(acceptor_.local_endpoint().port()) {
    asio::co_spawn(io_, accept(), asio::detached);
    thread_ = std::jthread{[this] { io_.run(); }};
}

Relay::~Relay() {
    io_.stop();
    thread_.join();  // before what it uses goes
}

void Relay::shut() {
    asio::post(io_, asio::use_future([this] {
                   shut_ = true;
                   for (auto const& each : pairs_) {
                       if (auto const pair = each.lock()) {
                           pair->close();
                       }
                   }
                   pairs_.clear();
               }))
        .get();
}

void Relay::open() {
    asio::post(io_, asio::use_future([this] { shut_ = false; })).get();
}

void Relay::Pair::close() noexcept {
    boost::system::error_code ignored;
    client.close(ignored);
    server.close(ignored);
}

asio::awaitable<void> Relay::accept() {
    asio::steady_timer pause{io_};
    for (;;) {
        try {
            auto const pair = std::make_shared<Pair>(co_await acceptor_.async_accept(asio::use_awaitable));
            if (shut_) {
                continue;  // and the client finds itself dropped
            }
            pairs_.remove_if([](auto const& each) { return each.expired(); });
            pairs_.push_back(pair);
            asio::co_spawn(io_, serve(pair), asio::detached);
            continue;
        } catch (boost::system::system_error const&) {
            // A client that was gone at once, or no descriptor left.
        }
        pause.expires_after(std::chrono::milliseconds{10});
        co_await pause.async_wait(asio::use_awaitable);
    }
}

asio::awaitable<void> Relay::serve(std::shared_ptr<Pair> pair) {
    try {
        co_await pair->server.async_connect(server_, asio::use_awaitable);
        pair->client.set_option(Tcp::no_delay{true});
        if (server_.protocol().family() != AF_UNIX) {
            pair->server.set_option(Tcp::no_delay{true});
        }
    } catch (boost::system::system_error const&) {
        pair->close();
        co_return;
    }
    asio::co_spawn(io_, copy(pair->client, pair->server, pair), asio::detached);
    asio::co_spawn(io_, copy(pair->server, pair->client, pair), asio::detached);
}

template <class From, class To>
asio::awaitable<void> Relay::copy(From& from, To& to, std::shared_ptr<Pair> pair) {
    std::array<char, 8192> buffer{};
    try {
        for (;;) {
            std::size_t const size = co_await from.async_read_some(asio::buffer(buffer), asio::use_awaitable);
            co_await asio::async_write(to, asio::buffer(buffer.data(), size), asio::use_awaitable);
        }
    } catch (boost::system::system_error const&) {
        pair->close();  // one side has ended: so has the other
    }
}

}  // namespace query_service
