// Several leases are held at once, as an asynchronous server does: what does the one place that is quick to reach help?

#include <array>
#include <contenders/floors.hpp>
#include <contenders/naive.hpp>
#include <contenders/peers.hpp>
#include <contenders/weir.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <work.hpp>

namespace {

using bench::Resource;

constexpr std::size_t most = 16;
constexpr std::size_t resources = 128;

// The argument: how many leases a thread takes before it returns them, in the order in which it took them.
template <class Pool>
void held(benchmark::State& state) {
    static std::optional<bench::Shared<Pool>> shared;
    auto const leases = static_cast<std::size_t>(state.range(0));
    bool const first = state.thread_index() == 0;
    if (first) shared.emplace(resources);
    std::array<std::optional<decltype(std::declval<Pool&>().acquire())>, most> all;
    bench::WallClock const wall;
    for (auto _ : state) {
        for (std::size_t i = 0; i < leases; ++i) all[i].emplace(shared->pool().acquire())->use();
        for (std::size_t i = 0; i < leases; ++i) all[i].reset();
    }
    if (!first) return;
    wall.report(state, leases);
    shared->check(state, static_cast<std::uint64_t>(state.iterations() * state.threads()) * leases, resources);
    shared.reset();
}

// The same number of changes to a word that each thread has for itself.
template <class Floor>
void floor(benchmark::State& state) {
    Floor own;
    auto const leases = static_cast<std::size_t>(state.range(0));
    bench::WallClock const wall;
    for (auto _ : state)
        for (std::size_t i = 0; i < leases; ++i) own.pair();
    if (own.changes() != static_cast<std::uint64_t>(state.iterations()) * leases * 2)
        state.SkipWithError("a change was lost");
    if (state.thread_index() == 0) wall.report(state, leases);
}

void sizes(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgName("leases")->UseRealTime();
    for (int const threads : {1, 2}) benchmark->Threads(threads);
    for (int const leases : {1, 4, 16}) benchmark->Arg(leases);
}

bool const registered = [] {
    bench::each_peer<Resource>([]<class Pool>(std::string const& name) {
        sizes(benchmark::RegisterBenchmark(("held/" + name).c_str(), &held<Pool>));
    });
    return true;
}();
BENCHMARK(held<bench::Weir<Resource>>)->Name("held/weir")->Apply(sizes);
BENCHMARK(held<bench::Weir<Resource, weir::TaggedStack>>)->Name("held/weir_tagged_stack")->Apply(sizes);
BENCHMARK(held<bench::Naive<Resource>>)->Name("held/naive")->Apply(sizes);
BENCHMARK(floor<bench::TwoCas16WithLoads>)->Name("held/private_two_cmpxchg16b")->Apply(sizes);
BENCHMARK(floor<bench::TwoExchanges>)->Name("held/private_two_xchg")->Apply(sizes);

}  // namespace
