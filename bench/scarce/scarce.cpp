// More threads than resources: what gets done, and how long does one wait for it?

#include <algorithm>
#include <contenders/naive.hpp>
#include <contenders/weir.hpp>
#include <mutex>
#include <optional>
#include <utility>
#include <work.hpp>

namespace {

using bench::Clock;
using bench::Resource;

// Looking at the clock costs as much as the pool: only one acquire in so many is timed, a prime so that it does not
// fall into step with anything.
constexpr int sampled = 7;

template <class Pool>
void scarce(benchmark::State& state) {
    static std::optional<bench::Shared<Pool>> shared;
    static std::optional<bench::Histogram> waits;
    static std::mutex mutex;  // protects the histogram
    auto const resources = static_cast<std::size_t>(state.range(0));
    bool const first = state.thread_index() == 0;
    if (first) {
        shared.emplace(resources);
        waits.emplace();
    }
    bench::Work const work{std::chrono::microseconds{state.range(1)}};
    bench::Histogram own;
    int left = sampled;
    benchmark::IterationCount done = 0;
    auto const acquire = [&] {
        if (--left > 0) return shared->pool().acquire();
        left = sampled;
        auto const start = Clock::now();
        auto held = shared->pool().acquire();
        own.add(Clock::now() - start);
        return held;
    };
    bench::WallClock const wall;
    for (auto _ : state) {
        auto const held = acquire();
        held->use();
        work();
        // All histograms must be in before the first thread leaves the loop.
        if (++done == state.max_iterations) {
            std::lock_guard const lock{mutex};
            waits->add(own);
        }
    }
    if (!first) return;
    wall.report(state);
    state.counters["p50_us"] = waits->percentile(0.5);
    state.counters["p99_us"] = waits->percentile(0.99);
    state.counters["p999_us"] = waits->percentile(0.999);
    shared->check(state, static_cast<std::uint64_t>(state.iterations() * state.threads()), resources);
    shared.reset();
}

void sizes(benchmark::internal::Benchmark* benchmark, int threads, int resources) {
    // A fixed number: what a turn costs differs so much from one attempt to the next that a search for one goes astray.
    benchmark->ArgNames({"resources", "work_us"})->Threads(threads)->UseRealTime()->Iterations(50'000 / threads);
    for (int const work : {0, 2}) benchmark->Args({resources, work});
}

template <class Pool>
void sizes_of(char const* name) {
    for (auto const& [threads, resources] : {std::pair{4, 2}, std::pair{8, 4}, std::pair{64, 4}})
        sizes(benchmark::RegisterBenchmark(name, &scarce<Pool>), threads, resources);
}

// With patience the one in front lets others go first for so long, as a mutex does: fewer switches, longer tails.
struct Patient : bench::Weir<Resource> {
    Patient(std::size_t size, Resource::Total& total)
        : bench::Weir<Resource>{size, total, {.wait = {.patience = std::chrono::milliseconds{1}}}} {}
};

bool const registered = [] {
    sizes_of<bench::Weir<Resource>>("scarce/weir");
    sizes_of<Patient>("scarce/weir_patient");
    sizes_of<bench::Naive<Resource>>("scarce/naive");
    return true;
}();

}  // namespace
