// One thread takes an idle resource and gives it back, as a handler of the io_context that it runs.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <contenders/channel.hpp>
#include <contenders/weir.hpp>
#include <exception>
#include <utility>
#include <work.hpp>

namespace {

namespace asio = boost::asio;
using bench::Resource;

constexpr std::size_t resources = 128;

void post(benchmark::State& state) {
    asio::io_context io;
    auto const work = asio::make_work_guard(io);
    std::int64_t calls = 0;
    for (auto _ : state) {
        asio::post(io, [&calls] { ++calls; });
        io.poll_one();
    }
    if (calls != static_cast<std::int64_t>(state.iterations())) state.SkipWithError("a handler was not called once");
}

// Bound to the context's own executor, or left to the pool's, which is type-erased.
template <class Pool, bool bound>
void callback(benchmark::State& state) {
    asio::io_context io;
    auto const work = asio::make_work_guard(io);
    bench::Shared<Pool> shared{io.get_executor(), resources};
    for (auto _ : state) {
        auto handler = [&pool = shared.pool()](boost::system::error_code, auto item) {
            if (auto const held = pool.hold(std::move(item))) held->use();
        };
        if constexpr (bound)
            shared.pool().async_acquire(asio::bind_executor(io.get_executor(), handler));
        else
            shared.pool().async_acquire(handler);
        io.poll_one();
    }
    shared.check(state, static_cast<std::uint64_t>(state.iterations()), resources);
}

template <class Loop>
void run(benchmark::State& state, asio::io_context& io, Loop loop) {
    asio::co_spawn(io, std::move(loop), [&state](std::exception_ptr failure) {
        if (failure) state.SkipWithError("the coroutine failed");
    });
    io.run();
}

void post_coroutine(benchmark::State& state) {
    asio::io_context io;
    run(state, io, [&]() -> asio::awaitable<void> {
        for (auto _ : state) co_await asio::post(io, asio::use_awaitable);
    });
}

template <class Pool>
void coroutine(benchmark::State& state) {
    asio::io_context io;
    bench::Shared<Pool> shared{io.get_executor(), resources};
    run(state, io, [&]() -> asio::awaitable<void> {
        for (auto _ : state) {
            // Named first: g++ 12 may destroy a temporary of a larger expression twice.
            auto item = co_await shared.pool().async_acquire(asio::use_awaitable);
            auto const held = shared.pool().hold(std::move(item));
            held->use();
        }
    });
    shared.check(state, static_cast<std::uint64_t>(state.iterations()), resources);
}

template <class Pool>
void try_first(benchmark::State& state) {
    asio::io_context io;
    bench::Shared<Pool> shared{io.get_executor(), resources};
    auto& pool = shared.pool().get();
    run(state, io, [&]() -> asio::awaitable<void> {
        for (auto _ : state) {
            weir::Lease<Resource> held;
            if (auto idle = pool.try_acquire())
                held = std::move(*idle);
            else
                held = co_await pool.async_acquire(asio::use_awaitable);
            held->use();
        }
    });
    shared.check(state, static_cast<std::uint64_t>(state.iterations()), resources);
}

BENCHMARK(post)->Name("floor/post");
BENCHMARK(callback<bench::Weir<Resource>, true>)->Name("callback/weir");
BENCHMARK(callback<bench::Channel<Resource>, true>)->Name("callback/channel");
BENCHMARK(callback<bench::Weir<Resource>, false>)->Name("callback_unbound/weir");
BENCHMARK(callback<bench::Channel<Resource>, false>)->Name("callback_unbound/channel");
BENCHMARK(post_coroutine)->Name("floor/post_coroutine");
BENCHMARK(coroutine<bench::Weir<Resource>>)->Name("coroutine/weir");
BENCHMARK(coroutine<bench::Channel<Resource>>)->Name("coroutine/channel");
BENCHMARK(try_first<bench::Weir<Resource>>)->Name("coroutine_try_first/weir");

}  // namespace
