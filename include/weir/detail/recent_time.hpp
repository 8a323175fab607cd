#pragma once

#include <chrono>
#include <cstdint>

namespace weir::detail {

/// The steady clock, a microsecond behind at most: a thread that has just looked does not look again.
///
/// Most of what a look costs is that the processor's counter is read in its turn, when all before it is done. Out of turn it
/// costs next to nothing. It does not tell the time here, only that it is not long ago: a counter that differs from that of
/// the processor where the thread was before has one look more, and where there is none there is always one.
class RecentTime {
public:
    using time_point = std::chrono::steady_clock::time_point;

    static RecentTime look() noexcept {
#if defined(__x86_64__)
        constexpr std::uint64_t few = 2000;  // at 2 GHz or more
        std::uint64_t const ticks = __builtin_ia32_rdtsc();
        if (ticks - last.before >= few) {
            last.before = ticks;
            last.at = std::chrono::steady_clock::now();
            last.after = __builtin_ia32_rdtsc();
            return {last.at, 0};
        }
        return {last.at, ticks > last.after ? ticks - last.after : 0};
#else
        return {std::chrono::steady_clock::now(), 0};
#endif
    }

    time_point at() const noexcept { return at_; }

    /// Later than that of the thread's look before this, and not ahead of the time (at 8 GHz or less).
    time_point in_order() const noexcept { return at_ + std::chrono::nanoseconds{ticks_since_ / 8}; }

private:
    struct Look {
        std::uint64_t before;  // so that what comes between this and the time makes the look seem older, not newer
        time_point at;
        std::uint64_t after;
    };
    static inline thread_local constinit Look last{};

    RecentTime(time_point at, std::uint64_t ticks_since) noexcept : at_{at}, ticks_since_{ticks_since} {}

    time_point at_;
    std::uint64_t ticks_since_;
};

inline std::chrono::steady_clock::time_point recent_time() noexcept { return RecentTime::look().at(); }

}  // namespace weir::detail
