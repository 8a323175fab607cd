#pragma once

#include <chrono>
#include <cstdint>

namespace weir::detail {

/// The steady clock, a microsecond behind at most: a thread that has just looked does not look again.
///
/// Most of what a look costs is that the processor's counter is read in its turn, when all before it is done. Out of turn it
/// costs next to nothing. It does not tell the time here, only that it is not long ago: a counter that differs from that of
/// the processor where the thread was before has one look more, and where there is none there is always one.
inline std::chrono::steady_clock::time_point recent_time() noexcept {
#if defined(__x86_64__)
    struct Look {
        std::uint64_t ticks;  // read before the time, so that what comes between them makes the look seem older
        std::chrono::steady_clock::time_point at;
    };
    constexpr std::uint64_t few = 2000;  // at 2 GHz or more
    static thread_local constinit Look last{};
    std::uint64_t const ticks = __builtin_ia32_rdtsc();
    if (ticks - last.ticks >= few) last = {ticks, std::chrono::steady_clock::now()};
    return last.at;
#else
    return std::chrono::steady_clock::now();
#endif
}

}  // namespace weir::detail
