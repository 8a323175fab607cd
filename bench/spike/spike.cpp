// Everybody comes at once, and a connection is dear: how many are opened, and how long does one wait?

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>
#include <weir/pool.hpp>
#include <work.hpp>

namespace {

namespace asio = boost::asio;
using bench::Clock;
using bench::Resource;
using namespace std::chrono_literals;

constexpr int users = 50;
constexpr auto connect_time = 150ms;
constexpr auto work_time = 2ms;

struct Sizes {
    std::size_t open;                       // at the start, idle
    std::optional<std::size_t> concurrent;  // connects in flight; as many as there are users where the pool knows none
};

Sizes sizes_of(benchmark::State const& state) {
    Sizes sizes{.open = static_cast<std::size_t>(state.range(0)), .concurrent = std::nullopt};
    if (state.range(1) != 0) sizes.concurrent = static_cast<std::size_t>(state.range(1));
    return sizes;
}

/// What one spike came to.
class Outcome {
public:
    /// What is opened before takes no time and is not counted.
    void start() {
        spike_ = true;
        started_ = Clock::now();
    }

    /// Somebody begins to connect: how long that takes.
    Clock::duration opening() {
        if (!spike_) return Clock::duration::zero();
        ++opened_;
        return connect_time;
    }

    void served() {
        auto const now = Clock::now();
        std::lock_guard const lock{mutex_};
        waits_.add(now - started_);
    }

    void end(benchmark::State& state) { state.SetIterationTime(bench::seconds(Clock::now() - started_)); }

    void report(benchmark::State& state) const {
        state.counters["opened"] = static_cast<double>(opened_);
        state.counters["p50_us"] = waits_.percentile(0.5);
        state.counters["p99_us"] = waits_.percentile(0.99);
    }

private:
    std::atomic<bool> spike_ = false;
    std::atomic<int> opened_ = 0;
    Clock::time_point started_{};
    std::mutex mutex_;  // protects the histogram
    bench::Histogram waits_;
};

/// A vector, a mutex, a condition variable; whoever finds nothing opens one, until there are as many as there may be.
class NaiveGrowing {
public:
    NaiveGrowing(Sizes sizes, Resource::Total& total, Outcome& outcome)
        : total_{&total}, outcome_{&outcome}, left_{users - sizes.open} {
        for (std::size_t i = 0; i < sizes.open; ++i) idle_.push_back(std::make_unique<Resource>(total));
    }

    class Held {
    public:
        Held(NaiveGrowing& pool, std::unique_ptr<Resource> item) noexcept : pool_{&pool}, item_{std::move(item)} {}
        Held(Held&&) noexcept = default;
        Held& operator=(Held&&) = delete;
        ~Held() {
            if (item_) pool_->give_back(std::move(item_));
        }
        Resource* operator->() const noexcept { return item_.get(); }

    private:
        NaiveGrowing* pool_;
        std::unique_ptr<Resource> item_;
    };

    Held acquire() {
        std::unique_lock lock{mutex_};
        returned_.wait(lock, [this] { return !idle_.empty() || left_ > 0; });
        if (idle_.empty()) {
            --left_;
            lock.unlock();
            std::this_thread::sleep_for(outcome_->opening());
            return {*this, std::make_unique<Resource>(*total_)};
        }
        Held held{*this, std::move(idle_.back())};
        idle_.pop_back();
        return held;
    }

private:
    void give_back(std::unique_ptr<Resource> item) {
        {
            std::lock_guard const lock{mutex_};
            idle_.push_back(std::move(item));
        }
        returned_.notify_one();
    }

    Resource::Total* total_;
    Outcome* outcome_;
    std::mutex mutex_;  // protects the two below
    std::condition_variable returned_;
    std::size_t left_;
    std::vector<std::unique_ptr<Resource>> idle_;
};

void open_first(weir::Pool<Resource>& pool, std::size_t count) {
    std::vector<weir::Lease<Resource>> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back(pool.acquire());
}

// As many as there are users, so that nothing but the pool's own judgement bounds what is opened.
weir::Pool<Resource>::Options options(Sizes sizes) {
    return {.size = {.high = users}, .connect = {.max_concurrent = sizes.concurrent}};
}

class Weir {
public:
    Weir(Sizes sizes, Resource::Total& total, Outcome& outcome)
        : pool_{[&] {
                    std::this_thread::sleep_for(outcome.opening());
                    return Resource{total};
                },
                options(sizes)} {
        open_first(pool_, sizes.open);
    }

    weir::Lease<Resource> acquire() { return pool_.acquire(); }

private:
    weir::Pool<Resource> pool_;
};

void check(benchmark::State& state, Resource::Total const& total) {
    if (total.uses != users) state.SkipWithError("a resource was lent to two at once, or somebody was not served");
}

template <class Pool>
void threads(benchmark::State& state) {
    for (auto _ : state) {
        Resource::Total total;
        Outcome outcome;
        {
            Pool pool{sizes_of(state), total, outcome};
            std::latch start{users + 1};
            std::vector<std::jthread> all;
            for (int i = 0; i < users; ++i) {
                all.emplace_back([&] {
                    start.arrive_and_wait();
                    auto const held = pool.acquire();
                    outcome.served();
                    held->use();
                    std::this_thread::sleep_for(work_time);
                });
            }
            outcome.start();
            start.arrive_and_wait();
            all.clear();
            outcome.end(state);
            outcome.report(state);
        }
        check(state, total);
    }
}

// The same with coroutines on one thread, and a connector that is one.
void coroutines(benchmark::State& state) {
    for (auto _ : state) {
        Resource::Total total;
        Outcome outcome;
        asio::io_context io{1};
        auto const connect = [&]() -> asio::awaitable<Resource> {
            asio::steady_timer timer{io, outcome.opening()};
            co_await timer.async_wait(asio::use_awaitable);
            co_return Resource{total};
        };
        auto const use = [&](weir::Pool<Resource>& pool) -> asio::awaitable<void> {
            auto const held = co_await pool.async_acquire(asio::use_awaitable);
            outcome.served();
            held->use();
            asio::steady_timer timer{io, work_time};
            co_await timer.async_wait(asio::use_awaitable);
        };
        {
            auto const sizes = sizes_of(state);
            weir::Pool<Resource> pool{io.get_executor(), connect, options(sizes)};
            {
                auto const running = asio::make_work_guard(io);
                std::jthread const thread{[&] { io.run(); }};
                open_first(pool, sizes.open);
                io.stop();
            }
            io.restart();
            outcome.start();
            int left = users;
            for (int i = 0; i < users; ++i) asio::co_spawn(io, use(pool), [&](std::exception_ptr const&) { --left; });
            while (left > 0) io.run_one();
            outcome.end(state);
            outcome.report(state);
        }
        io.run();  // to the end of the connects that are still in flight
        check(state, total);
    }
}

void arguments(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgNames({"open", "concurrent"})->UseManualTime()->Iterations(1)->Unit(benchmark::kMillisecond);
}

void every(benchmark::internal::Benchmark* benchmark) {
    arguments(benchmark);
    benchmark->ArgsProduct({{0, 5}, {0, 4, 1}});
}

// It knows no bound for connects in flight.
void unbounded(benchmark::internal::Benchmark* benchmark) {
    arguments(benchmark);
    benchmark->ArgsProduct({{0, 5}, {0}});
}

BENCHMARK(threads<Weir>)->Name("spike/weir")->Apply(every);
BENCHMARK(coroutines)->Name("spike/weir_coroutines")->Apply(every);
BENCHMARK(threads<NaiveGrowing>)->Name("spike/naive")->Apply(unbounded);

}  // namespace
