#pragma once
// What the stress programs share: how long they run, random numbers, and how they fail.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace weir::stress {

/// Until when to run: the first argument in seconds, else two.
class Until {
public:
    Until(int argc, char** argv)
        : end_{std::chrono::steady_clock::now() +
               std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                   std::chrono::duration<double>{argc > 1 ? std::atof(argv[1]) : 2.0})} {}

    bool over() const { return std::chrono::steady_clock::now() >= end_; }

private:
    std::chrono::steady_clock::time_point end_;
};

/// Small, fast and seeded: the same threads take the same turns as far as the scheduler lets them.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_{seed * 0x9E3779B97F4A7C15 + 1} {}

    std::uint64_t below(std::uint64_t bound) {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_ % bound;
    }

private:
    std::uint64_t state_;
};

inline std::atomic<int> failures{0};

/// Reports what does not hold; the first ten times.
inline bool check(bool holds, std::string const& what) {
    if (!holds && failures.fetch_add(1) < 10) std::fprintf(stderr, "FAILED: %s\n", what.c_str());
    return holds;
}

inline int verdict(char const* name, std::uint64_t rounds) {
    std::printf("%s: %llu rounds, %d failures\n", name, static_cast<unsigned long long>(rounds), failures.load());
    return failures == 0 && rounds != 0 ? 0 : 1;
}

}  // namespace weir::stress
