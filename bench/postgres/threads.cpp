// Many clients, few sessions: what does a query cost by each way to the same server? Here the clients are threads.

#include <benchmark/benchmark.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>
#include <weir/pool.hpp>
#include <work.hpp>

#include "servers.hpp"

namespace {

using bench::Clock;
using weir::libpq::Connection;

constexpr std::chrono::milliseconds slice{500};

Connection connect(std::string const& url) {
    return Connection::open({.conninfo = url}, Clock::now() + std::chrono::seconds{30});
}

std::int64_t ask(Connection& conn, std::int64_t question) { return conn.query(bench::query, question).number(0, 0); }

/// A session for each request, as a program without a pool has it.
struct ConnectEach {
    std::string url;
    struct Client {
        ConnectEach& all;
        std::int64_t ask(std::int64_t question) {
            auto conn = connect(all.url);
            return ::ask(conn, question);
        }
    };
};

/// A session for each client, as long as it lives: no queue anywhere, and as many sessions as clients.
struct KeepEach {
    std::string url;
    struct Client {
        explicit Client(KeepEach& all) : conn{connect(all.url)} {}
        std::int64_t ask(std::int64_t question) { return ::ask(conn, question); }
        Connection conn;
    };
};

struct Pooled {
    explicit Pooled(std::string const& url)
        : pool{weir::libpq::BlockingConnector{url}, {.size = {.high = bench::sessions}}} {}
    struct Client {
        Pooled& all;
        std::int64_t ask(std::int64_t question) { return ::ask(*all.pool.acquire(), question); }
    };
    weir::Pool<Connection> pool;
};

template <class Way>
void serve(benchmark::State& state, std::string const& url) {
    std::uint64_t served = 0;
    std::atomic<std::uint64_t> wrong = 0;
    bench::Histogram latencies;
    Way way{url};
    for (auto _ : state) {
        std::atomic<bool> over = false;
        std::barrier start{static_cast<std::ptrdiff_t>(bench::clients) + 1};
        std::vector<bench::Histogram> seen(bench::clients);
        std::vector<std::uint64_t> counts(bench::clients);
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i != bench::clients; ++i)
            threads.emplace_back([&, i] {
                typename Way::Client client{way};
                start.arrive_and_wait();
                for (std::int64_t question = 0; !over; ++question) {
                    auto const asked = Clock::now();
                    if (client.ask(question) != bench::answer(question)) ++wrong;
                    seen[i].add(Clock::now() - asked);
                    ++counts[i];
                }
            });
        start.arrive_and_wait();
        auto const begin = Clock::now();
        std::this_thread::sleep_for(slice);
        over = true;
        threads.clear();
        for (auto const count : counts) served += count;
        for (auto const& each : seen) latencies.add(each);
        state.SetIterationTime(bench::seconds(Clock::now() - begin) / static_cast<double>(served));  // of one request
    }
    state.counters["p50_us"] = latencies.percentile(0.5);
    state.counters["p99_us"] = latencies.percentile(0.99);
    if (wrong != 0) state.SkipWithError("a client got somebody else's answer");
}

template <class Way, class Url>
void contend(char const* name, Url url) {
    benchmark::RegisterBenchmark(name, [url](benchmark::State& state) { serve<Way>(state, url()); })
        ->UseManualTime()
        ->Iterations(1);
}

bool const registered = [] {
    auto const direct = [] { return bench::server().url(); };
    auto const bounced = [] { return bench::bouncer().url(); };
    contend<ConnectEach>("postgres/connect_each", direct);
    contend<ConnectEach>("postgres/connect_each_to_pgbouncer", bounced);
    contend<KeepEach>("postgres/session_per_client", direct);
    contend<Pooled>("postgres/weir_threads", direct);
    contend<Pooled>("postgres/weir_threads_to_pgbouncer", bounced);
    return true;
}();

}  // namespace
