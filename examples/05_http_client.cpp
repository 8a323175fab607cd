// An HTTP/1.1 client by Boost.Beast that keeps its connections: to a server in here, or by TLS to the HOST it is given.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <exception>
#include <iostream>
#include <string>
#include <weir/adapters/tcp.hpp>
#include <weir/adapters/tls.hpp>
#include <weir/pool.hpp>

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using namespace std::chrono_literals;

// Idle streams are looked at, as servers hang up; one that an exception leaves, with half an answer in it, is closed.
template <class Conn>
using HttpPool = weir::Pool<Conn, weir::Upkeep, weir::DiscardOnException>;

template <class Conn>
asio::awaitable<void> get(HttpPool<Conn>& pool, std::string host, std::string target) {
    http::request<http::empty_body> request{http::verb::get, target, 11};
    request.set(http::field::host, host);
    auto conn = co_await pool.async_acquire();
    co_await http::async_write(conn->stream(), request, asio::use_awaitable);
    boost::beast::flat_buffer buffer;
    http::response<http::string_body> response;
    co_await http::async_read(conn->stream(), buffer, response, asio::use_awaitable);
    std::cout << target << ": " << response.result_int() << " over connection " << conn.id() << "\n";
    if (!response.keep_alive()) conn.discard();
}

// 0 when all are answered.
template <class Conn, class Connector>
int run(asio::io_context& io, Connector connector, std::string const& host, tcp::acceptor& server) {
    HttpPool<Conn> pool{io.get_executor(), connector, {.size = {.high = 3}, .upkeep = {.check_after_idle = 1s}}};
    int left = 12, failed = 0;
    auto const done = [&](std::exception_ptr const& error) {
        failed += error ? 1 : 0;
        if (--left == 0) pool.async_close([&](boost::system::error_code) { server.close(); });
    };
    for (int i = 0; i < 12; ++i) asio::co_spawn(io, get(pool, host, "/?" + std::to_string(i)), done);
    io.run();
    if (auto const failure = pool.last_connect_failure()) std::cout << failure->text << "\n";
    std::cout << 12 - failed << " answers over " << pool.stats().connected << " connections\n";
    return failed == 0 ? 0 : 1;
}

asio::awaitable<void> answer(tcp::socket socket) {
    for (boost::beast::flat_buffer buffer;;) {
        http::request<http::empty_body> request;
        co_await http::async_read(socket, buffer, request, asio::use_awaitable);
        http::response<http::string_body> response{http::status::ok, 11, "hello"};
        response.prepare_payload();
        co_await http::async_write(socket, response, asio::use_awaitable);
    }
}

asio::awaitable<void> serve(tcp::acceptor& door) {
    for (;;) co_spawn(door.get_executor(), answer(co_await door.async_accept(asio::use_awaitable)), asio::detached);
}

int main(int count, char** arguments) {
    asio::io_context io;
    tcp::acceptor server{io, {asio::ip::address_v4::loopback(), 0}};
    if (count > 1) {
        weir::tls::Connector const tls{{.tcp = {.host = arguments[1], .service = count > 2 ? arguments[2] : "https"}}};
        return run<weir::tls::Connection>(io, tls, arguments[1], server);
    }
    asio::co_spawn(io, serve(server), asio::detached);
    weir::tcp::Connector const tcp{{.host = "127.0.0.1", .service = std::to_string(server.local_endpoint().port())}};
    return run<weir::tcp::Connection>(io, tcp, "127.0.0.1", server);
}
