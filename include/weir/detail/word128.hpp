#pragma once
// 128 bits that are exchanged in one step, without a compiler flag and without libatomic.

#include <cstdint>
#include <cstdlib>
#include <type_traits>

#if defined(__SANITIZE_THREAD__)
#define WEIR_DETAIL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEIR_DETAIL_TSAN 1
#endif
#endif

#if defined(WEIR_DETAIL_TSAN) && defined(__clang__)
#include <sanitizer/tsan_interface_atomic.h>
#endif
#if !defined(__x86_64__) && !defined(__aarch64__)
#error "weir: no 128-bit compare-and-exchange is known for this processor; use x86-64 or AArch64"
#endif

namespace weir::detail {

/// Two 64-bit halves, compared and exchanged as one.
///
/// g++ sends 16-byte atomics to libatomic even with -mcx16, so this is inline assembly: `lock cmpxchg16b` (every
/// x86-64 processor but the first of 2003), `caspal` where the compiler may use it, else `ldaxp`/`stlxp`. Under
/// ThreadSanitizer it is the sanitizer's own 128-bit atomic, so that it sees the synchronisation.
class alignas(16) Word128 {
public:
    struct Value {
        std::uint64_t low = 0;
        std::uint64_t high = 0;

        friend bool operator==(Value const&, Value const&) = default;
    };

    explicit Word128(Value initial) noexcept : low_{initial.low}, high_{initial.high} {
        // The alignment that the type asks for is the allocator's to keep, and one that does not would make the
        // processor fault, or the exchange tear, at some later time.
        if (reinterpret_cast<std::uintptr_t>(this) % 16 != 0) std::abort();
    }
    Word128(Word128 const&) = delete;
    Word128& operator=(Word128 const&) = delete;

    /// The halves, each read atomically, but not both at one moment: good as the expectation of an exchange, which
    /// compares both. Acquire, so that what was written before the word was set can be read through it.
    Value load() const noexcept {
        std::uint64_t const high = __atomic_load_n(&high_, __ATOMIC_ACQUIRE);
        return {__atomic_load_n(&low_, __ATOMIC_ACQUIRE), high};
    }

    /// The upper half alone.
    std::uint64_t load_high() const noexcept { return __atomic_load_n(&high_, __ATOMIC_ACQUIRE); }

    /// Sets the word to `desired` if it is `expected`, else `expected` to the word. Acquire and release.
    bool compare_exchange(Value& expected, Value desired) noexcept {
#ifdef WEIR_DETAIL_TSAN
        __extension__ typedef unsigned __int128 Whole;
        auto const whole = [](Value v) { return (static_cast<Whole>(v.high) << 64) | v.low; };
        Whole seen = whole(expected);
#ifdef __clang__
        bool const done = __tsan_atomic128_compare_exchange_strong(
            reinterpret_cast<__tsan_atomic128*>(this), reinterpret_cast<__tsan_atomic128*>(&seen),
            static_cast<__tsan_atomic128>(whole(desired)), __tsan_memory_order_acq_rel, __tsan_memory_order_acquire);
#else
        // g++ makes the same call of it.
        bool const done = __atomic_compare_exchange_n(reinterpret_cast<Whole*>(this), &seen, whole(desired), false,
                                                      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
#endif
        expected = {static_cast<std::uint64_t>(seen), static_cast<std::uint64_t>(seen >> 64)};
        return done;
#elif defined(__x86_64__)
        bool done;
        __asm__ __volatile__("lock cmpxchg16b %1"
                             : "=@ccz"(done), "+m"(*this), "+a"(expected.low), "+d"(expected.high)
                             : "b"(desired.low), "c"(desired.high)
                             : "memory");
        return done;
#elif defined(__ARM_FEATURE_ATOMICS)
        // The pair must lie in an even register and its successor.
        register std::uint64_t seen_low __asm__("x0") = expected.low;
        register std::uint64_t seen_high __asm__("x1") = expected.high;
        register std::uint64_t new_low __asm__("x2") = desired.low;
        register std::uint64_t new_high __asm__("x3") = desired.high;
        __asm__ __volatile__("caspal %0, %1, %3, %4, %2"
                             : "+r"(seen_low), "+r"(seen_high), "+Q"(*this)
                             : "r"(new_low), "r"(new_high)
                             : "memory");
        Value const seen{seen_low, seen_high};
        bool const done = seen == expected;
        expected = seen;
        return done;
#else
        // A failed comparison stores back what it read: only a store that succeeds makes the pair that was loaded
        // one value rather than two halves.
        std::uint64_t seen_low;
        std::uint64_t seen_high;
        std::uint64_t put_low;
        std::uint64_t put_high;
        std::uint32_t failed;
        __asm__ __volatile__("1: ldaxp %[seen_low], %[seen_high], %[word]\n"
                             "   cmp %[seen_low], %[want_low]\n"
                             "   ccmp %[seen_high], %[want_high], #0, eq\n"
                             "   csel %[put_low], %[new_low], %[seen_low], eq\n"
                             "   csel %[put_high], %[new_high], %[seen_high], eq\n"
                             "   stlxp %w[failed], %[put_low], %[put_high], %[word]\n"
                             "   cbnz %w[failed], 1b\n"
                             : [seen_low] "=&r"(seen_low), [seen_high] "=&r"(seen_high), [put_low] "=&r"(put_low),
                               [put_high] "=&r"(put_high), [failed] "=&r"(failed), [word] "+Q"(*this)
                             : [want_low] "r"(expected.low), [want_high] "r"(expected.high), [new_low] "r"(desired.low),
                               [new_high] "r"(desired.high)
                             : "cc", "memory");
        Value const seen{seen_low, seen_high};
        bool const done = seen == expected;
        expected = seen;
        return done;
#endif
    }

private:
    std::uint64_t low_;  // little-endian on both processors: the lower half lies first
    std::uint64_t high_;
};

static_assert(alignof(Word128) == 16 && sizeof(Word128) == 16);
static_assert(std::is_standard_layout_v<Word128>);

}  // namespace weir::detail

#undef WEIR_DETAIL_TSAN
