// An event loop per thread: then a pool per loop, too.
//
// A socket belongs to the loop it was made on: who uses it from another has each read and write completed there and then
// handed over, which wakes two threads in place of one. A pool of each loop's own hands over nothing. But what is idle
// in one loop is of no use to another: one pool for all is right where connections are dearer than time.
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <deque>
#include <future>
#include <iostream>
#include <string>
#include <weir/adapters/tcp.hpp>
#include <weir/pool.hpp>

namespace asio = boost::asio;
using asio::ip::tcp;
using Pool = weir::Pool<weir::tcp::Connection>;

asio::awaitable<void> echo(tcp::socket socket) {
    for (char byte{};;) {
        co_await asio::async_read(socket, asio::buffer(&byte, 1), asio::use_awaitable);
        co_await asio::async_write(socket, asio::buffer(&byte, 1), asio::use_awaitable);
    }
}

asio::awaitable<void> serve(tcp::acceptor& door) {
    for (;;) co_spawn(door.get_executor(), echo(co_await door.async_accept(asio::use_awaitable)), asio::detached);
}

/// Fifty requests; how many were handed over between threads.
asio::awaitable<int> client(Pool& pool) {
    int handed_over = 0;
    for (int i = 0; i < 50; ++i) {
        auto conn = co_await pool.async_acquire();
        if (conn->stream().get_executor() != co_await asio::this_coro::executor) ++handed_over;
        char byte = '?';
        co_await asio::async_write(conn->stream(), asio::buffer(&byte, 1), asio::use_awaitable);
        co_await asio::async_read(conn->stream(), asio::buffer(&byte, 1), asio::use_awaitable);
    }
    co_return handed_over;
}

/// Two clients in each of four loops, which have one pool or four.
int run(weir::tcp::Connector const& connector, std::size_t pool_count) {
    std::deque<asio::thread_pool> loops;  // of one thread each
    for (int i = 0; i < 4; ++i) loops.emplace_back(1);
    std::deque<Pool> pools;
    for (std::size_t i = 0; i < pool_count; ++i) pools.emplace_back(loops[i].get_executor(), connector);

    std::array<std::future<int>, 8> clients;
    for (std::size_t i = 0; i < clients.size(); ++i)
        clients[i] = asio::co_spawn(loops[i % loops.size()], client(pools[i % pool_count]), asio::use_future);
    int handed_over = 0;
    for (auto& client : clients) handed_over += client.get();
    for (auto& pool : pools) pool.close();
    return handed_over;
}

int main() {
    asio::thread_pool server{1};
    tcp::acceptor acceptor{server, {asio::ip::address_v4::loopback(), 0}};
    asio::co_spawn(server, serve(acceptor), asio::detached);
    auto const port = std::to_string(acceptor.local_endpoint().port());
    weir::tcp::Connector const connector{{.host = "127.0.0.1", .service = port}};
    int const with_one = run(connector, 1);
    int const with_four = run(connector, 4);
    std::cout << with_one << " of 400 requests are handed over between threads with one pool for four loops, "
              << with_four << " with a pool for each\n";
    return with_one == 300 && with_four == 0 ? 0 : 1;
}
