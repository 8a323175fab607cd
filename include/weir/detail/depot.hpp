#pragma once
// The objects that no thread keeps for itself.

#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <weir/detail/arena.hpp>
#include <weir/detail/config.hpp>
#include <weir/detail/cpu.hpp>
#include <weir/detail/treiber_stack.hpp>

namespace weir::detail {

/// Objects on stacks, a part for each processor, in two generations: those that came since the last turn, and those that
/// came before. Many go in or out by one exchange.
///
/// An object is a pointer to anything, not null, and hangs in a cell. The cells are type-stable, as the stacks ask for;
/// the objects need not be, so that they can be freed.
///
/// For any thread, but for `turn` and `seal`: for one at a time.
class Depot {
public:
    struct Cell {
        using Node = Cell;

        std::atomic<Cell*> next{nullptr};
        void* item = nullptr;  // the owner's of the chain; handed on by the stack's exchanges
    };
    using Chain = BasicChain<Cell>;

    /// Keeps no more than `limit`.
    explicit Depot(std::optional<std::size_t> limit) : limit_{limit}, parts_{cpu_parts()} {}

    /// Which generation objects are put into. Those that are moved here do not count against the limit: they did where
    /// they came from.
    enum class As { new_ones, moved_new_ones, moved_old_ones };

    /// Keeps as many of `items` as it may, the last to be taken first, and says how many; the others are the first ones.
    /// None once it is sealed, or when there is no memory. After that, if all were kept, everything may be gone, the depot
    /// included.
    std::size_t put(std::span<void* const> items, As as = As::new_ones) noexcept {
        std::size_t const count = reserve(items.size(), as);
        if (count == 0) return 0;
        Part& part = parts_.here();
        Chain chain = blank_cells(part, count);
        if (chain.size == count) {
            // Filled from its last cell to its first: the last item on top.
            Cell* last = nullptr;
            std::size_t i = items.size();
            for (Cell* cell = chain.first; cell; cell = cell->next.load(std::memory_order_relaxed)) {
                cell->item = items[--i];
                last = cell;
            }
            auto const generation = generation_.load(std::memory_order_relaxed) + (as == As::moved_old_ones ? 1 : 0);
            if (part.generations[generation % 2].push(chain, *last)) return count;
        }
        put_blank(part, chain);
        unreserve(count);
        return 0;
    }

    /// Takes some, at most as many as there is room for, the latest first, and says how many: of the new ones here, then
    /// of the new ones of other processors; else one of the old ones, as what is only kept at hand must not grow young.
    std::size_t take(std::span<void*> into) noexcept {
        auto const generation = generation_.load(std::memory_order_relaxed);
        auto const cpu = parts_.cpu();
        for (unsigned age = 0; age < 2; ++age) {
            for (unsigned i = 0; i < parts_.size(); ++i) {
                auto& stack = parts_[cpu + i].generations[(generation + age) % 2];
                Chain const chain = stack.pop_some(age == 0 ? into.size() : 1);
                if (!chain.empty()) return unpack(chain, into);
            }
        }
        return 0;
    }

    std::size_t size() const noexcept {
        std::size_t all = 0;
        for (Part const& part : parts_) all += part.generations[0].size() + part.generations[1].size();
        return all;
    }

    /// Makes the new ones old ones, and takes those that were old.
    Chain turn() noexcept {
        auto const generation = generation_.load(std::memory_order_relaxed);
        Chain const all = gather([&](Part& part) { return part.generations[(generation + 1) % 2].pop_all(); });
        // Who still puts into the older one takes part in the turn: he was first.
        generation_.store(generation + 1, std::memory_order_relaxed);
        unreserve(all.size);
        return all;
    }

    /// Takes all, and lets nothing in any more.
    Chain seal() noexcept {
        Chain all = gather([](Part& part) { return part.generations[0].seal(); });
        for (Chain more = gather([](Part& part) { return part.generations[1].seal(); }); Cell* const cell = more.pop();)
            all.push(*cell);
        return all;
    }

    /// Takes back the cells of what was taken.
    void reuse(Chain cells) noexcept { put_blank(parts_.here(), cells); }

private:
    struct alignas(interference_size) Part {
        std::array<TreiberStack<Cell>, 2> generations;
        TreiberStack<Cell> blank;
    };

    // A limit is kept at every moment: what is on its way in counts, and what is on its way out still does.
    std::size_t reserve(std::size_t wanted, As as) noexcept {
        if (!limit_) return wanted;
        if (as != As::new_ones) {
            kept_.fetch_add(wanted, std::memory_order_relaxed);
            return wanted;
        }
        std::size_t kept = kept_.load(std::memory_order_relaxed);
        for (;;) {
            std::size_t const room = kept < *limit_ ? *limit_ - kept : 0;
            std::size_t const count = wanted < room ? wanted : room;
            if (count == 0 || kept_.compare_exchange_weak(kept, kept + count, std::memory_order_relaxed)) return count;
        }
    }
    void unreserve(std::size_t count) noexcept {
        if (limit_) kept_.fetch_sub(count, std::memory_order_relaxed);
    }

    // Fewer when there is no memory for more.
    Chain blank_cells(Part& part, std::size_t count) noexcept {
        Chain chain;
        while (chain.size < count) {
            Chain some = part.blank.pop_some(count - chain.size);
            if (some.empty()) break;
            while (Cell* const cell = some.pop()) chain.push(*cell);
        }
        if (chain.size < count) {
            try {
                std::lock_guard const lock{mutex_};
                while (chain.size < count) chain.push(cells_.take());
            } catch (std::bad_alloc const&) {
            }
        }
        return chain;
    }

    static void put_blank(Part& part, Chain chain) noexcept {
        while (Cell* const cell = chain.pop()) part.blank.push(*cell);
    }

    std::size_t unpack(Chain chain, std::span<void*> into) noexcept {
        std::size_t count = 0;
        Cell* last = nullptr;
        for (Cell* cell = chain.first; cell; cell = cell->next.load(std::memory_order_relaxed)) {
            into[count++] = cell->item;
            last = cell;
        }
        parts_.here().blank.push(chain, *last);
        unreserve(count);
        return count;
    }

    template <class Take>
    Chain gather(Take take) noexcept {
        Chain all;
        for (Part& part : parts_)
            for (Chain some = take(part); Cell* const cell = some.pop();) all.push(*cell);
        return all;
    }

    std::optional<std::size_t> const limit_;
    CpuArray<Part> parts_;
    std::atomic<unsigned> generation_{0};
    alignas(interference_size) std::atomic<std::size_t> kept_{0};  // if there is a limit
    std::mutex mutex_;                                             // protects the arena only
    Arena<Cell> cells_;
};

}  // namespace weir::detail
