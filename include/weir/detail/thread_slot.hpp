#pragma once
// What a thread keeps for itself, and how others get at it.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <weir/detail/asymmetric_fence.hpp>
#include <weir/detail/config.hpp>

namespace weir::detail {

/// A small stack of objects that one thread, its owner, pushes to and pops from with plain loads and stores; others, who
/// come seldom, pay for both.
///
/// It is a lock that is the owner's until somebody else asks for it (Dice, Moir and Scherer, "Quickly Reacquirable
/// Locks", 2003), built on Dekker's algorithm with an asymmetric fence. Its word `claim_` says whose the contents are:
///
/// | `claim_` | whose | who changes it, and to what |
/// |---|---|---|
/// | mine | the owner's | a visitor: visited |
/// | visited | that visitor's | the same visitor: mine (nothing was changed), away or barred |
/// | away | there are none | the owner: mine; a visitor: barred |
/// | barred | there are none | a visitor: away |
///
/// The owner marks `top_` busy, looks at `claim_`, works if it is mine, and takes the mark away with a new top; a
/// visitor sets `claim_` to visited, makes a heavy fence, and looks at `top_`. The invariants:
///
/// 1. Never do both touch the contents: either the owner's look comes after the heavy fence and he sees that there is a
///    visitor; or his mark was set before it, so that the visitor sees the mark or what came after it, and waits.
/// 2. Between two steps of the owner in which `claim_` is mine nobody has changed the contents: a visitor who has does not
///    set it back to mine, only the owner himself does. So he may read `top_` before he marks it, and it is not stale.
/// 3. With the store that takes the mark away the owner is done: what he has put in may be taken, and with it
///    everything may go, this slot included.
///
/// The owner never waits: while there is a visitor he goes elsewhere. Objects are pointers to anything, not null.
class alignas(2 * interference_size) ThreadSlot {
public:
    /// Measured: a thread that holds 16 at a time never needs the depot, and one that holds 32 seldom.
    static constexpr std::size_t capacity = 27;

    constexpr ThreadSlot() noexcept : top_{items_ + 1} {}

    /// One without an owner: to look at it is as good as an empty one that is full.
    struct Nobodys {};
    constexpr explicit ThreadSlot(Nobodys) noexcept : top_{items_ + 1 + capacity}, claim_{Claim::barred} {}

    ThreadSlot(ThreadSlot const&) = delete;
    ThreadSlot& operator=(ThreadSlot const&) = delete;

    // ---- The owner's. -----------------------------------------------------------------------------------------------

    /// The latest; nullptr when there is none, or not for now.
    void* take() noexcept {
        void** const top = top_.load(std::memory_order_relaxed);  // written by the owner only
        void* const item = top[-1];
        if (!item || !enter(top)) return nullptr;
        count_reuse();
        leave(top - 1);
        return item;
    }

    /// False, and nothing done, when there is no room, or not for now.
    bool put(void* item) noexcept {
        void** const top = top_.load(std::memory_order_relaxed);
        if (is_end(top) || !enter(top)) return false;
        *top = item;
        leave(top + 1);
        return true;
    }

    /// Takes the coldest half, the coldest first, and says how many; none when there is a visitor.
    std::size_t spill(std::span<void*, capacity> into) noexcept {
        void** const top = top_.load(std::memory_order_relaxed);
        if (!enter(top)) return 0;
        void** const bottom = items_ + 1;
        auto const count = (top - bottom + 1) / 2;
        std::copy(bottom, bottom + count, into.data());
        std::copy(bottom + count, top, bottom);
        leave(top - count);
        return static_cast<std::size_t>(count);
    }

    /// Whether it may be used; if it has been emptied by a visitor, from now on, unless it is to be left alone for a
    /// while.
    bool usable() noexcept {
        Claim seen = claim_.load(std::memory_order_acquire);  // with who set it away, who set `rest_`
        if (seen != Claim::away) return seen == Claim::mine;
        if (rest_ > 0) {
            --rest_;
            return false;
        }
        // Who finds it mine finds it empty: released by the exchange.
        top_.store(items_ + 1, std::memory_order_relaxed);
        return claim_.compare_exchange_strong(seen, Claim::mine, std::memory_order_acq_rel, std::memory_order_relaxed);
    }

    /// The owner has got one that somebody else had given back.
    void count_reuse() noexcept {
        reused_.store(reused_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }

    // ---- Anybody's. -------------------------------------------------------------------------------------------------

    /// How many there are, and how many the owner has got: right, if he does nothing.
    std::size_t size() const noexcept {
        Claim const claim = claim_.load(std::memory_order_acquire);
        if (claim != Claim::mine && claim != Claim::visited) return 0;
        return static_cast<std::size_t>(unmarked(top_.load(std::memory_order_relaxed)) - items_ - 1);
    }
    std::uint64_t reused() const noexcept { return reused_.load(std::memory_order_relaxed); }

    // ---- A visitor's. From `claim` or `bar` to the end of his visit it is his alone. ---------------------------------

    /// Asks for the contents; after that he makes a heavy fence. False when there is another visitor, or nothing in it.
    bool claim() noexcept {
        Claim seen = Claim::mine;
        return claim_.compare_exchange_strong(seen, Claim::visited, std::memory_order_acq_rel,
                                              std::memory_order_relaxed);
    }

    enum class Barring { done, claimed, wait };

    /// Asks for the contents of one that is then to stay empty. Done: it is, now; wait: there is another visitor.
    Barring bar() noexcept {
        Claim seen = claim_.load(std::memory_order_relaxed);
        for (;;) {
            if (seen == Claim::barred) return Barring::done;
            if (seen == Claim::visited) return Barring::wait;
            bool const has_contents = seen == Claim::mine;
            if (claim_.compare_exchange_strong(seen, has_contents ? Claim::visited : Claim::barred,
                                               std::memory_order_acq_rel, std::memory_order_relaxed))
                return has_contents ? Barring::claimed : Barring::done;
        }
    }

    /// Whether the owner has done what he was at, after the fence. If so, the contents may be read, and taken.
    bool is_quiet() const noexcept {
        void** const top = top_.load(std::memory_order_acquire);  // with the owner's leave
        return unmarked(top) == top;
    }

    /// The coldest first. An owner who comes meanwhile marks the top, and takes the mark away again.
    std::span<void* const> contents() const noexcept {
        return {items_ + 1, unmarked(top_.load(std::memory_order_relaxed))};
    }

    /// Nothing has been taken.
    void leave_as_it_was() noexcept { claim_.store(Claim::mine, std::memory_order_release); }

    /// All has been taken.
    void leave_empty() noexcept { claim_.store(Claim::away, std::memory_order_release); }

    /// All has been taken, by one who needed it and paid for a heavy fence: the owner and others seem to take turns, for
    /// which this is not the place. He is to leave it alone for a while, and ever longer if it happens again soon.
    void leave_robbed() noexcept {
        std::uint64_t const reused_now = reused();
        bool const again = reused_now - reused_when_robbed_ < std::uint64_t{64} * patience_;
        patience_ =
            again ? std::min<std::uint16_t>(most_patience, static_cast<std::uint16_t>(2 * patience_)) : first_patience;
        reused_when_robbed_ = reused_now;
        rest_ = patience_;
        leave_empty();
    }

    /// All has been taken, and nothing may come until `unbar`.
    void leave_barred() noexcept { claim_.store(Claim::barred, std::memory_order_release); }

    void unbar() noexcept {
        Claim seen = Claim::barred;
        claim_.compare_exchange_strong(seen, Claim::away, std::memory_order_acq_rel, std::memory_order_relaxed);
    }

private:
    enum class Claim : std::uint32_t { mine, visited, away, barred };

    // As counted in acquires and returns. The first is about what a heavy fence costs in terms of them.
    static constexpr std::uint16_t first_patience = 16;
    static constexpr std::uint16_t most_patience = 4096;

    // Marks it busy, and looks: invariant 1. The mark is the lowest bit, so that others can still read the size.
    bool enter(void** top) noexcept {
        top_.store(reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(top) | 1), std::memory_order_relaxed);
        light_fence();
        if (claim_.load(std::memory_order_acquire) == Claim::mine) [[likely]]
            return true;
        leave(top);
        return false;
    }

    // Releases what was written to the contents to `is_quiet`.
    void leave(void** top) noexcept { top_.store(top, std::memory_order_release); }

    static void** unmarked(void** top) noexcept {
        return reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{1});
    }

    // The items end where the slot ends.
    static bool is_end(void** top) noexcept { return reinterpret_cast<std::uintptr_t>(top) % alignof(ThreadSlot) == 0; }

    std::atomic<void**> top_;  // where the next is to lie
    std::atomic<Claim> claim_{Claim::mine};
    std::uint16_t rest_ = 0;  // the owner's while it is away, else a visitor's
    std::uint16_t patience_ = first_patience / 2;
    std::atomic<std::uint64_t> reused_{0};
    std::uint64_t reused_when_robbed_ = 0;  // the visitor's
    void* items_[1 + capacity]{};           // written by the owner only; below the first a null, which is never lent
};

static_assert(sizeof(ThreadSlot) == alignof(ThreadSlot), "the items must end where it does");

}  // namespace weir::detail
