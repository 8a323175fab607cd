// An echo server whose connections have a buffer only while there is something in it: 200 of them need a few.

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <iostream>
#include <utility>
#include <weir/buffer_pool.hpp>

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

// What has not been used for a second or two is given back to the system.
weir::BufferPool buffers{{.min = 4096, .max = 65536, .trim_every = std::chrono::seconds{1}}};

asio::awaitable<void> echo(tcp::socket socket) {
    auto const token = asio::as_tuple(asio::use_awaitable);
    for (;;) {
        // No buffer while nothing comes.
        auto const [none] = co_await socket.async_wait(tcp::socket::wait_read, token);
        if (none) co_return;
        auto buffer = buffers.acquire(10'000);
        auto const [ended, size] = co_await socket.async_read_some(asio::buffer(buffer), token);
        if (ended) co_return;
        buffer.resize(size);
        auto const [lost, sent] = co_await asio::async_write(socket, asio::buffer(buffer), token);
        if (lost) co_return;
    }  // here the buffer goes back, for some other connection
}

asio::awaitable<void> serve(tcp::acceptor& acceptor) {
    for (;;) {
        auto [closed, socket] = co_await acceptor.async_accept(asio::as_tuple(asio::use_awaitable));
        if (closed) co_return;
        asio::co_spawn(acceptor.get_executor(), echo(std::move(socket)), asio::detached);
    }
}

// One client, which talks now and then; the last one closes the server.
asio::awaitable<void> talk(tcp::acceptor& acceptor, int& left) {
    tcp::socket socket{acceptor.get_executor()};
    co_await socket.async_connect(acceptor.local_endpoint(), asio::use_awaitable);
    std::array<char, 1000> text{};
    for (int i = 0; i < 10; ++i) {
        co_await asio::async_write(socket, asio::buffer(text), asio::use_awaitable);
        co_await asio::async_read(socket, asio::buffer(text), asio::use_awaitable);
    }
    if (--left == 0) acceptor.close();
}

}  // namespace

int main() {
    asio::io_context io;
    tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
    asio::co_spawn(io, serve(acceptor), asio::detached);
    int clients = 200;
    for (int i = clients; i > 0; --i) asio::co_spawn(io, talk(acceptor, clients), asio::detached);
    io.run();

    auto const stats = buffers.stats();
    std::cout << "2000 messages of 200 connections; buffers: " << stats.made << " made, reused " << stats.reused
              << " times\n";
    return stats.leased == 0 && stats.made < 200 ? 0 : 1;
}
