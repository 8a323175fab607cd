// A key is asked for where there is no memory, by threads and handlers: whatever could not be had, nothing of it is left.
// A program of its own, as it has an `operator new` of its own.

#include "support/stress.hpp"

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <weir/keyed_pool.hpp>

namespace {

/// So many more allocations of this thread succeed, and then one that does not.
constinit thread_local std::size_t left = std::size_t(-1);

void* allocate(std::size_t size, std::size_t alignment) {
    if (left != std::size_t(-1) && left-- == 0) throw std::bad_alloc{};  // after which there is memory again
    std::size_t const whole = (size + alignment - 1) / alignment * alignment;
    if (void* const memory = std::aligned_alloc(alignment, whole > 0 ? whole : alignment)) return memory;
    throw std::bad_alloc{};
}

}  // namespace

// Not inlined: g++ 12 would see a `free` of what `new` has returned, and warn.
[[gnu::noinline]] void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocate(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace {

using Pool = weir::KeyedPool<int, int>;
using weir::stress::check;

/// Has each allocation of `ask` fail in turn, until all succeed.
template <class Ask>
void without_memory(Pool& pool, Ask ask) {
    for (std::size_t n = 0;; ++n) {
        bool failed = false;
        left = n;
        try {
            ask();
        } catch (std::bad_alloc const&) {
            failed = true;
        }
        bool const spared = left != std::size_t(-1);
        left = std::size_t(-1);
        check(!failed || !pool.contains(1), "nothing of the key is left");
        check(!failed || pool.stats().open == 0, "nothing is open");
        pool.clear();
        if (spared) return static_cast<void>(check(n > 2, "there is something to allocate"));
    }
}

void round() {
    boost::asio::io_context io;
    Pool pool{io.get_executor(), [](int key) { return key; }, {.total = 1}};
    without_memory(pool, [&] { pool.acquire(1).release(); });
    std::size_t served = 0;
    without_memory(pool, [&] {
        pool.async_acquire(
            1, [&](boost::system::error_code ec, weir::Lease<int> const& lease) { served += !ec && lease ? 1 : 0; });
        io.restart();
        io.run();
    });
    check(served > 0, "with memory it is served");
    check(pool.close(), "it ends");
}

}  // namespace

int main(int argc, char** argv) {
    weir::stress::Until const until{argc, argv};
    std::uint64_t rounds = 0;
    do {
        round();
        ++rounds;
    } while (!until.over());
    return weir::stress::verdict("keyed_no_memory", rounds);
}
