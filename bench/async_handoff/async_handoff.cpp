// Many handlers on one io_context thread want one resource: each return is a hand-off to the next in line.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <contenders/channel.hpp>
#include <contenders/weir.hpp>
#include <cstdint>
#include <utility>
#include <work.hpp>

namespace {

namespace asio = boost::asio;
using bench::Resource;

constexpr std::int64_t batch = 1000;  // what is started and ended anew outweighs nothing

// Runs so many coroutines of `one`, each `batch` rounds, per iteration of the benchmark.
template <class One>
std::int64_t rounds(benchmark::State& state, asio::io_context& io, One one) {
    auto const users = state.range(0);
    auto const each = batch / users;
    for (auto _ : state) {
        for (std::int64_t i = 0; i < users; ++i) asio::co_spawn(io, one(each), asio::detached);
        io.restart();
        io.run();
    }
    auto const all = static_cast<std::int64_t>(state.iterations()) * users * each;
    state.SetItemsProcessed(all);
    return all;
}

template <class Pool>
void handoff(benchmark::State& state) {
    asio::io_context io{1};
    bench::Shared<Pool> shared{io.get_executor(), 1};
    auto& pool = shared.pool();
    auto const all = rounds(state, io, [&](std::int64_t times) -> asio::awaitable<void> {
        for (std::int64_t i = 0; i < times; ++i) {
            // Named first: g++ 12 may destroy a temporary of a larger expression twice.
            auto item = co_await pool.async_acquire(asio::use_awaitable);
            auto const held = pool.hold(std::move(item));
            held->use();
            // The others come for it while it is held.
            co_await asio::post(io, asio::use_awaitable);
        }
    });
    shared.check(state, static_cast<std::uint64_t>(all), 1);
}

// The same without a pool: two turns through the io_context's queue.
void posts(benchmark::State& state) {
    asio::io_context io{1};
    std::int64_t done = 0;
    auto const all = rounds(state, io, [&](std::int64_t times) -> asio::awaitable<void> {
        for (std::int64_t i = 0; i < times; ++i) {
            co_await asio::post(io, asio::use_awaitable);
            ++done;
            co_await asio::post(io, asio::use_awaitable);
        }
    });
    if (done != all) state.SkipWithError("a round is missing");
}

void users(benchmark::internal::Benchmark* benchmark) { benchmark->ArgName("users")->Arg(2)->Arg(100); }

BENCHMARK(posts)->Name("floor/two_posts")->Apply(users);
BENCHMARK(handoff<bench::Weir<Resource>>)->Name("async_handoff/weir")->Apply(users);
BENCHMARK(handoff<bench::Channel<Resource>>)->Name("async_handoff/channel")->Apply(users);

}  // namespace
