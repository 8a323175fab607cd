// Many handlers on one io_context thread want one resource: each return is a hand-off to the next in line.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
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
    asio::io_context io;
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

// The same with callbacks: each acquires again while it holds what it has got.
template <class Pool>
struct Callback {
    Pool& pool;
    asio::io_context& io;
    std::int64_t& left;

    void start() const { pool.async_acquire(asio::bind_executor(io.get_executor(), *this)); }

    template <class Item>
    void operator()(boost::system::error_code failed, Item item) const {
        auto const held = pool.hold(std::move(item));
        if (failed || left-- <= 0) return;
        held->use();
        start();
    }
};

template <class Pool>
void handoff_callback(benchmark::State& state) {
    asio::io_context io;
    bench::Shared<Pool> shared{io.get_executor(), 1};
    for (auto _ : state) {
        std::int64_t left = batch;
        for (std::int64_t i = 0; i < state.range(0); ++i) Callback<Pool>{shared.pool(), io, left}.start();
        io.restart();
        io.run();
    }
    auto const all = static_cast<std::int64_t>(state.iterations()) * batch;
    state.SetItemsProcessed(all);
    shared.check(state, static_cast<std::uint64_t>(all), 1);
}

struct Poster {
    asio::io_context& io;
    std::int64_t& left;

    void operator()() const {
        if (left-- > 0) asio::post(io, *this);
    }
};

// The least that it can cost: one turn through the queue.
void post_callback(benchmark::State& state) {
    asio::io_context io;
    for (auto _ : state) {
        std::int64_t left = batch;
        for (std::int64_t i = 0; i < state.range(0); ++i) asio::post(io, Poster{io, left});
        io.restart();
        io.run();
        if (left >= 0) state.SkipWithError("a turn is missing");
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * batch);
}

// The same without a pool: two turns through the io_context's queue.
void posts(benchmark::State& state) {
    asio::io_context io;
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

BENCHMARK(post_callback)->Name("floor/post")->Apply(users);
BENCHMARK(handoff_callback<bench::Weir<Resource>>)->Name("async_handoff_callback/weir")->Apply(users);
BENCHMARK(handoff_callback<bench::Channel<Resource>>)->Name("async_handoff_callback/channel")->Apply(users);
BENCHMARK(posts)->Name("floor/two_posts")->Apply(users);
BENCHMARK(handoff<bench::Weir<Resource>>)->Name("async_handoff/weir")->Apply(users);
BENCHMARK(handoff<bench::Channel<Resource>>)->Name("async_handoff/channel")->Apply(users);

}  // namespace
