#pragma once
// Waiting for a moment without giving up the processor.

namespace weir::detail {

/// Tells the processor that it is in a loop that waits for another one.
inline void relax() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ __volatile__("yield");
#endif
}

/// Keeps the loser of an exchange away from the word, each time twice as long, so that the winner has it to himself.
///
/// Two processors that fight over a line do less than one alone: each exchange then waits for the line to come over.
class Retreat {
public:
    void operator()() noexcept {
        for (unsigned i = 0; i < rounds_; ++i) relax();
        if (rounds_ < most) rounds_ *= 2;
    }

private:
    static constexpr unsigned most = 256;
    unsigned rounds_ = 32;
};

}  // namespace weir::detail
