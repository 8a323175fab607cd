// More threads than resources: what gets done, how long does one wait for it, and does everybody get his share?

#include <algorithm>
#include <atomic>
#include <barrier>
#include <contenders/naive.hpp>
#include <contenders/peers.hpp>
#include <contenders/weir.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <work.hpp>

namespace {

using bench::Clock;
using bench::Resource;

constexpr std::chrono::milliseconds slice{100};  // threads get time in slices of some milliseconds: several of these

/// What one thread has seen.
struct Seen {
    std::uint64_t leases = 0;
    Clock::duration longest{};
    bench::Histogram waits;
};

// For so long, and not for so many leases each: then the last ones would have the pool for themselves.
template <class Pool>
void scarce(benchmark::State& state, int threads) {
    auto const resources = static_cast<std::size_t>(state.range(0));
    bench::Work const work{std::chrono::microseconds{state.range(1)}};
    // Without work a look at the clock costs more than the pool: one in so many is timed, a prime so that it does not
    // fall into step with anything.
    int const sampled = state.range(1) == 0 ? 7 : 1;
    std::uint64_t leases = 0;
    std::vector<Seen> all;
    bench::Shared<Pool> shared{resources};
    for (auto _ : state) {
        all.assign(static_cast<std::size_t>(threads), {});
        std::atomic<bool> over{false};
        std::barrier start{threads + 1};
        std::vector<std::jthread> running;
        for (auto& seen : all) {
            running.emplace_back([&] {
                start.arrive_and_wait();
                for (int left = 1; !over.load(std::memory_order_relaxed); ++seen.leases) {
                    bool const timed = --left == 0;
                    auto const asked = timed ? Clock::now() : Clock::time_point{};
                    auto held = shared.pool().acquire();
                    if (timed) {
                        auto const wait = Clock::now() - asked;
                        seen.waits.add(wait);
                        seen.longest = std::max(seen.longest, wait);
                        left = sampled;
                    }
                    held->use();
                    work();
                }
            });
        }
        start.arrive_and_wait();
        auto const begin = Clock::now();
        std::this_thread::sleep_for(slice);
        over = true;
        running.clear();
        auto const time = bench::seconds(Clock::now() - begin);
        for (auto const& seen : all) leases += seen.leases;
        state.SetIterationTime(time / static_cast<double>(leases));  // of one lease
    }
    bench::Histogram waits;
    for (auto const& seen : all) waits.add(seen.waits);
    auto const by_leases = [](Seen const& a, Seen const& b) { return a.leases < b.leases; };
    auto const [least, most] = std::minmax_element(all.begin(), all.end(), by_leases);
    auto const longest =
        std::max_element(all.begin(), all.end(), [](Seen const& a, Seen const& b) { return a.longest < b.longest; });
    state.counters["p50_us"] = waits.percentile(0.5);
    state.counters["p99_us"] = waits.percentile(0.99);
    state.counters["p999_us"] = waits.percentile(0.999);
    state.counters["max_us"] = bench::seconds(longest->longest) * 1e6;
    state.counters["fairness"] = static_cast<double>(least->leases) / static_cast<double>(most->leases);
    shared.check(state, leases, resources);
}

template <class Pool>
void sizes_of(std::string const& contender) {
    struct Size {
        int threads;
        int resources;
    };
    for (auto const& [threads, resources] : {Size{4, 2}, Size{8, 4}, Size{64, 4}}) {
        auto* const benchmark = benchmark::RegisterBenchmark(
            ("scarce/" + contender + "/threads:" + std::to_string(threads)).c_str(),
            [threads = threads](benchmark::State& state) { scarce<Pool>(state, threads); });
        benchmark->ArgNames({"resources", "work_us"})->UseManualTime()->Iterations(1);
        for (int const work : {0, 2, 100}) benchmark->Args({resources, work});
    }
}

// With patience the one in front lets others go first for so long, as a mutex does: fewer switches, longer tails.
struct Patient : bench::Weir<Resource> {
    Patient(std::size_t size, Resource::Total& total)
        : bench::Weir<Resource>{size, total, {.wait = {.patience = std::chrono::milliseconds{1}}}} {}
};

bool const registered = [] {
    sizes_of<bench::Weir<Resource>>("weir");
    sizes_of<Patient>("weir_patient");
    sizes_of<bench::Naive<Resource>>("naive");
    bench::each_peer<Resource>([]<class Pool>(std::string const& name) { sizes_of<Pool>(name); });
    return true;
}();

}  // namespace
