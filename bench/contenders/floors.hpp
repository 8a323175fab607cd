#pragma once
// What the processor asks for the least that a pool can do: two locked instructions on one cache line that nobody
// else wants, one to acquire and one to return.

#include <atomic>
#include <cstdint>
#include <weir/detail/word128.hpp>

namespace bench {

/// Two bare `lock cmpxchg16b`: each expects what the one before left behind, so nothing is loaded.
class TwoCas16 {
public:
    void pair() noexcept {
        change();
        change();
    }

    /// How often it was changed.
    std::uint64_t changes() const noexcept { return word_.load_high(); }

private:
    void change() noexcept {
        auto const next = seen_.high + 1;
        if (word_.compare_exchange(seen_, {seen_.low, next})) seen_.high = next;
    }

    alignas(64) weir::detail::Word128 word_{{}};
    weir::detail::Word128::Value seen_{};
};

/// The same with the two loads that an expectation takes in a stack that is shared.
class TwoCas16WithLoads {
public:
    void pair() noexcept {
        change();
        change();
    }

    std::uint64_t changes() const noexcept { return word_.load_high(); }

private:
    void change() noexcept {
        auto seen = word_.load();
        while (!word_.compare_exchange(seen, {seen.low, seen.high + 1})) {
        }
    }

    alignas(64) weir::detail::Word128 word_{{}};
};

/// What an acquire and a return would cost if only who is about to wait had to fence: an `xchg` and a plain store.
class ExchangeAndStore {
public:
    void pair() noexcept {
        changes_ += word_.exchange(1) == 0 ? 2 : 0;
        word_.store(0, std::memory_order_release);
    }

    std::uint64_t changes() const noexcept { return changes_; }

private:
    alignas(64) std::atomic<std::uint64_t> word_{0};
    std::uint64_t changes_ = 0;
};

/// Two bare `xchg` of a pointer's size.
class TwoExchanges {
public:
    void pair() noexcept { changes_ += word_.exchange(1) == 0 && word_.exchange(0) == 1 ? 2 : 0; }

    std::uint64_t changes() const noexcept { return changes_; }

private:
    alignas(64) std::atomic<std::uint64_t> word_{0};
    std::uint64_t changes_ = 0;
};

}  // namespace bench
