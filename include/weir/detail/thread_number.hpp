#pragma once
// A small number for each thread.

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

namespace weir::detail {

/// How many threads have a number at once.
inline constexpr unsigned numbered_threads = 256;

// Visible even in a shared library that hides what it has, so that there is one of each in a program.
#if defined(__linux__)
// At the same distance from every thread's pointer.
[[gnu::tls_model("initial-exec")]]
#endif
/// This thread's number; `numbered_threads`: none (yet), as it has not asked, or is ending, or as there was none left.
[[gnu::visibility("default")]] inline thread_local constinit unsigned thread_number = numbered_threads;

/// The numbers that are taken, the lowest free one first, so that they stay small.
///
/// A library that is loaded by name may still have numbers of its own: `home` tells one set from another. Who relies on
/// a number to be one thread's alone must compare: two threads may have the same one of different sets. (Where the
/// linker makes one of all `words` and leaves each library its own `thread_number`, a thread has several numbers, and
/// nobody else has them; the other way round it does not do it.)
///
/// Whoever takes a number sees all that the thread did which had it before: giving back releases, and taking acquires.
/// (Others' exchanges in between are read-modify-writes, which carry the release on.) Never destroyed, as threads may
/// outlive all else.
class [[gnu::visibility("default")]] ThreadNumbers {
public:
    static void const* home() noexcept { return &words; }

    static unsigned take() noexcept {
        for (unsigned i = 0; i < words.size(); ++i) {
            std::uint64_t seen = words[i].load(std::memory_order_relaxed);
            while (~seen != 0) {
                auto const bit = static_cast<unsigned>(std::countr_one(seen));
                if (words[i].compare_exchange_weak(seen, seen | std::uint64_t{1} << bit, std::memory_order_acquire,
                                                   std::memory_order_relaxed))
                    return i * 64 + bit;
            }
        }
        return numbered_threads;
    }

    static void give_back(unsigned number) noexcept {
        words[number / 64].fetch_and(~(std::uint64_t{1} << number % 64), std::memory_order_release);
    }

private:
    static inline constinit std::array<std::atomic<std::uint64_t>, numbered_threads / 64> words{};
};

/// Gives this thread a number, until it ends, unless it has one. Another has the number after it.
///
/// What is destroyed late in a thread's life comes here again when the number has gone: then there is none.
[[gnu::noinline, gnu::cold]] inline unsigned ask_thread_number() noexcept {
    static thread_local constinit bool ending = false;
    struct Holder {
        ~Holder() {
            ending = true;
            if (thread_number == numbered_threads) return;
            ThreadNumbers::give_back(thread_number);
            thread_number = numbered_threads;
        }
    };
    if (thread_number == numbered_threads && !ending) {
        thread_local Holder const holder;
        thread_number = ThreadNumbers::take();
    }
    return thread_number;
}

}  // namespace weir::detail
