// How long it takes to close a pool: everything idle, or everything lent and coming back.

#include <condition_variable>
#include <contenders/weir.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>
#include <work.hpp>

namespace {

using bench::Clock;
using bench::Resource;

class Weir : public bench::Weir<Resource> {
public:
    using bench::Weir<Resource>::Weir;

    bool close() { return get().close(); }
    bool closed() { return get().closed(); }
};

/// With a `close` hook, which the pool's own threads call, as a hook may take its time.
class WeirWithHook {
public:
    WeirWithHook(std::size_t size, Resource::Total& total) : pool_{Connector{&total}, {.size = {.high = size}}} {
        std::vector<weir::Lease<Resource>> all;
        for (std::size_t i = 0; i < size; ++i) all.push_back(pool_.acquire());
    }

    weir::Lease<Resource> acquire() { return pool_.acquire(); }
    bool close() { return pool_.close(); }
    bool closed() const { return pool_.closed(); }

private:
    struct Connector {
        Resource::Total* total;

        Resource connect() const { return Resource{*total}; }
        void close(Resource&) const {}
    };

    weir::Pool<Resource> pool_;
};

/// Waits until all are back, and destroys its vector.
class Naive {
public:
    struct GiveBack {
        void operator()(Resource* item) const { pool->release(item); }
        Naive* pool;
    };
    using Held = std::unique_ptr<Resource, GiveBack>;

    Naive(std::size_t size, Resource::Total& total) {
        for (std::size_t i = 0; i < size; ++i) items_.push_back(std::make_unique<Resource>(total));
        for (auto const& item : items_) idle_.push_back(item.get());
    }

    Held acquire() {
        std::unique_lock lock{mutex_};
        returned_.wait(lock, [this] { return !idle_.empty(); });
        Held held{idle_.back(), {this}};
        idle_.pop_back();
        return held;
    }

    bool close() {
        closed_ = true;
        std::unique_lock lock{mutex_};
        returned_.wait(lock, [this] { return idle_.size() == items_.size(); });
        idle_.clear();
        items_.clear();
        return true;
    }
    bool closed() const { return closed_; }

private:
    void release(Resource* item) {
        std::lock_guard const lock{mutex_};
        idle_.push_back(item);
        returned_.notify_one();  // under the mutex: who closes may destroy this as soon as he has it
    }

    std::vector<std::unique_ptr<Resource>> items_;
    std::mutex mutex_;  // protects the idle ones
    std::condition_variable returned_;
    std::vector<Resource*> idle_;
    std::atomic<bool> closed_{false};
};

/// A pool, of which each resource has been used once: what is destroyed is counted.
template <class Pool>
class Closing {
public:
    explicit Closing(std::size_t resources) : resources_{resources}, pool_{std::in_place, resources, total_} {
        for (auto all = lend_all(); auto& held : all) held->use();
    }

    auto lend_all() {
        std::vector<decltype(pool_->acquire())> all;
        for (std::size_t i = 0; i < resources_; ++i) all.push_back(pool_->acquire());
        return all;
    }

    Pool& pool() { return *pool_; }

    /// Closes it, and tells how long that took.
    double close(benchmark::State& state) {
        auto const start = Clock::now();
        bool const drained = pool_->close();
        auto const time = bench::seconds(Clock::now() - start);
        if (!drained) state.SkipWithError("the pool did not come to its end");
        if (total_.made != resources_) state.SkipWithError("the pool made more or fewer resources than it may");
        if (total_.uses != resources_) state.SkipWithError("a resource was not closed, or lent to two");
        return time;
    }

private:
    std::size_t resources_;
    Resource::Total total_;
    std::optional<Pool> pool_;
};

template <class Pool>
void idle(benchmark::State& state) {
    auto const resources = static_cast<std::size_t>(state.range(0));
    for (auto _ : state) {
        Closing<Pool> closing{resources};
        state.SetIterationTime(closing.close(state));
    }
}

// Another thread returns them, one by one, as soon as the pool is closed.
template <class Pool>
void lent(benchmark::State& state) {
    auto const resources = static_cast<std::size_t>(state.range(0));
    for (auto _ : state) {
        Closing<Pool> closing{resources};
        std::atomic<bool> ready{false};
        std::thread user{[&closing, &ready] {
            auto all = closing.lend_all();
            ready = true;
            while (!closing.pool().closed()) std::this_thread::yield();
            all.clear();
        }};
        while (!ready) std::this_thread::yield();
        auto const time = closing.close(state);
        user.join();
        state.SetIterationTime(time);
    }
}

void sizes(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgName("resources")->Arg(1000)->UseManualTime()->Unit(benchmark::kMicrosecond);
}

BENCHMARK(idle<Weir>)->Name("close_idle/weir")->Apply(sizes);
BENCHMARK(idle<WeirWithHook>)->Name("close_idle/weir_with_hook")->Apply(sizes);
BENCHMARK(idle<Naive>)->Name("close_idle/naive")->Apply(sizes);
BENCHMARK(lent<Weir>)->Name("close_lent/weir")->Apply(sizes);
BENCHMARK(lent<WeirWithHook>)->Name("close_lent/weir_with_hook")->Apply(sizes);
BENCHMARK(lent<Naive>)->Name("close_lent/naive")->Apply(sizes);

}  // namespace
