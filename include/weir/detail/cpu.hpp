#pragma once
// Which processor this thread runs on.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <weir/detail/thread_number.hpp>

#if defined(__linux__)
#include <sched.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#define WEIR_DETAIL_RSEQ 1
#endif
#endif

namespace weir::detail {

#if defined(WEIR_DETAIL_RSEQ)
// At the same distance from every thread's pointer.
[[gnu::tls_model("initial-exec")]]
#endif
inline thread_local constinit unsigned cpu_remembered = 0;

/// Asks where this thread is, for where the kernel does not keep it up to date: when another was met in the same part,
/// or the part was empty, the thread may have been moved. To ask each time costs as much as all the rest of an acquire.
[[gnu::noinline, gnu::cold]] inline void remember_cpu() noexcept {
#if defined(__linux__)
    if (int const cpu = sched_getcpu(); cpu >= 0) {
        cpu_remembered = static_cast<unsigned>(cpu);
        return;
    }
#endif
    cpu_remembered = ask_thread_number();
}

/// Reads the number of the processor: a hint, as the thread may be moved at any moment.
///
/// The kernel keeps it up to date in the thread's restartable-sequences area (rseq(2)), which glibc registers from 2.35
/// on. In an old kernel, or an emulator, there is what `remember_cpu` was told last. Either is one load.
class CurrentCpu {
public:
#if defined(WEIR_DETAIL_RSEQ)
    CurrentCpu() noexcept {
        // Negative where the kernel knows no such area.
        distance_ = static_cast<std::uintptr_t>(__rseq_offset) + offsetof(struct rseq, cpu_id);
        if (static_cast<int>((*this)()) < 0) distance_ = reinterpret_cast<std::uintptr_t>(&cpu_remembered) - thread();
    }

    unsigned operator()() const noexcept {
        return __atomic_load_n(reinterpret_cast<unsigned const*>(thread() + distance_), __ATOMIC_RELAXED);
    }

private:
    static std::uintptr_t thread() noexcept { return reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer()); }

    std::uintptr_t distance_;
#else
    unsigned operator()() const noexcept { return cpu_remembered; }
#endif
};

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
    explicit CpuArray(std::size_t parts) : mask_{static_cast<unsigned>(parts - 1)}, items_{new T[parts]} {}

    /// That of the processor on which this thread runs.
    T& here() noexcept {
        T* part = &(*this)[cpu()];
#if defined(__clang__)
        // Else clang 14 adds it up anew for each member: two instructions in an acquire and a return.
        asm("" : "+r"(part));
#endif
        return *part;
    }
    unsigned cpu() const noexcept { return current_(); }

    T& operator[](unsigned cpu) noexcept { return items_[cpu & mask_]; }
    unsigned size() const noexcept { return mask_ + 1; }
    T* begin() noexcept { return items_.get(); }
    T* end() noexcept { return begin() + size(); }
    T const* begin() const noexcept { return items_.get(); }
    T const* end() const noexcept { return begin() + size(); }

private:
    CurrentCpu current_;
    unsigned mask_;
    std::unique_ptr<T[]> items_;
};

}  // namespace weir::detail

#undef WEIR_DETAIL_RSEQ
