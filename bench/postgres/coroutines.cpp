// The same clients as coroutines.

#include <benchmark/benchmark.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <cstdint>
#include <future>
#include <string>
#include <thread>
#include <vector>
#include <weir/pool.hpp>
#include <work.hpp>

#include "servers.hpp"

namespace {

namespace asio = boost::asio;
using bench::Clock;

constexpr std::chrono::milliseconds slice{500};

void serve(benchmark::State& state, int threads, std::string const& url) {
    std::uint64_t served = 0;
    std::uint64_t wrong = 0;
    bench::Histogram latencies;
    asio::io_context io{threads};
    weir::Pool<weir::libpq::Connection> pool{
        io.get_executor(), weir::libpq::Connector{url}, {.size = {.high = bench::sessions}}};
    struct Seen {
        std::uint64_t served = 0;
        std::uint64_t wrong = 0;
        bench::Histogram latencies;
    };
    auto const client = [&](Clock::time_point end) -> asio::awaitable<Seen> {
        Seen seen;
        for (std::int64_t question = 0; Clock::now() < end; ++question) {
            auto const asked = Clock::now();
            auto lease = co_await pool.async_acquire(asio::use_awaitable);
            auto const result = co_await lease->async_query(bench::query, question);
            lease.release();
            seen.wrong += result.number(0, 0) == bench::answer(question) ? 0 : 1;
            seen.latencies.add(Clock::now() - asked);
            ++seen.served;
        }
        co_return seen;
    };
    for (auto _ : state) {
        auto const begin = Clock::now();
        std::vector<std::future<Seen>> all;
        for (std::size_t i = 0; i != bench::clients; ++i)
            all.push_back(asio::co_spawn(asio::make_strand(io), client(begin + slice), asio::use_future));
        {
            std::vector<std::jthread> runners;
            for (int i = 0; i != threads; ++i) runners.emplace_back([&] { io.run(); });
        }
        io.restart();
        for (auto& each : all) {
            auto const seen = each.get();
            served += seen.served;
            wrong += seen.wrong;
            latencies.add(seen.latencies);
        }
        state.SetIterationTime(bench::seconds(Clock::now() - begin) / static_cast<double>(served));  // of one request
    }
    state.counters["p50_us"] = latencies.percentile(0.5);
    state.counters["p99_us"] = latencies.percentile(0.99);
    if (wrong != 0) state.SkipWithError("a client got somebody else's answer");
}

bool const registered = [] {
    for (int const threads : {1, 2}) {
        auto const contend = [threads](std::string const& name, auto url) {
            benchmark::RegisterBenchmark((name + "/threads:" + std::to_string(threads)).c_str(),
                                         [threads, url](benchmark::State& state) { serve(state, threads, url()); })
                ->UseManualTime()
                ->Iterations(1);
        };
        contend("postgres/weir_coroutines", [] { return bench::server().url(); });
        contend("postgres/weir_coroutines_to_pgbouncer", [] { return bench::bouncer().url(); });
    }
    return true;
}();

}  // namespace
