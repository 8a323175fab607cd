#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace weir::detail {

/// Random enough to spread things in time. SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
/// generators, OOPSLA 2014). For one thread at a time.
class Random {
public:
    explicit Random(std::uint64_t seed) noexcept : state_{seed} {}

    /// Another one each time, also in processes that start at the same moment from the same image.
    static Random seeded() noexcept {
        static std::atomic<std::uint64_t> made{0};
        auto const now = static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
        // The address differs from process to process where the system randomises it.
        return Random{now ^ reinterpret_cast<std::uintptr_t>(&made) ^
                      (made.fetch_add(1, std::memory_order_relaxed) << 48)};
    }

    std::uint64_t operator()() noexcept {
        state_ += 0x9E3779B97F4A7C15U;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
        return z ^ (z >> 31);
    }

    /// A time in `[whole * (1 - jitter), whole]`.
    std::chrono::steady_clock::duration shortened(std::chrono::steady_clock::duration whole, double jitter) noexcept {
        double const part = static_cast<double>((*this)() >> 11) * 0x1p-53;  // in [0, 1)
        auto const less = static_cast<double>(whole.count()) * jitter * part;
        return whole - std::chrono::steady_clock::duration{static_cast<std::chrono::steady_clock::rep>(less)};
    }

private:
    std::uint64_t state_;
};

}  // namespace weir::detail
