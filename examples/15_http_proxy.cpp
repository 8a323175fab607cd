// An HTTP proxy's connections to its upstreams, by host: never more than 24 in all and 8 to one host. Those to the host
// that was longest not asked for make room for others.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <exception>
#include <iostream>
#include <string>
#include <utility>
#include <vector>
#include <weir/adapters/tcp.hpp>
#include <weir/keyed_pool.hpp>

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

// Opens a connection to a host. All hosts are in here; elsewhere it would resolve the name.
struct Upstream : weir::adapters::StreamHooks {
    tcp::endpoint everywhere;

    asio::awaitable<weir::tcp::Connection> connect(std::string const& host, weir::ConnectContext const& context) const {
        weir::tcp::Connector const tcp{{.host = host, .service = "http"}};
        co_return co_await tcp.connect_to(context, std::vector(1, everywhere));
    }
};

using Pool = weir::KeyedPool<std::string, weir::tcp::Connection, weir::DiscardOnException>;

// What a proxy does with each request: sends it on, and its answer back.
asio::awaitable<http::response<http::string_body>> forward(Pool& pool, http::request<http::string_body> request) {
    auto conn = co_await pool.async_acquire(std::string{request[http::field::host]});
    co_await http::async_write(conn->stream(), request, asio::use_awaitable);
    boost::beast::flat_buffer buffer;
    http::response<http::string_body> response;
    co_await http::async_read(conn->stream(), buffer, response, asio::use_awaitable);
    if (!response.keep_alive()) conn.discard();
    co_return response;
}

asio::awaitable<void> answer(tcp::socket socket) {
    for (boost::beast::flat_buffer buffer;;) {
        http::request<http::string_body> request;
        co_await http::async_read(socket, buffer, request, asio::use_awaitable);
        http::response<http::string_body> response{http::status::ok, 11, std::string{request[http::field::host]}};
        response.prepare_payload();
        co_await http::async_write(socket, response, asio::use_awaitable);
    }
}

asio::awaitable<void> serve(tcp::acceptor& door) {
    for (;;) co_spawn(door.get_executor(), answer(co_await door.async_accept(asio::use_awaitable)), asio::detached);
}

int main() {
    asio::io_context io;
    tcp::acceptor hosts{io, {asio::ip::address_v4::loopback(), 0}};
    asio::co_spawn(io, serve(hosts), asio::detached);

    Pool pool{io.get_executor(), Upstream{{}, hosts.local_endpoint()}, {.per_key = {.size = {.high = 8}}, .total = 24}};
    int left = 300, right = 0;
    for (int i = 0; i < 300; ++i) {  // half of them for the same host
        std::string const host = "host" + std::to_string(i % 2 == 0 ? 0 : i % 30) + ".example";
        http::request<http::string_body> request{http::verb::get, "/", 11};
        request.set(http::field::host, host);
        auto const check = [&, host](std::exception_ptr const& error, http::response<http::string_body> response) {
            right += !error && response.body() == host ? 1 : 0;
            if (--left == 0) pool.async_close([&](boost::system::error_code) { hosts.close(); });
        };
        asio::co_spawn(io, forward(pool, std::move(request)), check);
    }
    io.run();
    std::cout << right << " of 300 right, over " << pool.stats().connected << " connections\n";
    return right == 300 ? 0 : 1;
}
