// Nearly everything is lent, as in a busy service: does a pool look for what is left among all there is? The shape of
// Finagle's PoolBench.

#include <contenders/naive.hpp>
#include <contenders/peers.hpp>
#include <contenders/weir.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>
#include <work.hpp>

namespace {

using bench::Resource;

constexpr std::size_t resources = 1000;

// As many are left as there are threads.
template <class Pool>
void lent(benchmark::State& state) {
    static std::optional<bench::Shared<Pool>> shared;
    std::vector<decltype(std::declval<Pool&>().acquire())> rest;
    bool const first = state.thread_index() == 0;
    if (first) {
        shared.emplace(resources);
        for (auto i = static_cast<std::size_t>(state.threads()); i < resources; ++i) {
            rest.push_back(shared->pool().acquire());
            rest.back()->use();
        }
    }
    bench::WallClock const wall;
    for (auto _ : state) {
        auto held = shared->pool().acquire();
        held->use();
    }
    // All threads have left the loop when the first does.
    if (!first) return;
    if (state.threads() > 1) wall.report(state);
    auto const uses = static_cast<std::uint64_t>(state.iterations() * state.threads()) + rest.size();
    rest.clear();
    shared->check(state, uses, resources);
    shared.reset();
}

void sizes(benchmark::internal::Benchmark* benchmark) { benchmark->Threads(1)->Threads(2)->UseRealTime(); }

bool const registered = [] {
    bench::each_peer<Resource>([]<class Pool>(std::string const& name) {
        sizes(benchmark::RegisterBenchmark(("lent/" + name).c_str(), &lent<Pool>));
    });
    return true;
}();
BENCHMARK(lent<bench::Weir<Resource>>)->Name("lent/weir")->Apply(sizes);
BENCHMARK(lent<bench::Weir<Resource, weir::TaggedStack>>)->Name("lent/weir_tagged_stack")->Apply(sizes);
BENCHMARK(lent<bench::Naive<Resource>>)->Name("lent/naive")->Apply(sizes);

}  // namespace
