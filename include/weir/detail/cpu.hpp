#pragma once
// Which processor this thread runs on.

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#define WEIR_DETAIL_RSEQ 1
#endif
#endif

namespace weir::detail {

/// What stands in for the processor where nobody tells it: a number of the thread's own.
inline unsigned thread_number() noexcept {
    static std::atomic<unsigned> last{0};
    thread_local unsigned const number = last.fetch_add(1, std::memory_order_relaxed);
    return number;
}

inline unsigned ask_for_cpu() noexcept {
#if defined(__linux__)
    if (int const cpu = sched_getcpu(); cpu >= 0) return static_cast<unsigned>(cpu);
#endif
    return thread_number();
}

/// How often an answer of the kernel's is used where it has to be asked.
inline constexpr unsigned cpu_uses = 64;

/// What was so a moment ago: to ask costs as much as all the rest of an acquire.
[[gnu::noinline, gnu::cold]] inline unsigned remembered_cpu() noexcept {
    thread_local constinit unsigned cpu = 0;
    thread_local constinit unsigned left = 0;
    if (left-- == 0) {
        cpu = ask_for_cpu();
        left = cpu_uses - 1;
    }
    return cpu;
}

/// The number of the processor: a hint, as the thread may be moved at any moment.
///
/// The kernel keeps it up to date in the thread's restartable-sequences area (rseq(2)), which glibc registers from 2.35
/// on: one load. Elsewhere `sched_getcpu`, a call into the vDSO, is asked now and then.
inline unsigned current_cpu() noexcept {
#if defined(WEIR_DETAIL_RSEQ)
    auto const* const area = static_cast<char const*>(__builtin_thread_pointer()) + __rseq_offset;
    auto const* const cpu_id = reinterpret_cast<int const*>(area + offsetof(struct rseq, cpu_id));
    // Negative where the kernel knows no such area: in an old one, in an emulator.
    if (int const cpu = __atomic_load_n(cpu_id, __ATOMIC_RELAXED); cpu >= 0) [[likely]]
        return static_cast<unsigned>(cpu);
#endif
    return remembered_cpu();
}

/// More parts than that cost more to search than they save.
inline constexpr std::size_t most_cpus = 64;

/// How many parts to make of what is parted by processor: a power of two.
inline std::size_t cpu_parts() noexcept {
    return std::min(most_cpus, std::bit_ceil(std::size_t{std::max(1U, std::thread::hardware_concurrency())}));
}

/// One T for each processor, by its number modulo how many there are.
template <class T>
class CpuArray {
public:
    explicit CpuArray(std::size_t parts) : items_{new T[parts]}, mask_{static_cast<unsigned>(parts - 1)} {}

    T& operator[](unsigned cpu) noexcept { return items_[cpu & mask_]; }
    unsigned size() const noexcept { return mask_ + 1; }
    T* begin() noexcept { return items_.get(); }
    T* end() noexcept { return begin() + size(); }
    T const* begin() const noexcept { return items_.get(); }
    T const* end() const noexcept { return begin() + size(); }

private:
    std::unique_ptr<T[]> items_;
    unsigned mask_;
};

}  // namespace weir::detail

#undef WEIR_DETAIL_RSEQ
