// The end, in order: a signal stops new work, what has begun is finished, and there is a deadline for it.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <csignal>
#include <iostream>
#include <utility>
#include <weir/pool.hpp>

namespace asio = boost::asio;
using namespace std::chrono_literals;

struct Session {};  // stands for a connection
using SessionPool = weir::Pool<Session>;

asio::awaitable<void> sleep_for(std::chrono::milliseconds time) {
    asio::steady_timer timer{co_await asio::this_coro::executor, time};
    co_await timer.async_wait(asio::use_awaitable);
}

/// Serves until the pool is closed; a request that has its lease by then is still served.
asio::awaitable<void> worker(SessionPool& pool, int& served) {
    for (;;) {
        auto [error, session] = co_await pool.async_acquire(asio::as_tuple(asio::deferred));
        if (error) co_return;  // weir::Errc::closed
        co_await sleep_for(20ms);
        ++served;
    }
}

/// Work beside the leases, such as flushing what they have gathered. The token tells it when to end, and while it
/// holds one, `close` waits for it.
asio::awaitable<void> flush_regularly(weir::Lifetime lifetime, int const& served) {
    int flushed = 0;
    while (!lifetime.stopped()) {
        co_await sleep_for(50ms);
        flushed = served;
    }
    std::cout << "last flush: at least " << flushed << " requests\n";
}

asio::awaitable<void> end_at_signal(SessionPool& pool, int const& served, int& status) {
    asio::signal_set signals{co_await asio::this_coro::executor, SIGINT, SIGTERM};
    co_await signals.async_wait(asio::use_awaitable);
    std::cout << "signal: " << pool.stats().leased << " requests are under way\n";

    auto [error] = co_await pool.async_close_for(5s, asio::as_tuple(asio::deferred));
    std::cout << (error ? "gave up: " + error.message() : "drained") << " after " << served << " requests\n";
    status = error ? 1 : 0;
}

int main() {
    asio::io_context io;
    SessionPool pool{io.get_executor(), [] { return Session{}; }, {.size = {.high = 4}}};
    int served = 0;
    int status = 1;

    for (int i = 0; i < 10; ++i) asio::co_spawn(io, worker(pool, served), asio::detached);
    asio::co_spawn(io, flush_regularly(pool.lifetime(), served), asio::detached);
    asio::co_spawn(io, end_at_signal(pool, served, status), asio::detached);

    asio::steady_timer impatient_user{io, 300ms};  // presses Ctrl-C
    impatient_user.async_wait([](boost::system::error_code) { std::raise(SIGINT); });
    io.run();
    return status;
}
