#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace weir::detail {

/// Something that one of the pools' own threads hands to a user's executor, so that the end of a context can wait for it:
/// from when it is made on such a thread to when it dies, there. Nothing on a thread of a user's, or without a context.
///
/// Who destroys a context joins first the threads that use it. Those of a pool he cannot join, and a handler that one of
/// them has posted may be the last for which the context was kept while that thread is not back from `post`. Nor may it
/// begin to post to a context that has gone since it took a waiter out of line.
///
/// Counted for all pools together, as the pool may have gone by then, and by the context's address, some contexts in one
/// place.
class HandOver {
public:
    /// From now on this thread is one that no user can join.
    static void enlist() noexcept { ours = true; }
    static bool is_ours() noexcept { return ours; }

    /// Waits until nobody hands over anything to that context; but not in what is called as it is handed over.
    static void await_all(void const* context) noexcept {
        if (mine > 0) return;
        auto& count = under_way(context);
        while (auto const seen = count.load()) count.wait(seen);
    }

    HandOver() = default;
    explicit HandOver(void const* context) noexcept : context_{ours ? context : nullptr} {
        if (context_) begin();
    }
    HandOver(HandOver&& other) noexcept : context_{std::exchange(other.context_, nullptr)} {}
    HandOver& operator=(HandOver&& other) noexcept {
        HandOver before{std::move(*this)};
        context_ = std::exchange(other.context_, nullptr);
        return *this;
    }
    ~HandOver() {
        if (context_) end();
    }

private:
    using Count = std::atomic<std::uint32_t>;

    // Apart: most threads are users'.
    [[gnu::noinline]] void begin() const noexcept {
        // Sequentially consistent: whoever begins then looks whether the context has gone, and whoever says that it goes
        // then looks whether somebody has begun.
        under_way(context_).fetch_add(1);
        ++mine;
    }
    [[gnu::noinline]] void end() const noexcept {
        --mine;
        // Release: pairs with the load in `await_all`. After it nothing of the pool or of the context is touched.
        auto& count = under_way(context_);
        if (count.fetch_sub(1, std::memory_order_release) == 1) count.notify_all();
    }

    static Count& under_way(void const* context) noexcept {
        return counts[reinterpret_cast<std::uintptr_t>(context) / 64 % counts.size()];
    }

    static inline std::array<Count, 61> counts{};
    static inline thread_local bool ours = false;
    static inline thread_local std::size_t mine = 0;

    void const* context_ = nullptr;
};

}  // namespace weir::detail
