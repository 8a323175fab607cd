#pragma once
// The idle stores under a mutex.

#include <mutex>
#include <utility>
#include <weir/detail/slot.hpp>

namespace weir::detail {

enum class Order { lifo, fifo };

/// A list of idle slots under a mutex, with the gate and the meaning of `TaggedStackStore`.
///
/// `lifo` lends the latest returned first, `fifo` the longest idle. All functions: for any thread.
template <Order order>
class LockedStore {
public:
    static constexpr bool is_stack = order == Order::lifo;

    SlotBase* push(SlotBase& slot) noexcept {
        std::lock_guard const lock{mutex_};
        if (shut_) return &slot;
        insert(slot);
        return nullptr;
    }

    bool try_push(SlotBase& slot) noexcept { return !push(slot); }

    SlotBase* pop() noexcept {
        std::lock_guard const lock{mutex_};
        SlotBase* const slot = slots_.pop();
        if (slots_.empty()) last_ = nullptr;
        return slot;
    }

    bool try_pop(SlotBase*& slot) noexcept { return (slot = pop()) != nullptr; }

    std::size_t size() const noexcept {
        std::lock_guard const lock{mutex_};
        return slots_.size;
    }

    std::chrono::steady_clock::rep top_stamp() const noexcept {
        std::lock_guard const lock{mutex_};
        return parked_at(slots_.first);
    }

    bool shut() const noexcept {
        std::lock_guard const lock{mutex_};
        return shut_;
    }

    bool shut_if_empty() noexcept {
        std::lock_guard const lock{mutex_};
        if (!slots_.empty()) return false;
        shut_ = true;
        return true;
    }

    void open() noexcept {
        std::lock_guard const lock{mutex_};
        shut_ = false;
    }

    Chain seal() noexcept {
        std::lock_guard const lock{mutex_};
        shut_ = true;
        return take_all();
    }

    Chain pop_all() noexcept {
        std::lock_guard const lock{mutex_};
        return take_all();
    }

    void push_behind_gate(SlotBase& slot) noexcept {
        std::lock_guard const lock{mutex_};
        insert(slot);
    }

    template <class Matches>
    Chain take_coldest(std::size_t most, Matches matches) {
        return latest_first([&] { return take_last(slots_, most, matches); });
    }

    /// Takes the one to be lent next that `matches`, and leaves the others where they are.
    template <class Matches>
    SlotBase* take_first(Matches matches) noexcept {
        std::lock_guard const lock{mutex_};
        SlotBase* const found = remove_first(slots_, matches);
        find_last();
        return found;
    }

    void put_first(SlotBase& slot) noexcept {
        std::lock_guard const lock{mutex_};
        slots_.push(slot);
        if (!last_) last_ = &slot;
    }

    void put_back(SlotBase& slot) noexcept {
        latest_first([&] { insert_by_age(slots_, slot); });
    }

    template <class Matches>
    bool any(Matches const& matches) const noexcept {
        std::lock_guard const lock{mutex_};
        for (SlotBase const* s = slots_.first; s; s = s->next.load(std::memory_order_relaxed))
            if (matches(*s)) return true;
        return false;
    }

    /// Puts a chain back, the latest first, below what has been parked meanwhile.
    void restore(Chain chain) noexcept {
        latest_first([&] {
            Chain newer = slots_.reversed();
            slots_ = chain;
            while (SlotBase* const slot = newer.pop()) slots_.push(*slot);
        });
    }

    /// The same, of those for one round of maintenance: at most half of what is here.
    template <class Matches>
    Chain take_round(std::size_t most, Matches matches) {
        std::size_t const half = size() / 2 > 0 ? size() / 2 : 1;
        return take_coldest(most < half ? most : half, matches);
    }

private:
    // Does something to the list as if it were a stack.
    template <class Do>
    auto latest_first(Do act) {
        std::lock_guard const lock{mutex_};
        struct Turned {
            LockedStore& store;
            explicit Turned(LockedStore& s) : store{s} { turn(); }
            ~Turned() {
                turn();
                store.find_last();
            }
            void turn() noexcept {
                if (order == Order::fifo) store.slots_ = store.slots_.reversed();
            }
        } const turned{*this};
        return act();
    }

    void insert(SlotBase& slot) noexcept {
        if (order == Order::lifo || slots_.empty()) {
            slots_.push(slot);
            if (!last_) last_ = &slot;
        } else {
            slot.next.store(nullptr, std::memory_order_relaxed);
            last_->next.store(&slot, std::memory_order_relaxed);
            last_ = &slot;
            ++slots_.size;
        }
    }

    void find_last() noexcept {
        last_ = slots_.first;
        for (SlotBase* s = last_; s; s = s->next.load(std::memory_order_relaxed)) last_ = s;
    }

    Chain take_all() noexcept {
        last_ = nullptr;
        return std::exchange(slots_, {});
    }

    mutable std::mutex mutex_;  // protects all below
    Chain slots_;
    SlotBase* last_ = nullptr;
    bool shut_ = false;
};

}  // namespace weir::detail
