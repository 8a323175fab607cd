// How many instructions an idle acquire and its return are; to be counted by bench/instructions.py, not timed.

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <contenders/naive.hpp>
#include <contenders/weir.hpp>
#include <cstdint>
#include <weir/object_pool.hpp>
#include <work.hpp>

namespace {

using bench::Resource;

struct Connector {
    Resource::Total* total;

    Resource connect() const { return Resource{*total}; }
    void apply(Resource&, int) const {}
    void reset(Resource&) const {}
};

/// What a service that runs for months has: settings, and bounds on age and uses.
class WithSettingsAndUpkeep {
public:
    using Pool = weir::Pool<Resource, weir::SettingBuckets<int>, weir::Upkeep>;

    WithSettingsAndUpkeep(std::size_t size, Resource::Total& total)
        : pool_{Connector{&total},
                {.size = {.high = size}, .upkeep = {.max_age = std::chrono::hours{1}, .max_uses = 1'000'000'000}}} {}

    weir::Lease<Resource> acquire() { return pool_.acquire(); }
    weir::Lease<Resource> acquire(int setting) { return pool_.acquire(setting); }

private:
    Pool pool_;
};

/// The same, asked for a setting each time.
struct WithASetting : WithSettingsAndUpkeep {
    using WithSettingsAndUpkeep::WithSettingsAndUpkeep;
    weir::Lease<Resource> acquire() { return WithSettingsAndUpkeep::acquire(7); }
};

/// A pool of objects, which needs none of all that.
class Objects {
public:
    Objects(std::size_t, Resource::Total& total) : pool_{[&total] { return Resource{total}; }} {}

    auto acquire() { return pool_.acquire(); }

private:
    weir::ObjectPool<Resource> pool_;
};

// A function of its own: else the compiler spreads the pool's members over registers that no service could spare.
template <class Pool>
[[gnu::noinline]] void pairs(Pool& pool, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
        auto held = pool.acquire();
        held->use();
    }
}

template <class Pool>
void instructions(benchmark::State& state) {
    bench::Shared<Pool> shared{1};
    auto const count = state.range(0);
    for (auto _ : state) pairs(shared.pool(), count);
    shared.check(state, static_cast<std::uint64_t>(state.iterations() * count), 1);
}

/// As a handler of an io_context: served at once, or handed what the one before gives back when it has asked again.
template <bool handed_over>
struct Handler {
    weir::Pool<Resource>& pool;
    boost::asio::io_context& io;
    std::int64_t& left;

    void start() const { pool.async_acquire(boost::asio::bind_executor(io.get_executor(), *this)); }

    void operator()(boost::system::error_code failed, weir::Lease<Resource> held) const {
        if (failed || left-- <= 0) return;
        held->use();
        if (!handed_over) held.release();
        start();
    }
};

template <bool handed_over>
void async_instructions(benchmark::State& state) {
    boost::asio::io_context io;
    bench::Shared<bench::Weir<Resource>> shared{boost::asio::any_io_executor{io.get_executor()}, 1};
    auto const count = state.range(0);
    for (auto _ : state) {
        std::int64_t left = count;
        Handler<handed_over>{shared.pool().get(), io, left}.start();
        io.run();
    }
    shared.check(state, static_cast<std::uint64_t>(state.iterations() * count), 1);
}

// One iteration each: the difference between the two is what so many pairs more cost, and nothing else.
void counts(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgName("pairs")->Arg(10'000)->Arg(110'000)->Iterations(1);
}

BENCHMARK(instructions<bench::Weir<Resource>>)->Name("instructions/weir")->Apply(counts);
BENCHMARK(instructions<bench::Weir<Resource, weir::TaggedStack>>)
    ->Name("instructions/weir_tagged_stack")
    ->Apply(counts);
BENCHMARK(instructions<WithSettingsAndUpkeep>)->Name("instructions/weir_settings_upkeep")->Apply(counts);
BENCHMARK(instructions<WithASetting>)->Name("instructions/weir_settings_upkeep_setting")->Apply(counts);
BENCHMARK(async_instructions<false>)->Name("instructions/weir_async")->Apply(counts);
BENCHMARK(async_instructions<true>)->Name("instructions/weir_async_handoff")->Apply(counts);
BENCHMARK(instructions<Objects>)->Name("instructions/weir_objects")->Apply(counts);
BENCHMARK(instructions<bench::Naive<Resource>>)->Name("instructions/naive")->Apply(counts);

}  // namespace
