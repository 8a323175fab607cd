#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace weir::detail {

/// What the pools' own threads hand to users' executors, so that the end of a context can wait for it.
///
/// Who destroys a context joins first the threads that use it. Those of a pool he cannot join, and a handler that one of
/// them has posted may be the last for which the context was kept while that thread is not back from `post`. Nor may it
/// begin to post to a context that has gone since it took a waiter out of line.
///
/// For all pools together, as the pool may have gone by then; counted by the context's address, some contexts in one
/// place. For threads of users nothing is counted: they know when they are in a call.
class HandOver {
public:
    /// From now on this thread is one that no user can join.
    static void enlist() noexcept { ours = true; }
    static bool is_ours() noexcept { return ours; }

    /// Between them this thread, one of ours, posts to what runs on that context.
    static void begin(void const* context) noexcept {
        // Sequentially consistent: whoever begins then looks whether the context has gone, and whoever says that it goes
        // then looks whether somebody has begun.
        under_way(context).fetch_add(1);
        ++mine;
    }
    static void end(void const* context) noexcept {
        --mine;
        // Release: pairs with the load in `await_all`. After it nothing of the pool or of the context is touched.
        auto& count = under_way(context);
        if (count.fetch_sub(1, std::memory_order_release) == 1) count.notify_all();
    }

    /// Waits until nobody hands over anything to that context; but not in what is called as it is handed over.
    static void await_all(void const* context) noexcept {
        if (mine > 0) return;
        auto& count = under_way(context);
        while (auto const seen = count.load()) count.wait(seen);
    }

    /// From where it is made to where it dies; nothing on a user's thread, or without a context.
    explicit HandOver(void const* context) noexcept : context_{is_ours() ? context : nullptr} {
        if (context_) begin(context_);
    }
    ~HandOver() {
        if (context_) end(context_);
    }
    HandOver(HandOver const&) = delete;
    HandOver& operator=(HandOver const&) = delete;

private:
    using Count = std::atomic<std::uint32_t>;

    static Count& under_way(void const* context) noexcept {
        return counts[reinterpret_cast<std::uintptr_t>(context) / 64 % counts.size()];
    }

    static inline std::array<Count, 61> counts{};
    static inline thread_local bool ours = false;
    static inline thread_local std::size_t mine = 0;

    void const* const context_;
};

}  // namespace weir::detail
