// A pool for each of many keys: what does it cost to find the key's, and to keep to a total?

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>
#include <weir/keyed_pool.hpp>
#include <work.hpp>

namespace {

constexpr std::size_t per_key = 16;
constexpr std::size_t total = 1'024;

struct alignas(64) Connection {
    std::size_t key = 0;
};

/// Hosts, as a proxy's keys are.
std::vector<std::string> const& hosts() {
    static auto const all = [] {
        std::vector<std::string> made;
        for (std::size_t i = 0; i < 100'000; ++i) made.push_back("host" + std::to_string(i) + ".example");
        return made;
    }();
    return all;
}

std::size_t number_of(std::string const& host) { return std::stoul(host.substr(4)); }

template <bool bounded>
class Weir {
    using Pool = weir::KeyedPool<std::string, Connection, weir::KeepIdle>;

public:
    auto acquire(std::string const& host) { return pool_.acquire(host); }
    std::size_t open() { return static_cast<std::size_t>(pool_.stats().open); }

private:
    Pool pool_{[](std::string const& host) { return Connection{number_of(host)}; },
               typename Pool::Options{.per_key = {.size = {.high = per_key}},
                                      .total = bounded ? std::optional{total} : std::nullopt}};
};

/// A lease that gives back to whoever has `release(Place&)`.
template <class Pool, class Place>
class Held {
public:
    Held(Pool& pool, Place& place) noexcept : pool_{&pool}, place_{&place} {}
    Held(Held&& other) noexcept : pool_{std::exchange(other.pool_, nullptr)}, place_{other.place_} {}
    Held& operator=(Held&&) = delete;
    ~Held() {
        if (pool_) pool_->release(*place_);
    }
    Connection* operator->() const noexcept { return &place_->connection; }

private:
    Pool* pool_;
    Place* place_;
};

/// What is written by hand: a map of pools under a mutex, and a mutex in each.
class MapOfPools {
    class OfKey {
    public:
        struct Place {
            Connection connection;
        };

        explicit OfKey(std::size_t key) : key_{key} {}

        Held<OfKey, Place> acquire() {
            std::unique_lock lock{mutex_};
            returned_.wait(lock, [this] { return !idle_.empty() || all_.size() < per_key; });
            if (idle_.empty()) idle_.push_back(all_.emplace_back(std::make_unique<Place>(Connection{key_})).get());
            Place* const place = idle_.back();
            idle_.pop_back();
            return {*this, *place};
        }
        void release(Place& place) {
            {
                std::lock_guard const lock{mutex_};
                idle_.push_back(&place);
            }
            returned_.notify_one();
        }
        std::size_t open() const { return all_.size(); }

    private:
        std::size_t key_;
        std::mutex mutex_;
        std::condition_variable returned_;
        std::vector<std::unique_ptr<Place>> all_;
        std::vector<Place*> idle_;
    };

public:
    auto acquire(std::string const& host) {
        OfKey* pool = nullptr;
        {
            std::lock_guard const lock{mutex_};
            auto& found = pools_[host];
            if (!found) found = std::make_unique<OfKey>(number_of(host));
            pool = found.get();
        }
        return pool->acquire();
    }
    std::size_t open() {
        std::size_t sum = 0;
        for (auto const& [host, pool] : pools_) sum += pool->open();
        return sum;
    }

private:
    std::mutex mutex_;
    std::unordered_map<std::string, std::unique_ptr<OfKey>> pools_;
};

/// The same with a total: all under one mutex, and a list of what is idle in the order of its return, as in Go's net/http.
class MapWithList {
    struct Place {
        Connection connection;
        std::string const* host;
        std::list<Place*>::iterator idle{};
    };

public:
    Held<MapWithList, Place> acquire(std::string const& host) {
        std::lock_guard const lock{mutex_};
        auto& mine = idle_[host];
        if (!mine.empty()) {
            Place* const place = mine.back();
            mine.pop_back();
            by_age_.erase(place->idle);
            return {*this, *place};
        }
        if (open_ == total) close_coldest();  // there are never so many leases that none is idle
        ++open_;
        return {*this, *new Place{{number_of(host)}, &host}};
    }
    void release(Place& place) {
        std::lock_guard const lock{mutex_};
        idle_[*place.host].push_back(&place);
        place.idle = by_age_.insert(by_age_.end(), &place);
    }
    std::size_t open() const { return open_; }
    ~MapWithList() {
        while (!by_age_.empty()) close_coldest();
    }

private:
    void close_coldest() {
        std::unique_ptr<Place> const place{by_age_.front()};
        by_age_.pop_front();
        auto const found = idle_.find(*place->host);
        std::erase(found->second, place.get());
        if (found->second.empty()) idle_.erase(found);
        --open_;
    }

    std::mutex mutex_;
    std::unordered_map<std::string, std::vector<Place*>> idle_;
    std::list<Place*> by_age_;
    std::size_t open_ = 0;
};

// The argument: how many keys there are, each as likely as any other. All have one open when the clock starts, or as many
// as may.
template <class Pool>
void keyed(benchmark::State& state) {
    static std::optional<Pool> pool;
    auto const keys = static_cast<std::size_t>(state.range(0));
    bool const first = state.thread_index() == 0;
    if (first) {
        pool.emplace();
        for (std::size_t key = 0; key < keys; ++key) (void)pool->acquire(hosts()[key]);
    }
    std::uint64_t random = 0x9E3779B97F4A7C15 * static_cast<std::uint64_t>(state.thread_index() + 1);
    std::uint64_t wrong = 0;
    bench::WallClock const wall;
    for (auto _ : state) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::size_t const key = random % keys;
        auto const lease = pool->acquire(hosts()[key]);
        wrong += lease->key == key ? 0 : 1;
    }
    if (wrong > 0) state.SkipWithError("a connection of another key was lent");
    if (!first) return;
    if (state.threads() > 1) wall.report(state);
    if (pool->open() == 0) state.SkipWithError("nothing was kept");
    pool.reset();
}

void threads(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgName("keys")->UseRealTime();
    for (int const count : {1, 2, 16}) benchmark->Threads(count);
}
void all(benchmark::internal::Benchmark* benchmark) {
    threads(benchmark);
    benchmark->Arg(1)->Arg(100)->Arg(100'000);
}
void too_many(benchmark::internal::Benchmark* benchmark) {
    threads(benchmark);
    benchmark->Arg(100)->Arg(100'000);
}

BENCHMARK(keyed<Weir<false>>)->Name("keyed/weir")->Apply(all);
BENCHMARK(keyed<MapOfPools>)->Name("keyed/map_of_mutex_pools")->Apply(all);
BENCHMARK(keyed<Weir<true>>)->Name("keyed_total/weir")->Apply(too_many);
BENCHMARK(keyed<MapWithList>)->Name("keyed_total/map_with_list")->Apply(too_many);

}  // namespace
