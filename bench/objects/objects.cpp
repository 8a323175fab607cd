// Scratch objects, of which there are always enough: taken and returned on one thread, or returned on another.

#include <array>
#include <atomic>
#include <contenders/objects.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <work.hpp>

namespace {

using Total = bench::Resource::Total;

/// What is worth keeping: it has memory of its own.
struct Scratch : bench::Resource {
    explicit Scratch(Total& total) : Resource{total}, text(256) {}

    std::vector<char> text;
};

/// A pool for all threads of a benchmark, which go together, as lists of their own go with them.
template <class Pool>
class Together {
public:
    Pool& pool() noexcept { return *pool_; }

    /// By each thread, when it has done; the first also says how many uses there should have been, and what is to be
    /// done when nobody uses the pool any more.
    template <class Clean>
    void leave(benchmark::State& state, std::uint64_t uses, Clean clean) {
        pool_->leave();
        left_.fetch_add(1);
        if (state.thread_index() != 0) return;
        while (left_.load() != state.threads()) std::this_thread::yield();
        clean();
        pool_->leave();
        pool_.reset();
        if (total_.uses != uses) state.SkipWithError("an object was lent to two at once, or never came back");
        state.counters["made"] = static_cast<double>(total_.made);
    }
    void leave(benchmark::State& state, std::uint64_t uses) {
        leave(state, uses, [] {});
    }

private:
    Total total_;
    std::unique_ptr<Pool> pool_ = std::make_unique<Pool>(total_);
    std::atomic<int> left_{0};
};

template <std::size_t held, class Pool>
void objects(benchmark::State& state) {
    static std::optional<Together<Pool>> together;
    bool const first = state.thread_index() == 0;
    if (first) together.emplace();
    bench::WallClock const wall;
    for (auto _ : state) {
        std::array<decltype(together->pool().acquire()), held> all;
        for (auto& one : all) {
            one = together->pool().acquire();
            one->use();
        }
    }
    if (first && state.threads() > 1) wall.report(state, held);
    together->leave(state, static_cast<std::uint64_t>(state.iterations() * state.threads()) * held);
}

// One at a time, and nothing of an array that the compiler would have to see through.
template <class Pool>
void object(benchmark::State& state) {
    static std::optional<Together<Pool>> together;
    bool const first = state.thread_index() == 0;
    if (first) together.emplace();
    bench::WallClock const wall;
    for (auto _ : state) {
        auto const one = together->pool().acquire();
        one->use();
    }
    if (first && state.threads() > 1) wall.report(state);
    together->leave(state, static_cast<std::uint64_t>(state.iterations() * state.threads()));
}

/// From one thread to another.
template <class Held>
class Ring {
public:
    /// False, and nothing done, when there is no room.
    bool push(Held& held) noexcept {
        Place& place = places_[in_ % places_.size()];
        if (place.full.load(std::memory_order_acquire)) return false;
        place.held = std::move(held);
        place.full.store(true, std::memory_order_release);
        ++in_;
        return true;
    }
    bool pop(Held& held) noexcept {
        Place& place = places_[out_ % places_.size()];
        if (!place.full.load(std::memory_order_acquire)) return false;
        held = std::move(place.held);
        place.full.store(false, std::memory_order_release);
        ++out_;
        return true;
    }

private:
    struct Place {
        std::atomic<bool> full{false};
        Held held{};
    };

    alignas(128) std::size_t in_ = 0;
    alignas(128) std::size_t out_ = 0;
    alignas(128) std::array<Place, 64> places_{};
};

// What a thread takes the next one returns, if it comes to it.
template <class Pool>
void passed(benchmark::State& state) {
    using Held = decltype(std::declval<Pool&>().acquire());
    static std::optional<Together<Pool>> together;
    static std::vector<Ring<Held>> rings;
    auto const me = static_cast<std::size_t>(state.thread_index());
    auto const threads = static_cast<std::size_t>(state.threads());
    if (me == 0) {
        together.emplace();
        rings = std::vector<Ring<Held>>(threads);
    }
    bench::WallClock const wall;
    for (auto _ : state) {
        auto mine = together->pool().acquire();
        mine->use();
        Held others;
        rings[(me + 1) % threads].push(mine);
        rings[me].pop(others);
    }
    if (me == 0) wall.report(state);
    together->leave(state, static_cast<std::uint64_t>(state.iterations()) * threads, [] { rings.clear(); });
}

void counts(benchmark::internal::Benchmark* benchmark) {
    benchmark->UseRealTime();
    for (int const count : {1, 2, 4, 16, 64}) benchmark->Threads(count);
}
void two(benchmark::internal::Benchmark* benchmark) { benchmark->UseRealTime()->Threads(2)->Threads(16); }

bool const registered = [] {
    bench::each_object_pool<Scratch, Total>([]<class Pool>(std::string const& name) {
        counts(benchmark::RegisterBenchmark(("objects/" + name + "/held:1").c_str(), &object<Pool>));
        counts(benchmark::RegisterBenchmark(("objects/" + name + "/held:4").c_str(), &objects<4, Pool>));
        two(benchmark::RegisterBenchmark(("objects/" + name + "/held:32").c_str(), &objects<32, Pool>));
        two(benchmark::RegisterBenchmark(("objects_passed/" + name).c_str(), &passed<Pool>));
    });
    return true;
}();

}  // namespace
