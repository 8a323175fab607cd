// A thousand idle resources: is who acquires disturbed by a round of maintenance that looks at all of them?

#include <chrono>
#include <condition_variable>
#include <contenders/weir.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>
#include <work.hpp>

namespace {

using bench::Clock;
using bench::Resource;

constexpr std::size_t resources = 1000;
constexpr auto ttl = std::chrono::hours{1};  // nothing expires
constexpr int sampled = 7;                   // see bench/scarce

class Weir : public bench::Weir<Resource> {
public:
    Weir(std::size_t size, Resource::Total& total) : bench::Weir<Resource>{size, total, {.idle = {.ttl = ttl}}} {}

    void sweep() { get().sweep(); }
    std::size_t idle() { return get().stats().idle; }
};

/// A vector under a mutex. A return notes the time, as it must where idle resources expire.
class Naive {
public:
    struct GiveBack {
        void operator()(Resource* item) const noexcept { pool->release(item); }
        Naive* pool;
    };
    using Held = std::unique_ptr<Resource, GiveBack>;

    Naive(std::size_t size, Resource::Total& total) {
        for (std::size_t i = 0; i < size; ++i) idle_.push_back({std::make_unique<Resource>(total), Clock::now()});
    }

    Held acquire() {
        std::unique_lock lock{mutex_};
        returned_.wait(lock, [this] { return !idle_.empty(); });
        Held held{idle_.back().item.release(), {this}};
        idle_.pop_back();
        return held;
    }

    void sweep() {
        auto const bound = Clock::now() - ttl;
        std::lock_guard const lock{mutex_};
        std::erase_if(idle_, [bound](Idle const& idle) { return idle.since < bound; });
    }

    std::size_t idle() {
        std::lock_guard const lock{mutex_};
        return idle_.size();
    }

private:
    struct Idle {
        std::unique_ptr<Resource> item;
        Clock::time_point since;
    };

    void release(Resource* item) {
        auto const now = Clock::now();
        {
            std::lock_guard const lock{mutex_};
            idle_.push_back({std::unique_ptr<Resource>{item}, now});
        }
        returned_.notify_one();
    }

    std::mutex mutex_;  // protects the idle ones
    std::condition_variable returned_;
    std::vector<Idle> idle_;
};

/// A thread that sweeps a pool without a pause.
template <class Pool>
class Sweeper {
public:
    explicit Sweeper(Pool& pool)
        : thread_{[this, &pool] {
              for (; !over_; ++sweeps_) pool.sweep();
          }} {}
    Sweeper(Sweeper const&) = delete;
    Sweeper& operator=(Sweeper const&) = delete;
    ~Sweeper() {
        over_ = true;
        thread_.join();
    }

    std::uint64_t sweeps() const { return sweeps_; }

private:
    std::atomic<bool> over_{false};
    std::atomic<std::uint64_t> sweeps_{0};
    std::thread thread_;
};

template <class Pool>
void sweep(benchmark::State& state, bool swept) {
    bench::Shared<Pool> shared{resources};
    auto& pool = shared.pool();
    std::optional<Sweeper<Pool>> sweeper;
    if (swept) {
        sweeper.emplace(pool);
        while (sweeper->sweeps() == 0) std::this_thread::yield();
    }
    bench::Histogram waits;
    int left = sampled;
    auto const acquire = [&] {
        if (--left > 0) return pool.acquire();
        left = sampled;
        auto const start = Clock::now();
        auto held = pool.acquire();
        waits.add(Clock::now() - start);
        return held;
    };
    auto const before = swept ? sweeper->sweeps() : 0;
    bench::WallClock const wall;
    for (auto _ : state) {
        auto held = acquire();
        held->use();
    }
    if (swept) {
        wall.report(state);
        auto const sweeps = static_cast<double>(sweeper->sweeps() - before);
        state.counters["sweeps_per_s"] = sweeps / wall.seconds_since_start();
        sweeper.reset();
    }
    state.counters["p50_us"] = waits.percentile(0.5);
    state.counters["p99_us"] = waits.percentile(0.99);
    state.counters["p999_us"] = waits.percentile(0.999);
    state.counters["max_us"] = waits.percentile(1);
    if (pool.idle() != resources) state.SkipWithError("a sweep closed what had not expired, or kept one");
    shared.check(state, static_cast<std::uint64_t>(state.iterations()), resources);
}

template <class Pool>
void both(std::string const& name) {
    // A fixed number of pairs: where one waits for the sweeper, a search for one ends before there is a tail to see.
    constexpr benchmark::IterationCount pairs = 500'000;
    for (bool const swept : {false, true}) {
        auto const run = [swept](benchmark::State& state) { sweep<Pool>(state, swept); };
        benchmark::RegisterBenchmark(("sweep/" + name + (swept ? "/swept" : "/still")).c_str(), run)
            ->UseRealTime()
            ->Iterations(pairs);
    }
}

bool const registered = [] {
    both<Weir>("weir");
    both<Naive>("naive");
    return true;
}();

}  // namespace
