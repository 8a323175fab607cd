// Many users of few connections: what does a share cost, taken and given back, and what does the choice among several?

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>
#include <weir/shared_pool.hpp>
#include <work.hpp>

namespace {

/// What is shared: it knows nothing of its users, as they would fight over that.
struct alignas(64) Connection {
    int number = 0;
};

class Weir {
public:
    explicit Weir(std::size_t connections)
        : pool_{[] { return Connection{1}; }, {.size = {.connections = connections}}} {
        pool_.warm_up(connections);
    }

    auto acquire() { return pool_.acquire(); }
    std::size_t open() const { return static_cast<std::size_t>(pool_.stats().open); }

private:
    weir::SharedPool<Connection> pool_;
};

/// What is written by hand, of one connection.
class MutexSharedPtr {
public:
    explicit MutexSharedPtr(std::size_t) {}

    std::shared_ptr<Connection> acquire() {
        std::lock_guard const lock{mutex_};
        if (!connection_) connection_ = std::make_shared<Connection>(Connection{1});
        return connection_;
    }
    std::size_t open() const { return connection_ ? 1 : 0; }

private:
    std::mutex mutex_;
    std::shared_ptr<Connection> connection_;
};

class AtomicSharedPtr {
public:
    explicit AtomicSharedPtr(std::size_t) : connection_{std::make_shared<Connection>(Connection{1})} {}

    std::shared_ptr<Connection> acquire() { return connection_.load(); }
    std::size_t open() const { return connection_.load() ? 1 : 0; }

private:
    std::atomic<std::shared_ptr<Connection>> connection_;
};

/// The same of several, with the fewest users first.
class MutexLeastLoaded {
    struct Counted {
        Connection connection{1};
        std::size_t users = 0;
    };

public:
    class Lease {
    public:
        Lease(MutexLeastLoaded& pool, Counted& of) noexcept : pool_{&pool}, of_{&of} {}
        Lease(Lease&& other) noexcept : pool_{std::exchange(other.pool_, nullptr)}, of_{other.of_} {}
        Lease& operator=(Lease&&) = delete;
        ~Lease() {
            if (!pool_) return;
            std::lock_guard const lock{pool_->mutex_};
            --of_->users;
        }
        Connection* operator->() const noexcept { return &of_->connection; }

    private:
        MutexLeastLoaded* pool_;
        Counted* of_;
    };

    explicit MutexLeastLoaded(std::size_t connections) : all_(connections) {}

    Lease acquire() {
        std::lock_guard const lock{mutex_};
        auto& least = *std::min_element(all_.begin(), all_.end(),
                                        [](Counted const& a, Counted const& b) { return a.users < b.users; });
        ++least.users;
        return {*this, least};
    }
    std::size_t open() const { return all_.size(); }

private:
    std::mutex mutex_;
    std::vector<Counted> all_;
};

/// Two changes to one word, which is the least that a count of users costs.
class TwoAdditions {
public:
    class Lease {
    public:
        explicit Lease(TwoAdditions& pool) noexcept : pool_{&pool} { pool_->users_.fetch_add(1); }
        Lease(Lease&& other) noexcept : pool_{std::exchange(other.pool_, nullptr)} {}
        Lease& operator=(Lease&&) = delete;
        ~Lease() {
            if (pool_) pool_->users_.fetch_sub(1);
        }
        Connection* operator->() const noexcept { return &pool_->connection_; }

    private:
        TwoAdditions* pool_;
    };

    explicit TwoAdditions(std::size_t) {}

    Lease acquire() { return Lease{*this}; }
    std::size_t open() const { return 1; }

private:
    alignas(64) std::atomic<std::size_t> users_{0};
    Connection connection_{1};
};

// The argument: how many connections there are.
template <class Pool>
void shared(benchmark::State& state) {
    static std::optional<Pool> pool;
    auto const connections = static_cast<std::size_t>(state.range(0));
    bool const first = state.thread_index() == 0;
    if (first) pool.emplace(connections);
    std::uint64_t uses = 0;
    bench::WallClock const wall;
    for (auto _ : state) {
        auto const lease = pool->acquire();
        uses += static_cast<std::uint64_t>(lease->number);
        benchmark::ClobberMemory();
    }
    if (uses != static_cast<std::uint64_t>(state.iterations())) state.SkipWithError("a use was lost");
    if (!first) return;
    if (state.threads() > 1) wall.report(state);
    if (pool->open() != connections) state.SkipWithError("not as many are open as should be");
    pool.reset();
}

void one(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgName("connections")->UseRealTime()->Arg(1);
    for (int const threads : {1, 2, 16}) benchmark->Threads(threads);
}
void several(benchmark::internal::Benchmark* benchmark) {
    one(benchmark);
    benchmark->Arg(4)->Arg(32);
}

BENCHMARK(shared<Weir>)->Name("shared/weir")->Apply(several);
BENCHMARK(shared<MutexSharedPtr>)->Name("shared/mutex_shared_ptr")->Apply(one);
BENCHMARK(shared<AtomicSharedPtr>)->Name("shared/atomic_shared_ptr")->Apply(one);
BENCHMARK(shared<MutexLeastLoaded>)->Name("shared/mutex_least_loaded")->Apply(several);
BENCHMARK(shared<TwoAdditions>)->Name("shared/two_additions")->Apply(one);

}  // namespace
