#pragma once
// A place in front of a store.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <weir/detail/config.hpp>
#include <weir/detail/cpu.hpp>
#include <weir/detail/slot.hpp>

namespace weir::detail {

/// A store with one place in front, where the slot lies that came back last: who takes one and returns one, as most
/// threads do most of the time, exchanges 64 bits, and the store behind is left alone.
///
/// The place is empty, or holds a slot, or is shut: one word, changed by compare-and-exchange only. So it is its own
/// gate, as the head of `TaggedStackStore` is: a push either came before the place was shut, and whoever shut it was
/// told; or is refused. And as nobody but `open` takes the mark away again, nothing has to be put right afterwards: a
/// returner touches nothing after the exchange that parks his slot.
///
/// A push into a place that is taken moves the one that lies there to the store behind. It is the pusher's at that
/// moment, so it keeps the core alive. When the gate behind has been shut meanwhile it is that one that is refused.
///
/// An expectation is guessed and not read: a load of a word that this processor has just exchanged waits until the
/// exchange is through, which makes a pair twice as dear. A wrong guess costs a second exchange. Only that the place is
/// shut is never guessed: then one looks.
template <class Store>
class FrontedStore {
public:
    static constexpr bool is_stack = true;

    /// Parks `slot` to be lent next. What is refused because the gate is shut: that slot, or the one before it.
    SlotBase* push(SlotBase& slot) noexcept {
        // The guess is written before the exchange: after it, the core may be gone.
        Word const guess = guess_.load(std::memory_order_relaxed);
        if (guess == barred) return push_anew(slot, place_.load(std::memory_order_acquire));
        guess_.store(word(slot), std::memory_order_relaxed);
        Word seen = guess;
        return exchange(seen, word(slot)) ? push_behind(guess) : push_anew(slot, seen);
    }

    /// The same, if nothing lies in front: false, and nothing done, when there does or the gate is shut.
    bool try_push(SlotBase& slot) noexcept {
        Word seen = guess_.load(std::memory_order_relaxed);
        if (seen != empty) return false;
        guess_.store(word(slot), std::memory_order_relaxed);
        return exchange(seen, word(slot));
    }

    /// Takes the slot that was parked last; nullptr when there is none.
    SlotBase* pop() noexcept {
        SlotBase* slot = nullptr;
        return try_pop(slot) ? slot : pop_anew();
    }

    /// The same, if it is known to lie in front: false, and nothing done, when it does not, or it is not known.
    bool try_pop(SlotBase*& slot) noexcept {
        Word const guess = guess_.load(std::memory_order_relaxed);
        Word seen = guess;
        if (!holds_slot(guess) || !exchange(seen, empty)) return false;
        slot = taken_from_front(guess);
        return true;
    }

    std::size_t size() const noexcept { return (front() ? 1 : 0) + store_.size(); }
    std::chrono::steady_clock::rep top_stamp() const noexcept {
        SlotBase const* const slot = front();
        return slot ? parked_at(slot) : store_.top_stamp();
    }

    // ---- One thread at a time, as with the store behind. -----------------------------------------------------------

    bool shut() const noexcept { return place_.load(std::memory_order_acquire) == barred; }

    bool shut_if_empty() noexcept {
        bool const was_shut = shut();
        Word seen = empty;
        if (!exchange(seen, barred) && seen != barred) return false;
        if (store_.shut_if_empty()) return true;
        if (!was_shut) unbar();
        return false;
    }

    void open() noexcept {
        store_.open();
        unbar();
    }

    Chain seal() noexcept {
        Word const seen = place_.exchange(barred, std::memory_order_acq_rel);
        Chain all = store_.seal();
        if (holds_slot(seen)) all.push(at(seen));
        return all;
    }

    Chain pop_all() noexcept {
        SlotBase* const first = take_front();
        Chain all = store_.pop_all();
        if (first) all.push(*first);
        return all;
    }

    void push_behind_gate(SlotBase& slot) noexcept {
        Word seen = place_.load(std::memory_order_acquire);
        do {
            if (seen == barred) return store_.push_behind_gate(slot);
        } while (!exchange(seen, word(slot)));
        if (holds_slot(seen)) store_.push_behind_gate(at(seen));
    }

    void put_first(SlotBase& slot) noexcept { push_behind_gate(slot); }
    void put_back(SlotBase& slot) noexcept { behind().put_back(slot); }
    void restore(Chain chain) noexcept { behind().restore(chain); }

    template <class Matches>
    bool any(Matches const& matches) const noexcept {
        SlotBase const* const slot = front();
        return (slot && matches(*slot)) || store_.any(matches);
    }
    template <class Matches>
    SlotBase* take_first(Matches matches) noexcept {
        return behind().take_first(matches);
    }
    template <class Matches>
    Chain take_coldest(std::size_t most, Matches matches) {
        return any(matches) ? behind().take_coldest(most, matches) : Chain{};
    }
    template <class Matches>
    Chain take_round(std::size_t most, Matches matches) {
        return any(matches) ? behind().take_round(most, matches) : Chain{};
    }

private:
    using Word = std::uintptr_t;
    static constexpr Word empty = 0;
    static constexpr Word barred = 1;

    static bool holds_slot(Word word) noexcept { return word > barred; }
    static SlotBase& at(Word word) noexcept { return *reinterpret_cast<SlotBase*>(word); }
    static Word word(SlotBase& slot) noexcept { return reinterpret_cast<Word>(&slot); }

    bool exchange(Word& seen, Word desired) noexcept {
        return place_.compare_exchange_strong(seen, desired, std::memory_order_acq_rel, std::memory_order_acquire);
    }

    [[gnu::noinline]] SlotBase* push_anew(SlotBase& slot, Word seen) noexcept {
        for (; seen != barred; remember_cpu()) {
            guess_.store(word(slot), std::memory_order_relaxed);
            if (exchange(seen, word(slot))) return push_behind(seen);
        }
        guess_.store(barred, std::memory_order_relaxed);
        return &slot;
    }

    // What lay in front.
    SlotBase* push_behind(Word seen) noexcept { return holds_slot(seen) ? store_.push(at(seen)) : nullptr; }

    SlotBase* pop_anew() noexcept {
        if (SlotBase* const slot = take_front()) return taken_from_front(word(*slot));
        return store_.pop();
    }

    SlotBase* taken_from_front(Word taken) noexcept {
        guess_.store(empty, std::memory_order_relaxed);
        return &at(taken);
    }

    // A hint. What is read of a slot that has gone meanwhile is still a slot's.
    SlotBase const* front() const noexcept {
        Word const seen = place_.load(std::memory_order_acquire);
        return holds_slot(seen) ? &at(seen) : nullptr;
    }

    SlotBase* take_front() noexcept {
        Word seen = place_.load(std::memory_order_acquire);
        for (; holds_slot(seen); remember_cpu())
            if (exchange(seen, empty)) return &at(seen);
        return nullptr;
    }

    void unbar() noexcept {
        Word seen = barred;
        exchange(seen, empty);
    }

    // The store behind, with all that is here in it, in order.
    Store& behind() noexcept {
        if (SlotBase* const slot = take_front()) store_.put_first(*slot);
        return store_;
    }

    alignas(interference_size) std::atomic<Word> place_{empty};
    // Not on the line of the place, or it would have to wait for it; on that of what is behind, which is touched when
    // the guess was of no use.
    alignas(cache_line) std::atomic<Word> guess_{empty};
    Store store_;
};

}  // namespace weir::detail
