// Resources keep the setting that was applied to them: what does it cost to ask for one that has a certain setting?

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <contenders/weir.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>
#include <weir/policy/settings.hpp>
#include <work.hpp>

namespace {

using bench::Resource;

constexpr int none = -1;

struct Session : Resource {
    using Resource::Resource;

    int setting = none;
};

/// What a pool has done to its sessions since it was made.
struct Hooks {
    std::uint64_t applied = 0;
    std::uint64_t reset = 0;
};

struct Connector {
    Resource::Total* total;

    Session connect() const { return Session{*total}; }
    void apply(Session& session, int setting) const { session.setting = setting; }
    void reset(Session& session) const { session.setting = none; }
};

template <std::size_t N>
class Weir {
public:
    Weir(std::size_t size, Resource::Total& total) : pool_{Connector{&total}, {.size = {.high = size}}} {}

    weir::Lease<Session> acquire() { return pool_.acquire(); }
    weir::Lease<Session> acquire(int setting) { return pool_.acquire(setting); }

    Hooks hooks() const {
        auto const stats = pool_.stats();
        return {stats.settings_applied, stats.settings_reset};
    }

private:
    weir::Pool<Session, weir::SettingBuckets<int, N>> pool_;
};

struct WeirWithoutSettings : bench::Weir<Session> {
    using bench::Weir<Session>::Weir;

    static Hooks hooks() { return {}; }
};

/// What everybody would write: the idle ones by their setting, under one mutex.
class Naive {
public:
    struct GiveBack {
        void operator()(Session* session) const { pool->release(session); }
        Naive* pool;
    };
    using Held = std::unique_ptr<Session, GiveBack>;

    Naive(std::size_t size, Resource::Total& total) {
        for (std::size_t i = 0; i < size; ++i) {
            sessions_.push_back(std::make_unique<Session>(total));
            idle_[none].push_back(sessions_.back().get());
        }
        idle_count_ = size;
    }

    Held acquire() { return acquire(none); }
    Held acquire(int setting) {
        Held held{take(setting), {this}};
        if (held->setting == setting) return held;
        if (held->setting != none) ++reset_;
        if (setting != none) ++applied_;
        held->setting = setting;
        return held;
    }

    Hooks hooks() const { return {applied_, reset_}; }

private:
    Session* take(int setting) {
        std::unique_lock lock{mutex_};
        returned_.wait(lock, [this] { return idle_count_ > 0; });
        --idle_count_;
        auto* from = &idle_[setting];
        if (from->empty()) from = &idle_[none];
        if (from->empty())
            from = &std::find_if(idle_.begin(), idle_.end(), [](auto const& some) {
                        return !some.second.empty();
                    })->second;
        auto* const session = from->back();
        from->pop_back();
        return session;
    }

    void release(Session* session) {
        {
            std::lock_guard const lock{mutex_};
            idle_[session->setting].push_back(session);
            ++idle_count_;
        }
        returned_.notify_one();
    }

    std::vector<std::unique_ptr<Session>> sessions_;
    std::mutex mutex_;  // protects the idle ones
    std::condition_variable returned_;
    std::unordered_map<int, std::vector<Session*>> idle_;
    std::size_t idle_count_ = 0;
    std::atomic<std::uint64_t> applied_{0};
    std::atomic<std::uint64_t> reset_{0};
};

/// What is asked for, over and over.
struct Wanted {
    int settings;
    std::vector<int> sequence;
};

Wanted in_turn(int settings) {
    Wanted wanted{settings, {}};
    for (int i = 0; i < settings; ++i) wanted.sequence.push_back(i);
    return wanted;
}

// The setting k is asked for 1/(k + 1) as often as the first.
Wanted zipf(int settings, std::size_t length) {
    std::vector<double> weights;
    for (int i = 0; i < settings; ++i) weights.push_back(1.0 / (i + 1));
    std::discrete_distribution<int> next{weights.begin(), weights.end()};
    std::mt19937_64 random{1};
    Wanted wanted{settings, {}};
    for (std::size_t i = 0; i < length; ++i) wanted.sequence.push_back(next(random));
    return wanted;
}

template <class Pool>
auto acquire(Pool& pool, int setting) {
    if constexpr (requires { pool.acquire(setting); }) {
        if (setting != none) return pool.acquire(setting);
    }
    return pool.acquire();
}

// All are opened, and each setting is on so many.
template <class Pool>
void prepare(Pool& pool, Wanted const& wanted, std::size_t copies) {
    std::vector<decltype(pool.acquire())> all;
    for (std::size_t copy = 0; copy < copies; ++copy) {
        if (wanted.settings == 0) all.push_back(pool.acquire());
        for (int i = 0; i < wanted.settings; ++i) all.push_back(acquire(pool, i));
    }
}

// There are as many with each setting as threads: nobody would ever have to change one, could he look at all at once.
template <class Pool>
void settings(benchmark::State& state, Wanted const& wanted) {
    static std::optional<bench::Shared<Pool>> shared;
    static Hooks before;
    auto const copies = static_cast<std::size_t>(state.threads());
    auto const resources = copies * static_cast<std::size_t>(std::max(wanted.settings, 1));
    bool const first = state.thread_index() == 0;
    if (first) {
        shared.emplace(resources);
        prepare(shared->pool(), wanted, copies);
        before = shared->pool().hooks();
    }
    auto const length = wanted.sequence.size();
    auto next = length * static_cast<std::size_t>(state.thread_index()) / copies;  // not all in step
    std::uint64_t wrong = 0;
    bench::WallClock const wall;
    for (auto _ : state) {
        int const setting = wanted.sequence[next];
        if (++next == length) next = 0;
        auto held = acquire(shared->pool(), setting);
        held->use();
        wrong += held->setting != setting;
    }
    if (wrong > 0) state.SkipWithError("a resource did not have the setting that was asked for");
    // All threads have left the loop when the first does.
    if (!first) return;
    if (state.threads() > 1) wall.report(state);
    auto const after = shared->pool().hooks();
    auto const pairs = static_cast<std::uint64_t>(state.iterations() * state.threads());
    auto const pct = [&](std::uint64_t hooks) { return 100 * static_cast<double>(hooks) / static_cast<double>(pairs); };
    state.counters["applied_pct"] = pct(after.applied - before.applied);
    state.counters["reset_pct"] = pct(after.reset - before.reset);
    if (state.threads() == 1 && after.applied != before.applied)
        state.SkipWithError("a setting was changed although one that had it was idle");
    shared->check(state, pairs, resources);
    shared.reset();
}

template <class Pool>
void sizes_of(std::string const& name, Wanted wanted) {
    auto const run = [wanted = std::move(wanted)](benchmark::State& state) { settings<Pool>(state, wanted); };
    benchmark::RegisterBenchmark(("settings/" + name).c_str(), run)->Threads(1)->Threads(2)->UseRealTime();
}

template <class Pool>
void patterns_of(std::string const& name) {
    sizes_of<Pool>(name + "/none", {0, {none}});
    sizes_of<Pool>(name + "/one", in_turn(1));
    sizes_of<Pool>(name + "/eight", in_turn(8));
    sizes_of<Pool>(name + "/zipf", zipf(64, 4096));
}

bool const registered = [] {
    sizes_of<WeirWithoutSettings>("weir_no_settings/none", {0, {none}});
    patterns_of<Weir<8>>("weir");
    patterns_of<Weir<64>>("weir_64_buckets");
    patterns_of<Naive>("naive");
    return true;
}();

}  // namespace
