// One thread takes an idle resource and gives it back.

#include <contenders/floors.hpp>
#include <contenders/naive.hpp>
#include <contenders/weir.hpp>
#include <thread>
#include <work.hpp>
#if defined(__linux__)
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

constexpr std::size_t resources = 128;

template <class Floor>
void floor(benchmark::State& state) {
    Floor floor;
    for (auto _ : state) floor.pair();
    if (floor.changes() != 2 * static_cast<std::uint64_t>(state.iterations())) state.SkipWithError("lost a change");
}

#if defined(__linux__)
// And what who is about to wait would pay for it: every running thread of the process is made to fence.
void membarrier(benchmark::State& state) {
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0)
        return state.SkipWithError("the kernel has no membarrier");
    std::jthread const busy{[](std::stop_token const& stop) {
        while (!stop.stop_requested()) benchmark::ClobberMemory();
    }};
    for (auto _ : state)
        if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) state.SkipWithError("it failed");
}
BENCHMARK(membarrier)->Name("floor/membarrier");
#endif

/// Keeps this thread on the processor on which it is.
class Stay {
#if defined(__linux__)
public:
    Stay() {
        sched_getaffinity(0, sizeof before_, &before_);
        cpu_set_t here;
        CPU_ZERO(&here);
        CPU_SET(static_cast<std::size_t>(sched_getcpu()), &here);
        sched_setaffinity(0, sizeof here, &here);
    }
    Stay(Stay const&) = delete;
    Stay& operator=(Stay const&) = delete;
    ~Stay() { sched_setaffinity(0, sizeof before_, &before_); }

private:
    cpu_set_t before_{};
#endif
};

// Only the pointer is looked at: all contenders lend the latest returned first, some of them that of the processor, so
// it is always the same.
template <class Pool>
void sync(benchmark::State& state) {
    [[maybe_unused]] Stay const here;
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
BENCHMARK(floor<bench::ExchangeAndStore>)->Name("floor/xchg_and_store");
BENCHMARK(floor<bench::TwoCas16>)->Name("floor/two_cmpxchg16b");
BENCHMARK(floor<bench::TwoCas16WithLoads>)->Name("floor/two_cmpxchg16b_and_loads");
BENCHMARK(sync<bench::Weir<Resource>>)->Name("sync/weir");
BENCHMARK(sync<bench::Weir<Resource, weir::TaggedStack>>)->Name("sync/weir_tagged_stack");
BENCHMARK(sync<bench::Weir<Resource, weir::LockedStack>>)->Name("sync/weir_locked_stack");
BENCHMARK(sync<bench::Naive<Resource>>)->Name("sync/naive");

}  // namespace
