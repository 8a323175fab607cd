// Buffers of 1 to 64 KiB, of which a few bytes are used: what it costs to have one.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <new>
#include <optional>
#include <weir/buffer_pool.hpp>
#include <work.hpp>

namespace {

class Weir {
public:
    auto acquire(std::size_t size) { return pool_.acquire(size); }

private:
    weir::BufferPool pool_{weir::BufferPool::Options{.min = 1024, .max = 65536}};
};

class NewDelete {
public:
    std::unique_ptr<std::byte[]> acquire(std::size_t size) { return std::make_unique_for_overwrite<std::byte[]>(size); }
};

/// The standard library's own pool.
class Pmr {
public:
    struct GiveBack {
        void operator()(std::byte* data) const { pmr->pool_.deallocate(data, size); }
        Pmr* pmr;
        std::size_t size;
    };

    std::unique_ptr<std::byte[], GiveBack> acquire(std::size_t size) {
        return {static_cast<std::byte*>(pool_.allocate(size)), GiveBack{this, size}};
    }

private:
    std::pmr::synchronized_pool_resource pool_{{.max_blocks_per_chunk = 0, .largest_required_pool_block = 65536}};
};

template <class Pool>
void buffers(benchmark::State& state) {
    static std::optional<Pool> pool;
    bool const first = state.thread_index() == 0;
    if (first) pool.emplace();
    std::uint64_t at = static_cast<std::uint64_t>(state.thread_index()) + 1;
    std::uint64_t wrong = 0;
    bench::WallClock const wall;
    for (auto _ : state) {
        at = at * 6364136223846793005 + 1442695040888963407;
        std::size_t const size = std::size_t{1024} << (at >> 61) % 7;
        auto const buffer = pool->acquire(size);
        auto* const data = &buffer[0];
        // The answer: nobody else writes into it.
        data[0] = data[size - 1] = static_cast<std::byte>(at >> 40);
        benchmark::ClobberMemory();
        wrong += data[0] != static_cast<std::byte>(at >> 40) || data[size - 1] != static_cast<std::byte>(at >> 40);
    }
    if (wrong) state.SkipWithError("a buffer was lent to two at once");
    if (first && state.threads() > 1) wall.report(state);
}

void counts(benchmark::internal::Benchmark* benchmark) {
    benchmark->UseRealTime();
    for (int const count : {1, 2, 16}) benchmark->Threads(count);
}
BENCHMARK(buffers<Weir>)->Name("buffers/weir")->Apply(counts);
BENCHMARK(buffers<NewDelete>)->Name("buffers/new_delete")->Apply(counts);
BENCHMARK(buffers<Pmr>)->Name("buffers/pmr_pool")->Apply(counts);

}  // namespace
