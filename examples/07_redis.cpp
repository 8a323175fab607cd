// Redis in one round trip a request: who may come ten times a minute is counted there, for all servers of a service, and
// three hundred requests share four connections for it.
//
//     07_redis [host [port]]
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
#include <string>
#include <utility>
#include <vector>
#include <weir/adapters/hiredis.hpp>
#include <weir/pool.hpp>

namespace asio = boost::asio;
namespace hiredis = weir::hiredis;

namespace {

using Pool = weir::Pool<hiredis::Connection>;

asio::awaitable<bool> admit(Pool& pool, std::string visitor) {
    auto lease = co_await pool.async_acquire();
    hiredis::Pipeline commands;  // words may hold any bytes; a name with a space in it breaks out of nothing
    commands.add("INCR", visitor).add("EXPIRE", visitor, 60);
    auto const replies = co_await lease->async_pipeline(std::move(commands));
    for (auto const& reply : replies) reply.throw_error();
    co_return replies[0].integer() <= 10;
}

asio::awaitable<void> forget(Pool& pool, std::string visitor) {
    auto lease = co_await pool.async_acquire();
    co_await lease->async_command("DEL", visitor);
}

}  // namespace

int main(int argc, char** argv) try {
    hiredis::Options server{.client_name = "07_redis"};
    if (argc > 1) server.host = argv[1];
    if (argc > 2) server.port = static_cast<std::uint16_t>(std::atoi(argv[2]));

    asio::io_context io;
    Pool pool{io.get_executor(), hiredis::Connector{server}, {.size = {.high = 4}}};

    std::string const mine = "weir:" + std::to_string(getpid()) + ":";
    std::vector<std::string> const visitors{mine + "Tom", mine + "Dick", mine + "Harry"};
    std::vector<std::future<bool>> answers;
    for (int i = 0; i < 100; ++i)
        for (auto const& visitor : visitors) answers.push_back(co_spawn(io, admit(pool, visitor), asio::use_future));
    io.run();

    int admitted = 0;
    for (auto& answer : answers) admitted += answer.get() ? 1 : 0;
    std::cout << admitted << " of " << answers.size() << " requests were let in, over " << pool.stats().connected
              << " connections\n";

    io.restart();
    for (auto const& visitor : visitors) co_spawn(io, forget(pool, visitor), asio::use_future);
    io.run();
    pool.close();
    return admitted == 30 ? 0 : 1;
} catch (boost::system::system_error const& error) {
    std::cerr << "Redis: " << error.what() << "\n";  // such as: connection refused, wrong user or password
    return 1;
}
