// One Redis connection for all: what many coroutines ask at the same time goes out together, and their answers come back
// in one round trip. Whoever holds a lease shares the connection with the others.
//
//     14_shared_redis [host [port]]
#include "shared_redis/client.hpp"

#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/system/system_error.hpp>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>
#include <weir/adapters/hiredis.hpp>
#include <weir/shared_pool.hpp>

using Pool = weir::SharedPool<std::shared_ptr<Client>>;

int main(int argc, char** argv) try {
    hiredis::Options const server{.host = argc > 1 ? argv[1] : "127.0.0.1",
                                  .port = static_cast<std::uint16_t>(argc > 2 ? std::atoi(argv[2]) : 6379)};
    asio::io_context io;
    Pool pool{io.get_executor(),
              [redis = hiredis::Connector{server}](
                  weir::ConnectContext const& context) mutable -> asio::awaitable<std::shared_ptr<Client>> {
                  auto conn = co_await redis.connect(context);
                  co_return std::make_shared<Client>(std::move(conn), context);
              }};
    std::int64_t sum = 0;
    auto const count = [&]() -> asio::awaitable<void> {
        auto const lease = co_await pool.async_acquire();
        auto const reply = co_await (*lease)->ask("INCR", "weir:" + std::to_string(getpid()));
        sum += reply.integer();
    };
    std::vector<std::future<void>> requests;
    requests.reserve(1'000);
    for (int i = 0; i < 1'000; ++i) requests.push_back(co_spawn(io, count, asio::use_future));
    io.run();
    for (auto& request : requests) request.get();
    std::cout << "1000 requests, " << pool.stats().connected << " connection, " << (*pool.acquire())->round_trips
              << " round trips\n";
    return sum == 1'000 * 1'001 / 2 ? 0 : 1;
} catch (boost::system::system_error const& error) {
    std::cerr << "Redis: " << error.what() << "\n";
    return 1;
}
