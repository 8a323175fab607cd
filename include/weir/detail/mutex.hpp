#pragma once
// A mutex for steps that are short.

#include <mutex>

#if defined(__linux__) && !defined(WEIR_STD_MUTEX)
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <weir/detail/asymmetric_fence.hpp>
#include <weir/detail/config.hpp>
#include <weir/detail/spin.hpp>
#endif

namespace weir::detail {

#if defined(__linux__) && !defined(WEIR_STD_MUTEX)

/// To lock it is one exchange, to unlock it a plain store: half of what `std::mutex` costs where nobody is in the way (5 ns
/// in place of 12).
///
/// Who finds it held looks again for about as long as a step takes, and then sleeps in the kernel until the word changes
/// (futex(2)). Who unlocks has to see that somebody sleeps. Between his store to the word and his look at the number of
/// sleepers there would have to be a full fence, as between the number and the last look at the word of who goes to sleep:
/// else each could miss what the other wrote. It is the asymmetric pair of `light_fence` and `heavy_fence`, so only who
/// sleeps pays. So either he finds the word free, or each who unlocks from then on sees his number, and wakes one: it has
/// slept until then or finds, in the kernel, that the word has changed. Who is woken counts until he has the mutex, so until
/// he has run others call the kernel, too. tests/model/mutex.pml has all that checked in every interleaving.
///
/// The sleepers are counted by the address, outside: the step may have been the last that kept the mutex, which may be gone
/// after the store. To wake somebody at an address where now something else lies does no harm, as everybody who sleeps so
/// looks again. Libraries that do not share the table use that of the one which made the mutex.
///
/// Where the system has no such fence, or forbids it, one who was missed in that instant sleeps for a millisecond.
///
/// Programs that define WEIR_STD_MUTEX, in all that includes weir, have `std::mutex` in its place, which tools know that
/// watch locks.
class Mutex {
public:
    // Early: where many threads run the system takes milliseconds to prepare for that fence.
    Mutex() noexcept { has_heavy_fence(); }
    Mutex(Mutex const&) = delete;
    Mutex& operator=(Mutex const&) = delete;

    bool try_lock() noexcept {
        auto seen = open;
        return word_.compare_exchange_strong(seen, held, std::memory_order_acquire, std::memory_order_relaxed);
    }

    void lock() noexcept {
        if (!try_lock()) [[unlikely]]
            lock_slowly();
    }

    void unlock() noexcept {
        auto& sleepers = sleepers_;
        word_.store(open, std::memory_order_release);
        light_fence();
        if (sleepers.load(std::memory_order_relaxed) > 0) [[unlikely]]
            wake(&word_);
    }

private:
    using Word = std::uint32_t;
    using Number = std::atomic<std::uint32_t>;
    static constexpr Word open = 0;
    static constexpr Word held = 1;

    struct ErrnoKept {
        int const value = errno;
        ~ErrnoKept() { errno = value; }
    };

    [[gnu::noinline]] void lock_slowly() noexcept {
        static int const looks = std::thread::hardware_concurrency() > 1 ? 100 : 1;
        ErrnoKept const kept;
        for (int i = 0; i < looks; ++i) {
            if (word_.load(std::memory_order_relaxed) == open && try_lock()) return;
            relax();
        }
        sleepers_.fetch_add(1, std::memory_order_relaxed);
        constexpr timespec a_moment{.tv_sec = 0, .tv_nsec = 1'000'000};
        timespec const* const at_most = heavy_fence() ? nullptr : &a_moment;
        while (!try_lock()) syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, held, at_most, nullptr, 0);
        sleepers_.fetch_sub(1, std::memory_order_relaxed);
    }

    [[gnu::noinline]] static void wake(void const* word) noexcept {
        ErrnoKept const kept;
        // Or whoever is woken may still find it held, and sleep again.
        std::atomic_thread_fence(std::memory_order_seq_cst);
        syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }

    static Number& number_of(Mutex const* mutex) noexcept {
        auto const place = reinterpret_cast<std::uintptr_t>(mutex) / interference_size;
        return numbers[(place ^ place / numbers.size()) % numbers.size()];
    }

    // Some mutexes in one place: that costs a call of the kernel now and then that wakes nobody.
    static inline std::array<Number, 64> numbers{};

    Number& sleepers_ = number_of(this);
    std::atomic<Word> word_{open};
    static_assert(std::atomic<Word>::is_always_lock_free && sizeof(std::atomic<Word>) == sizeof(Word),
                  "the kernel looks at the word itself");
};

#else

using Mutex = std::mutex;

#endif

}  // namespace weir::detail
