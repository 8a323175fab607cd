// One pool, many tenants: a lease comes with the search path of whom it is for, and most often nothing need be said to
// the server for that, because the session had it already.
//
//     09_postgres_tenants postgresql://user:password@127.0.0.1/database
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <cstddef>
#include <exception>
#include <future>
#include <iostream>
#include <string>
#include <vector>
#include <weir/adapters/libpq.hpp>
#include <weir/pool.hpp>

namespace asio = boost::asio;
namespace libpq = weir::libpq;

namespace {

using Settings = libpq::Connection::Settings;
using Pool = weir::Pool<libpq::Connection, weir::SettingBuckets<Settings>>;

Settings search_path_of(std::string const& tenant) { return {{"search_path", tenant + ", public"}}; }

asio::awaitable<std::string> request(Pool& pool, std::string tenant) {
    auto const settings = search_path_of(tenant);
    auto lease = co_await pool.async_acquire(settings);
    auto const result = co_await lease->async_query("SHOW search_path");
    co_return std::string{result.text(0, 0)};
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " <conninfo or postgresql:// URI>\n";
        return 2;
    }
    asio::io_context io;
    Pool pool{io.get_executor(), libpq::Connector{argv[1]}, {.size = {.high = 4}}};

    std::vector<std::future<std::string>> answers;
    std::vector<std::string> const tenants{"red", "green", "blue"};
    for (std::size_t i = 0; i < 300; ++i)
        answers.push_back(co_spawn(io, request(pool, tenants[i % 3]), asio::use_future));
    io.run();

    int right = 0;
    for (std::size_t i = 0; i < answers.size(); ++i) right += answers[i].get() == tenants[i % 3] + ", public" ? 1 : 0;
    auto const stats = pool.stats();
    std::cout << right << " of " << answers.size() << " requests saw their own tenant's tables, over "
              << stats.connected << " sessions; " << stats.settings_applied << " times a search path had to be set\n";
    pool.close();
    return right == 300 ? 0 : 1;
} catch (std::exception const& error) {
    std::cerr << error.what() << "\n";
    return 1;
}
