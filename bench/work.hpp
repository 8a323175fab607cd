#pragma once
// What every question shares: the thing that is pooled, the proof that it was lent to one at a time, and work to do.

#include <algorithm>
#include <atomic>
#include <benchmark/benchmark.h>
#include <boost/histogram.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>

namespace bench {

using Clock = std::chrono::steady_clock;

inline double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

/// What is pooled. On a cache line of its own, so that no contender suffers from where its allocator puts it.
struct alignas(64) Resource {
    /// Where a resource says how often it was used, when it is destroyed with its pool.
    struct Total {
        std::atomic<std::uint64_t> uses{0};
        std::atomic<std::uint64_t> made{0};
    };

    explicit Resource(Total& total) noexcept : total_{&total} { total.made.fetch_add(1); }
    Resource(Resource&& other) noexcept
        : total_{std::exchange(other.total_, nullptr)}, uses_{std::exchange(other.uses_, 0)} {}
    Resource& operator=(Resource&&) = delete;
    ~Resource() {
        if (total_) total_->uses.fetch_add(uses_);
    }

    /// Not atomic on purpose: were it lent to two at once, uses would be lost and the sum come out short.
    void use() noexcept {
        ++uses_;
        benchmark::ClobberMemory();  // DoNotOptimize(++uses_) loses the increment with g++ -O1
    }

private:
    Total* total_;
    std::uint64_t uses_ = 0;
};

/// One pool and its resources, made by one thread of a benchmark and shared by all.
template <class Pool>
class Shared {
public:
    explicit Shared(std::size_t resources) : pool_{std::make_unique<Pool>(resources, total_)} {}

    template <class Executor>
    Shared(Executor executor, std::size_t resources)
        : pool_{std::make_unique<Pool>(std::move(executor), resources, total_)} {}

    Pool& pool() noexcept { return *pool_; }

    /// The answer is right when every use is in the sum and no more was made than asked for.
    void check(benchmark::State& state, std::uint64_t uses, std::size_t resources) {
        pool_.reset();
        if (total_.made != resources) state.SkipWithError("the pool made more or fewer resources than it may");
        if (total_.uses != uses) state.SkipWithError("a resource was lent to two at once, or never came back");
    }

private:
    Resource::Total total_;
    std::unique_ptr<Pool> pool_;
};

/// The C library elides locks while a process has one thread only, which no user of a pool has.
class Company {
public:
    Company() : thread_{[this] { over_.wait(false); }} {}
    ~Company() {
        over_ = true;
        over_.notify_one();
        thread_.join();
    }
    Company(Company const&) = delete;
    Company& operator=(Company const&) = delete;

private:
    std::atomic<bool> over_{false};
    std::thread thread_;
};

inline Company const company;

/// The time from the first start to the last end. Google Benchmark averages the threads' own times instead, which
/// flatters whoever serves some threads first: by a quarter with many threads.
class WallClock {
public:
    /// Before the loop, and again behind it, on one of the threads.
    double seconds_since_start() const { return seconds(Clock::now() - start_); }

    /// Of so many pairs in each loop.
    void report(benchmark::State& state, std::size_t pairs = 1) const {
        auto const loops = static_cast<double>(state.iterations()) * state.threads() * static_cast<double>(pairs);
        state.counters["wall_ns"] = seconds_since_start() * 1e9 / loops;
    }

private:
    Clock::time_point start_ = Clock::now();
};

/// Keeps the processor busy, without looking at a clock.
class Work {
public:
    explicit Work(std::chrono::nanoseconds time)
        : steps_{static_cast<std::uint64_t>(static_cast<double>(time.count()) * steps_per_ns())} {}

    void operator()() const { run(steps_); }

private:
    static void run(std::uint64_t steps) {
        for (std::uint64_t i = 0; i < steps; ++i) benchmark::DoNotOptimize(i);
    }

    static double steps_per_ns() {
        static double const speed = [] {
            constexpr std::uint64_t steps = 200'000;
            double best = 0;
            for (int i = 0; i < 20; ++i) {
                auto const start = Clock::now();
                run(steps);
                best = std::max(best, steps / (seconds(Clock::now() - start) * 1e9));
            }
            return best;
        }();
        return speed;
    }

    std::uint64_t steps_;
};

/// Durations from 1 ns to 1000 s, each in a bucket 3 % wide.
class Histogram {
public:
    void add(Clock::duration time) {
        buckets_(std::max(1.0, static_cast<double>(std::chrono::nanoseconds{time}.count())));
    }

    void add(Histogram const& other) { buckets_ += other.buckets_; }

    /// In microseconds, the upper edge of a bucket. 0 when there is none.
    double percentile(double share) const {
        auto left = boost::histogram::algorithm::sum(buckets_) * share;
        for (auto const& bucket : boost::histogram::indexed(buckets_)) {
            left -= *bucket;
            if (left <= 0 && *bucket > 0) return bucket.bin().upper() / 1000;
        }
        return 0;
    }

private:
    using Logarithmic = boost::histogram::axis::regular<double, boost::histogram::axis::transform::log>;

    decltype(boost::histogram::make_histogram(Logarithmic{})) buckets_ =
        boost::histogram::make_histogram(Logarithmic{933, 1, 1e12});
};

}  // namespace bench
