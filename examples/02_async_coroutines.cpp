// A pool in coroutines: twelve clients of an echo server share three sockets, on one thread, and nobody blocks.
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <exception>
#include <iostream>
#include <string>
#include <weir/pool.hpp>

namespace asio = boost::asio;
using asio::ip::tcp;

asio::awaitable<void> echo(tcp::socket socket) {
    std::array<char, 64> buffer{};
    for (;;) {  // until the client hangs up, which ends this by an exception
        auto const size = co_await socket.async_read_some(asio::buffer(buffer), asio::use_awaitable);
        co_await asio::async_write(socket, asio::buffer(buffer, size), asio::use_awaitable);
    }
}

asio::awaitable<void> serve(tcp::acceptor& acceptor) {
    for (;;) {
        auto socket = co_await acceptor.async_accept(asio::use_awaitable);
        asio::co_spawn(acceptor.get_executor(), echo(std::move(socket)), asio::detached);
    }
}

using SocketPool = weir::Pool<tcp::socket>;

asio::awaitable<void> client(SocketPool& pool, int number) {
    auto socket = co_await pool.async_acquire();  // the coroutine waits, its thread goes on with others
    std::string const question = "hello from client " + std::to_string(number);
    std::string answer(question.size(), '\0');
    co_await asio::async_write(*socket, asio::buffer(question), asio::use_awaitable);
    co_await asio::async_read(*socket, asio::buffer(answer), asio::use_awaitable);
    std::cout << answer << " over connection " << socket.id() << "\n";
}

int main() {
    asio::io_context io;
    tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
    asio::co_spawn(io, serve(acceptor), asio::detached);

    // A connector may be a coroutine, too; the pool runs it on its executor.
    auto const connect = [server = acceptor.local_endpoint()]() -> asio::awaitable<tcp::socket> {
        tcp::socket socket{co_await asio::this_coro::executor};
        co_await socket.async_connect(server, asio::use_awaitable);
        co_return socket;
    };
    SocketPool pool{io.get_executor(), connect, {.size = {.high = 3}}};

    int left = 12;
    int failed = 0;
    for (int number = 0; number < 12; ++number) {
        asio::co_spawn(io, client(pool, number), [&](std::exception_ptr const& error) {
            failed += error ? 1 : 0;
            if (--left == 0) {
                pool.async_close([&](boost::system::error_code) { acceptor.close(); });
            }
        });
    }
    io.run();  // returns by itself: a pool that is closed leaves nothing behind

    std::cout << pool.stats().connected << " connections were opened\n";
    return failed == 0 ? 0 : 1;
}
