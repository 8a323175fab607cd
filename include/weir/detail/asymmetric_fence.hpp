#pragma once
// Fences of which one side pays for both.

#include <atomic>

#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace weir::detail {

/// The frequent side of a pair of fences: costs nothing but the compiler's freedom.
///
/// Where one thread writes A and then reads B, and another writes B and then reads A, sequentially consistent fences
/// between the two steps of each keep both from missing what the other wrote. This one and `heavy_fence` do the same:
/// the heavy one makes every other processor that runs a thread of this process go through a full fence, somewhere
/// between two of its instructions. If that is before the frequent thread's read of B, it sees what was written to B
/// before the heavy fence; if it is after, its write of A is seen by what follows the heavy fence. (Dice, Huang and
/// Yang, "Asymmetric Dekker Synchronization", 2001; C++ proposal P1202.)
inline void light_fence() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

/// Whether the system has the other side: Linux has since 4.14, by membarrier(2).
inline bool has_heavy_fence() noexcept {
#if defined(__linux__) && defined(SYS_membarrier)
    static bool const registered = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    return registered;
#else
    return false;
#endif
}

/// The rare side: one or two microseconds. False, and no fence, when the system has none, or refuses it now: it may,
/// out of memory, or when the process has locked itself into a sandbox that forbids the call.
[[nodiscard]] inline bool heavy_fence() noexcept {
#if defined(__linux__) && defined(SYS_membarrier)
    return has_heavy_fence() && syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
#else
    return false;
#endif
}

}  // namespace weir::detail
