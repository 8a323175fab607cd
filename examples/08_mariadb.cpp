// Transactions on MariaDB, some of which an exception cuts short: nobody says ROLLBACK, which a coroutine could not do
// in a catch block. The pool does, after each lease, and lends the session again.
//
//     08_mariadb [host [port [user [password [database]]]]]
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/system/system_error.hpp>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <future>
#include <iostream>
#include <stdexcept>
#include <weir/adapters/mariadb.hpp>
#include <weir/pool.hpp>

namespace asio = boost::asio;
namespace mariadb = weir::mariadb;

namespace {

using Pool = weir::Pool<mariadb::Connection>;

asio::awaitable<void> open_accounts(Pool& pool) {
    auto lease = co_await pool.async_acquire();
    co_await lease->async_query(
        "CREATE OR REPLACE TABLE weir_account (id INT PRIMARY KEY, balance INT) ENGINE = InnoDB");
    for (int id = 0; id < 10; ++id) co_await lease->async_query("INSERT INTO weir_account VALUES (?, 100)", id);
}

asio::awaitable<void> transfer(Pool& pool, int from, int to, int amount) {
    auto lease = co_await pool.async_acquire();
    co_await lease->async_query("BEGIN");
    co_await lease->async_query("UPDATE weir_account SET balance = balance + IF(id = ?, -?, ?) WHERE id IN (?, ?)",
                                from, amount, amount, from, to);
    auto const left = co_await lease->async_query("SELECT balance FROM weir_account WHERE id = ?", from);
    if (left.number(0, 0) < 0) throw std::runtime_error{"there is not enough on the account"};
    co_await lease->async_query("COMMIT");
}

asio::awaitable<bool> close_accounts(Pool& pool) {
    auto lease = co_await pool.async_acquire();
    auto const all = co_await lease->async_query("SELECT SUM(balance), MIN(balance) FROM weir_account");
    co_await lease->async_query("DROP TABLE weir_account");
    co_return all.number(0, 0) == 1000 && all.number(0, 1) >= 0;
}

}  // namespace

int main(int argc, char** argv) try {
    mariadb::Options server{.host = argc > 1 ? argv[1] : "127.0.0.1"};
    if (argc > 2) server.port = static_cast<std::uint16_t>(std::atoi(argv[2]));
    server.user = argc > 3 ? argv[3] : "root";
    server.password = argc > 4 ? argv[4] : "";
    server.database = argc > 5 ? argv[5] : "test";

    asio::io_context io;
    Pool pool{io.get_executor(), mariadb::ResettingConnector{server}, {.size = {.high = 4}}};
    auto opened = co_spawn(io, open_accounts(pool), asio::use_future);
    io.run();
    opened.get();

    int cut_short = 0;
    for (int i = 0; i < 300; ++i)
        co_spawn(io, transfer(pool, i % 10, (i * 7 + 1) % 10, i % 90),
                 [&](std::exception_ptr const& failed) { cut_short += failed ? 1 : 0; });
    io.restart();
    io.run();

    auto right = co_spawn(io, close_accounts(pool), asio::use_future);
    io.restart();
    io.run();
    std::cout << cut_short << " of 300 transfers were cut short, over " << pool.stats().connected << " sessions\n";
    return right.get() && pool.close() ? 0 : 1;
} catch (boost::system::system_error const& error) {
    std::cerr << error.what() << "\n";  // such as: access denied, unknown database
    return 1;
}
