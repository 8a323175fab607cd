// Several threads take and return as fast as they can; the pool never runs empty.

#include <contenders/naive.hpp>
#include <contenders/peers.hpp>
#include <contenders/weir.hpp>
#include <optional>
#include <string>
#include <work.hpp>

namespace {

// The argument says how many resources there are; 0: as many as threads.
template <class Pool>
void threads(benchmark::State& state) {
    static std::optional<bench::Shared<Pool>> shared;
    auto const resources = static_cast<std::size_t>(state.range(0) ? state.range(0) : state.threads());
    bool const first = state.thread_index() == 0;
    if (first) shared.emplace(resources);
    bench::WallClock const wall;
    for (auto _ : state) {
        auto const held = shared->pool().acquire();
        held->use();
    }
    // All threads have left the loop when the first does.
    if (!first) return;
    wall.report(state);
    shared->check(state, static_cast<std::uint64_t>(state.iterations() * state.threads()), resources);
    shared.reset();
}

void sizes(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgName("resources")->UseRealTime();
    for (int const count : {1, 2, 4, 16, 64}) benchmark->Threads(count);
    for (int const resources : {128, 0}) benchmark->Arg(resources);
}

using bench::Resource;
bool const registered = [] {
    bench::each_peer<Resource>([]<class Pool>(std::string const& name) {
        sizes(benchmark::RegisterBenchmark(("threads/" + name).c_str(), &threads<Pool>));
    });
    return true;
}();
BENCHMARK(threads<bench::Weir<Resource>>)->Name("threads/weir")->Apply(sizes);
BENCHMARK(threads<bench::Weir<Resource, weir::TaggedStack>>)->Name("threads/weir_tagged_stack")->Apply(sizes);
BENCHMARK(threads<bench::Weir<Resource, weir::LockedStack>>)->Name("threads/weir_locked_stack")->Apply(sizes);
BENCHMARK(threads<bench::Naive<Resource>>)->Name("threads/naive")->Apply(sizes);

}  // namespace
