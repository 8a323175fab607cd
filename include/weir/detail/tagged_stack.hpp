#pragma once
// The lock-free idle store.

#include <cstddef>
#include <cstdint>
#include <weir/detail/config.hpp>
#include <weir/detail/slot.hpp>
#include <weir/detail/spin.hpp>
#include <weir/detail/word128.hpp>

namespace weir::detail {

/// A stack of idle slots on one 128-bit head, with a gate.
///
/// Treiber's stack (IBM RJ 5118, 1986) with the tag that his paper gives against ABA. The head's lower half is the top
/// slot; the upper half is, from its low end, the gate (1 bit), the number of slots (24) and the tag (39), so neither
/// counting nor the gate costs a second exchange.
///
/// The tag rises with every removal. A pop that read the top and its `next` before somebody else's pop therefore
/// fails, even if the same slot has come back to the top. Pushes need not raise it: they leave what lies below alone.
/// 2^39 removals between the two steps of one pop would fool it: hours, at the machine's full speed.
///
/// The gate is how a waiter and a returner find each other. While it is shut, `push` refuses, and it can be shut only
/// at a moment when the stack is empty. So there are two orders, and no third: the push came before the gate was shut,
/// and the acquirer who tried to shut it was told to look again; or it came after, and the returner was refused and
/// goes to the waiters. It is one word, so no fence is needed between parking and looking for waiters, and a returner
/// touches nothing after its push: by then the slot, and with it the core, may be gone.
///
/// `push`, `pop` and `size` are lock-free and for any thread. The others are for one thread at a time: the core calls
/// them under its mutex.
class TaggedStackStore {
public:
    /// Whether what is pushed is popped next.
    static constexpr bool is_stack = true;

    explicit TaggedStackStore(std::uint64_t first_tag = 0) noexcept
        : head_{Word128::Value{0, first_tag << tag_shift}} {}

    /// Parks `slot` on top. What is refused: nullptr, or `slot` while the gate is shut.
    SlotBase* push(SlotBase& slot) noexcept {
        bool done = false;
        return push_once(slot, done) || (!done && push_contended(slot)) ? nullptr : &slot;
    }

    /// The same, trying once: false, and nothing done, also when somebody else was faster.
    bool try_push(SlotBase& slot) noexcept {
        bool done = false;
        return push_once(slot, done);
    }

    /// Takes the slot that was parked last; nullptr when there is none.
    SlotBase* pop() noexcept {
        bool done = false;
        SlotBase* const slot = pop_once(done);
        return done ? slot : pop_contended();
    }

    std::size_t size() const noexcept { return count(head_.load_high()); }

    /// When the one on top was parked, or `never`. A hint, as somebody may take it meanwhile.
    std::chrono::steady_clock::rep top_stamp() const noexcept { return parked_at(top(head_.load())); }

    bool shut() const noexcept { return (head_.load_high() & gate) != 0; }

    /// Shuts the gate; false, and nothing done, when a slot is parked.
    bool shut_if_empty() noexcept {
        auto head = head_.load();
        do {
            if (top(head)) return false;
        } while (!head_.compare_exchange(head, {0, head.high | gate}));
        return true;
    }

    void open() noexcept {
        auto head = head_.load();
        while (!head_.compare_exchange(head, {head.low, head.high & ~gate})) {
        }
    }

    /// Shuts the gate and takes all slots, the latest first.
    Chain seal() noexcept { return exchange_all(gate); }

    /// Takes all slots, the latest first, and leaves the gate alone.
    Chain pop_all() noexcept { return exchange_all(0); }

    /// Parks `slot` although the gate is shut.
    void push_behind_gate(SlotBase& slot) noexcept {
        auto head = head_.load();
        do {
            slot.next.store(top(head), std::memory_order_relaxed);
        } while (!head_.compare_exchange(head, {word(&slot), head.high + one}));
    }

    /// Takes the latest that `matches`, and leaves the others where they are.
    template <class Matches>
    SlotBase* take_first(Matches matches) noexcept {
        Chain all = pop_all();
        SlotBase* const found = remove_first(all, matches);
        restore(all);
        return found;
    }

    /// Parks `slot` as the one to be lent next.
    void put_first(SlotBase& slot) noexcept { push_behind_gate(slot); }

    /// Parks `slot`, one of the coldest, where it lay before: below those that came back later.
    void put_back(SlotBase& slot) noexcept {
        Chain all = pop_all();
        insert_by_age(all, slot);
        restore(all);
    }

    /// Takes up to `most` of the slots that `matches`, the coldest first, and leaves the others where they are.
    ///
    /// When there is one, the stack is empty for as long as it takes to walk it. No acquirer is misled: one that finds
    /// nothing asks for the core's mutex before it opens or waits, and looks again when it has it.
    template <class Matches>
    Chain take_coldest(std::size_t most, Matches matches) {
        if (most == 0 || !any(matches)) return {};
        Chain kept = pop_all();
        Chain const taken = take_last(kept, most, matches);
        restore(kept);
        return taken;
    }

    /// The same, of those for one round of maintenance: at most half of what is here.
    template <class Matches>
    Chain take_round(std::size_t most, Matches matches) {
        std::size_t const half = size() / 2 > 0 ? size() / 2 : 1;
        return take_coldest(most < half ? most : half, matches);
    }

    /// Whether one `matches`. A hint: the slots seen on the way may be taken and come back meanwhile, so the walk is
    /// bounded. Only their atomics are read.
    template <class Matches>
    bool any(Matches const& matches) const noexcept {
        auto const head = head_.load();
        SlotBase const* slot = top(head);
        for (std::size_t left = count(head.high); slot && left > 0; --left) {
            if (matches(*slot)) return true;
            slot = slot->next.load(std::memory_order_relaxed);
        }
        return false;
    }

    /// Puts a chain back below what has been parked meanwhile, whether or not the gate is shut.
    void restore(Chain chain) noexcept {
        while (!chain.empty()) {
            auto head = head_.load();
            if (!top(head) && head_.compare_exchange(head, {word(chain.first), head.high + chain.size * one})) return;
            Chain newer = pop_all().reversed();
            while (SlotBase* slot = newer.pop()) chain.push(*slot);
        }
    }

private:
    // No constant of these is ever carried into its neighbour: the count never exceeds max_slots, and a tag that wraps
    // round runs off the word's upper end.
    static constexpr std::uint64_t gate = 1;
    static constexpr std::uint64_t one = 2;
    static constexpr unsigned tag_shift = 25;
    static constexpr std::uint64_t tag = std::uint64_t{1} << tag_shift;
    static_assert(max_slots < tag / one);

    // One try. Not done when somebody else was faster.
    bool push_once(SlotBase& slot, bool& done) noexcept {
        auto head = head_.load();
        done = (head.high & gate) != 0;
        if (done) return false;
        slot.next.store(top(head), std::memory_order_relaxed);  // published by the exchange
        return head_.compare_exchange(head, {word(&slot), head.high + one});
    }

    SlotBase* pop_once(bool& done) noexcept {
        auto head = head_.load();
        SlotBase* const slot = top(head);
        done = !slot;
        if (done) return nullptr;
        // May be stale, of a slot that has just been taken by somebody else: then the tag has risen and the exchange
        // fails.
        SlotBase* const below = slot->next.load(std::memory_order_relaxed);
        done = head_.compare_exchange(head, {word(below), head.high - one + tag});
        return slot;
    }

    // Apart, so that what is compiled into every caller is short.
    [[gnu::noinline]] bool push_contended(SlotBase& slot) noexcept {
        bool done = false;
        for (Retreat retreat; !done;) {
            retreat();
            if (push_once(slot, done)) return true;
        }
        return false;
    }

    [[gnu::noinline]] SlotBase* pop_contended() noexcept {
        for (Retreat retreat;;) {
            retreat();
            bool done = false;
            SlotBase* const slot = pop_once(done);
            if (done) return slot;
        }
    }

    static SlotBase* top(Word128::Value const& head) noexcept { return reinterpret_cast<SlotBase*>(head.low); }
    static std::uint64_t word(SlotBase* slot) noexcept { return reinterpret_cast<std::uint64_t>(slot); }
    static std::size_t count(std::uint64_t high) noexcept { return (high & (tag - 1)) / one; }

    Chain exchange_all(std::uint64_t also_set) noexcept {
        auto head = head_.load();
        for (;;) {
            std::uint64_t const kept = head.high & ~((tag - 1) & ~gate);  // all but the count
            if (head_.compare_exchange(head, {0, (kept + tag) | also_set})) return {top(head), count(head.high)};
        }
    }

    Word128 head_;  // it is what processors fight over: whoever has a store keeps it on a line of its own
};

}  // namespace weir::detail
