#pragma once

#include <chrono>
#include <cstdint>

namespace weir::detail {

/// The steady clock, a microsecond behind at most, and on each thread later every time (where the processor's counter runs at
/// 2 to 8 GHz): a thread that has just looked does not look again.
///
/// Most of what a look costs is that the counter is read in its turn, when all before it is done. Out of turn it costs next
/// to nothing. It does not tell the time here, only that a look is not long ago, and what came first since: a counter that
/// differs from that of the processor where the thread was before has one look more, and where there is none there is
/// always one.
inline std::chrono::steady_clock::time_point recent_time() noexcept {
#if defined(__x86_64__)
    struct Look {
        std::uint64_t before;  // so that what comes between this and the time makes the look seem older, not newer
        std::chrono::steady_clock::time_point at;
        std::uint64_t after;
    };
    constexpr std::uint64_t few = 2000;
    static thread_local constinit Look last{};
    std::uint64_t const ticks = __builtin_ia32_rdtsc();
    if (ticks - last.before >= few) {
        last.before = ticks;
        last.at = std::chrono::steady_clock::now();
        last.after = __builtin_ia32_rdtsc();
        return last.at;
    }
    return last.at + std::chrono::nanoseconds{ticks > last.after ? (ticks - last.after) / 8 : 0};
#else
    return std::chrono::steady_clock::now();
#endif
}

}  // namespace weir::detail
