// One thread takes an idle resource and gives it back.

#include <contenders/floors.hpp>
#include <contenders/naive.hpp>
#include <contenders/weir.hpp>
#include <work.hpp>

namespace {

constexpr std::size_t resources = 128;

template <class Floor>
void floor(benchmark::State& state) {
    Floor floor;
    for (auto _ : state) floor.pair();
    if (floor.changes() != 2 * static_cast<std::uint64_t>(state.iterations())) state.SkipWithError("lost a change");
}

// Only the pointer is looked at: all contenders lend the latest returned first, so it is always the same.
template <class Pool>
void sync(benchmark::State& state) {
    bench::Shared<Pool> shared{resources};
    auto probe = shared.pool().acquire();
    auto const* const first = probe.get();
    probe = {};
    bool same = true;
    for (auto _ : state) {
        auto held = shared.pool().acquire();
        same &= held.get() == first;
    }
    if (!same) state.SkipWithError("not the resource that was returned last");
    shared.check(state, 0, resources);
}

using bench::Resource;
BENCHMARK(floor<bench::TwoExchanges>)->Name("floor/two_xchg");
BENCHMARK(floor<bench::TwoCas16>)->Name("floor/two_cmpxchg16b");
BENCHMARK(floor<bench::TwoCas16WithLoads>)->Name("floor/two_cmpxchg16b_and_loads");
BENCHMARK(sync<bench::Weir<Resource>>)->Name("sync/weir");
BENCHMARK(sync<bench::Weir<Resource, weir::TaggedStack>>)->Name("sync/weir_tagged_stack");
BENCHMARK(sync<bench::Weir<Resource, weir::LockedStack>>)->Name("sync/weir_locked_stack");
BENCHMARK(sync<bench::Naive<Resource>>)->Name("sync/naive");

}  // namespace
