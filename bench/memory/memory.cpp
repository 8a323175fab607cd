// What a pool, a resource in it and a wait for one take: bytes that are asked of operator new. The time says nothing.

#include <algorithm>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <contenders/channel.hpp>
#include <contenders/naive.hpp>
#include <contenders/weir.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>
#include <work.hpp>

namespace {

std::atomic<std::size_t> in_use{0};

constexpr std::size_t least = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

// The size of a block stands in front of it; `front` is the alignment, and no less than that.
void* allocate(std::size_t size, std::size_t front) {
    auto const whole = front + (size + front - 1) / front * front;
    auto* const memory = static_cast<std::byte*>(std::aligned_alloc(front, whole));
    if (!memory) throw std::bad_alloc{};
    in_use.fetch_add(size, std::memory_order_relaxed);
    return ::new (memory + front - sizeof size) std::size_t{size} + 1;
}

void deallocate(void* block, std::size_t front) noexcept {
    if (!block) return;
    in_use.fetch_sub(*(static_cast<std::size_t*>(block) - 1), std::memory_order_relaxed);
    std::free(static_cast<std::byte*>(block) - front);
}

std::size_t front_of(std::align_val_t align) noexcept { return std::max(std::size_t(align), least); }

}  // namespace

// All other forms of the library's call these.
void* operator new(std::size_t size) { return allocate(size, least); }
void* operator new(std::size_t size, std::align_val_t align) { return allocate(size, front_of(align)); }
void operator delete(void* block) noexcept { deallocate(block, least); }
void operator delete(void* block, std::size_t) noexcept { deallocate(block, least); }
void operator delete(void* block, std::align_val_t align) noexcept { deallocate(block, front_of(align)); }
void operator delete(void* block, std::size_t, std::align_val_t align) noexcept { deallocate(block, front_of(align)); }

namespace {

namespace asio = boost::asio;

constexpr std::size_t count = 1000;

/// As small as a connection can be, a handle of a client library: what is counted is what the pool adds.
struct Handle {
    explicit Handle(std::size_t& made) noexcept : number{++made} {}

    std::size_t number;
};

/// What has been allocated since it was made and not been given back.
class Counted {
public:
    std::size_t bytes() const { return in_use - before_; }

    /// A thread of the pool's own may still be on its way out.
    bool all_back() const {
        auto const until = bench::Clock::now() + std::chrono::milliseconds{100};
        while (bytes() != 0 && bench::Clock::now() < until) std::this_thread::yield();
        return bytes() == 0;
    }

private:
    std::size_t const before_ = in_use;
};

/// `bench::Weir` that may be empty.
template <class... Policies>
class Weir {
public:
    Weir(asio::any_io_executor executor, std::size_t size, std::size_t& made)
        : pool_{std::move(executor),
                [&made] { return Handle{made}; },
                {.size = {.high = std::max(size, std::size_t{1})}}} {
        std::vector<weir::Lease<Handle>> all;
        for (std::size_t i = 0; i < size; ++i) all.push_back(pool_.acquire());
    }

    template <class Token>
    auto async_acquire(Token&& token) {
        return pool_.async_acquire(std::forward<Token>(token));
    }
    static weir::Lease<Handle> hold(weir::Lease<Handle> lease) noexcept { return lease; }

private:
    weir::Pool<Handle, Policies...> pool_;
};

struct Naive : bench::Naive<Handle> {
    Naive(asio::any_io_executor const&, std::size_t size, std::size_t& made) : bench::Naive<Handle>{size, made} {}
};

/// In bytes; what there is not is 0.
struct Sizes {
    std::size_t pool = 0;
    std::size_t idle = 0;
    std::size_t waiting = 0;
};

// An empty pool, and one in which so many are idle.
template <class Pool>
bool measure_idle(Sizes& sizes) {
    asio::io_context io{1};
    std::size_t made = 0;
    Counted const counted;
    auto const empty = std::make_unique<Pool>(io.get_executor(), 0, made);
    sizes.pool = counted.bytes();
    auto const full = std::make_unique<Pool>(io.get_executor(), count, made);
    sizes.idle = counted.bytes() - 2 * sizes.pool;
    return made == count;
}

/// In place of Asio's own, which asks the C library past `operator new`, also where a handler names `std::allocator`.
template <class T>
struct Allocator {
    using value_type = T;

    Allocator() = default;
    template <class U>
    Allocator(Allocator<U> const&) noexcept {}

    T* allocate(std::size_t size) { return std::allocator<T>{}.allocate(size); }
    void deallocate(T* memory, std::size_t size) noexcept { std::allocator<T>{}.deallocate(memory, size); }

    friend bool operator==(Allocator, Allocator) noexcept { return true; }
};

template <class Call>
struct Handler : Call {
    using allocator_type = Allocator<void>;

    explicit Handler(Call call) : Call{std::move(call)} {}

    static allocator_type get_allocator() noexcept { return {}; }
};

// So many wait for the one resource there is, with a handler of two pointers; then all are served.
template <class Pool>
bool measure_waiting(Sizes& sizes) {
    if constexpr (requires(Pool & pool) { pool.async_acquire([](auto...) {}); }) {
        asio::io_context io{1};
        std::size_t made = 0;
        std::size_t served = 0;
        Pool pool{io.get_executor(), 1, made};
        decltype(pool.hold({})) held;
        auto const wait = [&](auto call) {
            pool.async_acquire(asio::bind_executor(io.get_executor(), Handler{std::move(call)}));
        };
        wait([&](boost::system::error_code, auto lent) { held = pool.hold(std::move(lent)); });
        io.run();
        io.restart();
        Counted const counted;
        for (std::size_t i = 0; i < count; ++i) {
            wait([&pool, &served](boost::system::error_code error, auto lent) {
                if (auto const mine = pool.hold(std::move(lent)); mine && !error) ++served;
            });
        }
        sizes.waiting = counted.bytes();
        held = {};
        io.run();
        return made == 1 && served == count;
    }
    return true;
}

template <class Pool>
void memory(benchmark::State& state) {
    for (auto _ : state) {
        Sizes sizes;
        bool right = true;
        bool all_back = true;
        // Twice: what is allocated once in the life of a program is not the pool's.
        for (int i = 0; i < 2; ++i) {
            Counted const counted;
            right = measure_idle<Pool>(sizes);
            all_back = counted.all_back();
            right = measure_waiting<Pool>(sizes) && right;
            all_back = counted.all_back() && all_back;
        }
        if (!right) state.SkipWithError("the pool made more or fewer resources than it may, or did not serve all");
        if (!all_back) state.SkipWithError("memory was lost");
        auto const each = [](std::size_t bytes) { return static_cast<double>(bytes) / static_cast<double>(count); };
        state.counters["bytes_pool"] = static_cast<double>(sizes.pool);
        state.counters["bytes_idle"] = each(sizes.idle);
        if (sizes.waiting > 0) state.counters["bytes_waiting"] = each(sizes.waiting);
    }
}

BENCHMARK(memory<Weir<>>)->Name("memory/weir")->Iterations(1);
BENCHMARK(memory<Weir<weir::TaggedStack>>)->Name("memory/weir_tagged_stack")->Iterations(1);
BENCHMARK(memory<Naive>)->Name("memory/naive")->Iterations(1);
BENCHMARK(memory<bench::Channel<Handle>>)->Name("memory/channel")->Iterations(1);

}  // namespace
