// Threads and coroutines share one pool: whoever came first is served first, whichever he is. A thread that has a
// session blocks for its answers, a coroutine awaits them, and the session does not mind who had it before.
//
//     11_threads_and_coroutines postgresql://user:password@127.0.0.1/database
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <exception>
#include <functional>
#include <future>
#include <iostream>
#include <thread>
#include <vector>
#include <weir/adapters/libpq.hpp>
#include <weir/pool.hpp>

namespace asio = boost::asio;
namespace libpq = weir::libpq;

namespace {

constexpr int requests = 200;
using Pool = weir::Pool<libpq::Connection>;

void thread(Pool& pool, std::atomic<int>& done) {
    for (int i = 0; i < requests; ++i) {
        auto lease = pool.acquire();
        if (lease->query("SELECT $1::int + 1", i).number(0, 0) == i + 1) ++done;
    }
}

asio::awaitable<void> coroutine(Pool& pool, std::atomic<int>& done) {
    for (int i = 0; i < requests; ++i) {
        auto lease = co_await pool.async_acquire();
        auto const result = co_await lease->async_query("SELECT $1::int + 1", i);
        if (result.number(0, 0) == i + 1) ++done;
    }
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " <conninfo or postgresql:// URI>\n";
        return 2;
    }
    asio::io_context io;
    Pool pool{io.get_executor(), libpq::Connector{argv[1]}, {.size = {.high = 3}}};

    std::atomic<int> by_threads = 0;
    std::atomic<int> by_coroutines = 0;
    // Sessions are opened on the executor, for threads too: somebody has to run it while they wait.
    auto work = asio::make_work_guard(io);
    std::jthread const runner{[&] { io.run(); }};
    {
        std::vector<std::future<void>> coroutines(8);
        for (auto& each : coroutines) each = co_spawn(io, coroutine(pool, by_coroutines), asio::use_future);
        std::vector<std::jthread> threads(4);
        for (auto& each : threads) each = std::jthread{thread, std::ref(pool), std::ref(by_threads)};
        for (auto& each : coroutines) each.get();
    }
    std::cout << by_threads << " requests of threads and " << by_coroutines << " of coroutines, over "
              << pool.stats().connected << " sessions\n";
    pool.close();
    work.reset();
    return by_threads == 4 * requests && by_coroutines == 8 * requests ? 0 : 1;
} catch (std::exception const& error) {
    std::cerr << error.what() << "\n";
    return 1;
}
