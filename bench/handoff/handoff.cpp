// Two threads, one resource: how long from one's return to the other's lease?

#include <algorithm>
#include <contenders/naive.hpp>
#include <contenders/weir.hpp>
#include <optional>
#include <thread>
#include <vector>
#include <work.hpp>

namespace {

using bench::Clock;
using bench::Resource;

// The two lend it to each other in turn, and who returns it waits until the other has come for it.
template <class Pool>
class Pair {
public:
    explicit Pair(std::size_t resources) : shared_{resources} {}

    // How long the other's word that he is coming is let stand before the resource is returned: long enough for him to
    // be asleep, or not at all.
    Clock::duration settle{};

    /// Takes it, and holds it until the other has come for it; then returns it, and stays away until he has it. The
    /// time that it took to get from him to us.
    Clock::duration turn(int self) {
        coming_ = self;
        auto held = shared_.pool().acquire();
        auto const taken = Clock::now() - returned_;
        holder_ = self;
        held->use();
        spin_until([&] { return coming_ == 1 - self; });
        if (settle > settle.zero()) spin_until([until = Clock::now() + settle] { return Clock::now() >= until; });
        returned_ = Clock::now();
        held = {};
        spin_until([&] { return holder_ == 1 - self; });
        return taken;
    }

    /// The other has had his last turn.
    void end() { over_ = true; }
    bool over() const { return over_; }

    void check(benchmark::State& state, std::uint64_t uses) { shared_.check(state, uses, 1); }

private:
    template <class Done>
    void spin_until(Done done) const {
        // Where the two must share a processor, each would spin until the end of his time slice.
        for (unsigned tries = 1; !done() && !over_; ++tries) {
            if (tries % 1024 == 0) std::this_thread::yield();
        }
    }

    bench::Shared<Pool> shared_;
    alignas(64) std::atomic<int> coming_{-1};  // who is about to acquire
    alignas(64) std::atomic<int> holder_{-1};
    alignas(64) std::atomic<bool> over_{false};
    Clock::time_point returned_{};  // belongs to who holds the resource
};

// The argument: microseconds that the other has had to fall asleep.
template <class Pool>
void handoff(benchmark::State& state) {
    Pair<Pool> pair{1};
    pair.settle = std::chrono::microseconds{state.range(0)};
    std::uint64_t others = 0;
    std::thread other{[&] {
        for (; !pair.over(); ++others) pair.turn(1);
    }};
    pair.turn(0);  // before it there was no hand-off
    bench::Histogram times;
    for (auto _ : state) {
        auto const time = pair.turn(0);
        times.add(time);
        state.SetIterationTime(bench::seconds(time));
    }
    pair.end();
    other.join();
    state.counters["p50_us"] = times.percentile(0.5);
    state.counters["p99_us"] = times.percentile(0.99);
    pair.check(state, static_cast<std::uint64_t>(state.iterations()) + 1 + others);
}

// No manners: both take and return as fast as they can, and whether there is any hand-off is the pool's affair.
template <class Pool>
void scramble(benchmark::State& state) {
    static std::optional<bench::Shared<Pool>> shared;
    bool const first = state.thread_index() == 0;
    if (first) shared.emplace(1);
    bench::WallClock const wall;
    for (auto _ : state) {
        auto const held = shared->pool().acquire();
        held->use();
    }
    if (!first) return;
    wall.report(state);
    shared->check(state, static_cast<std::uint64_t>(state.iterations() * state.threads()), 1);
    shared.reset();
}

void waits(benchmark::internal::Benchmark* benchmark) {
    // A fixed number: on a busy machine a turn takes so much longer that a search for one goes astray.
    benchmark->ArgName("asleep_us")->Arg(0)->Arg(50)->UseManualTime()->Iterations(1000);
}

BENCHMARK(handoff<bench::Weir<Resource>>)->Name("handoff/weir")->Apply(waits);
BENCHMARK(handoff<bench::Naive<Resource>>)->Name("handoff/naive")->Apply(waits);
BENCHMARK(scramble<bench::Weir<Resource>>)->Name("scramble/weir")->Threads(2)->UseRealTime();
BENCHMARK(scramble<bench::Naive<Resource>>)->Name("scramble/naive")->Threads(2)->UseRealTime();

}  // namespace
