#pragma once
// The lock-free stack under the idle stores.

#include <cstddef>
#include <cstdint>
#include <weir/detail/chain.hpp>
#include <weir/detail/config.hpp>
#include <weir/detail/spin.hpp>
#include <weir/detail/word128.hpp>

namespace weir::detail {

/// A stack of nodes on one 128-bit head, with a gate.
///
/// Treiber's stack (IBM RJ 5118, 1986) with the tag that his paper gives against ABA. The head's lower half is the top
/// node; the upper half is, from its low end, the gate (1 bit), the number of nodes (24) and the tag (39), so neither
/// counting nor the gate costs a second exchange.
///
/// The tag rises with every removal. A pop that read the top and its `next` before somebody else's pop therefore
/// fails, even if the same node has come back to the top. Pushes need not raise it: they leave what lies below alone.
/// 2^39 removals between the two steps of one pop would fool it: hours, at the machine's full speed.
///
/// A loser of a race may read the `next` of a node that is no longer in the stack: nodes must not be freed before it.
///
/// While the gate is shut, `push` refuses, and it can be shut only at a moment when the stack is empty, or by who takes
/// all that is in it. It is one word, so no fence is needed between a push and a look at the gate, and a pusher touches
/// nothing after its push: by then the node, and whatever it keeps alive, may be gone.
///
/// `push`, `try_push`, `pop` and `size` are lock-free and for any thread, as are `pop_some` and `pop_all`. The others
/// are for one thread at a time.
template <class Node>
class TreiberStack {
public:
    using Chain = BasicChain<Node>;

    explicit TreiberStack(std::uint64_t first_tag = 0) noexcept : head_{Word128::Value{0, first_tag << tag_shift}} {}

    /// Puts `node` on top. What is refused: nullptr, or `node` while the gate is shut.
    Node* push(Node& node) noexcept {
        bool done = false;
        return push_once(node, done) || (!done && push_contended(node)) ? nullptr : &node;
    }

    /// The same, trying once: false, and nothing done, also when somebody else was faster.
    bool try_push(Node& node) noexcept {
        bool done = false;
        return push_once(node, done);
    }

    /// Puts a chain on top that ends with `last`. False, and nothing done, while the gate is shut or when there would
    /// be more nodes than can be counted.
    bool push(Chain chain, Node& last) noexcept {
        auto head = head_.load();
        for (Retreat retreat;; retreat()) {
            if ((head.high & gate) != 0 || count(head.high) + chain.size > max_slots) {
                last.next.store(nullptr, std::memory_order_relaxed);  // a try may have linked it
                return false;
            }
            last.next.store(top(head), std::memory_order_relaxed);  // published by the exchange
            if (head_.compare_exchange(head, {word(chain.first), head.high + chain.size * one})) return true;
        }
    }

    /// Takes the node that was pushed last; nullptr when there is none.
    Node* pop() noexcept {
        bool done = false;
        Node* const node = pop_once(done);
        return done ? node : pop_contended();
    }

    /// Takes half of the nodes at least, at most `most`, the latest first.
    Chain pop_some(std::size_t most) noexcept {
        auto head = head_.load();
        for (Retreat retreat;; retreat()) {
            Node* const first = top(head);
            if (!first) return {};
            std::size_t const half = (count(head.high) + 1) / 2;
            std::size_t const wanted = half < most ? half : most;
            // The links may be stale, and lead anywhere among the nodes, or to an end: then the tag has risen, as a link
            // changes only while its node is out.
            Node* last = first;
            Node* rest = first->next.load(std::memory_order_relaxed);
            for (std::size_t i = 1; i < wanted && rest; ++i) {
                last = rest;
                rest = last->next.load(std::memory_order_relaxed);
            }
            if (!head_.compare_exchange(head, {word(rest), head.high - wanted * one + tag})) continue;
            last->next.store(nullptr, std::memory_order_relaxed);
            return {first, wanted};
        }
    }

    std::size_t size() const noexcept { return count(head_.load_high()); }

    bool shut() const noexcept { return (head_.load_high() & gate) != 0; }

    /// Shuts the gate; false, and nothing done, when there is a node.
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

    /// Shuts the gate and takes all nodes, the latest first.
    Chain seal() noexcept { return exchange_all(gate); }

    /// Takes all nodes, the latest first, and leaves the gate alone.
    Chain pop_all() noexcept { return exchange_all(0); }

    /// Puts `node` on top although the gate is shut.
    void push_behind_gate(Node& node) noexcept {
        auto head = head_.load();
        do {
            node.next.store(top(head), std::memory_order_relaxed);
        } while (!head_.compare_exchange(head, {word(&node), head.high + one}));
    }

    /// Puts a chain back below what has been pushed meanwhile, whether or not the gate is shut.
    void restore(Chain chain) noexcept {
        while (!chain.empty()) {
            auto head = head_.load();
            if (!top(head) && head_.compare_exchange(head, {word(chain.first), head.high + chain.size * one})) return;
            Chain newer = pop_all().reversed();
            while (Node* node = newer.pop()) chain.push(*node);
        }
    }

protected:
    /// The latest and how many there are, for a walk that may be led astray: see there.
    Chain glance() const noexcept {
        auto const head = head_.load();
        return {top(head), count(head.high)};
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
    bool push_once(Node& node, bool& done) noexcept {
        auto head = head_.load();
        done = (head.high & gate) != 0;
        if (done) return false;
        node.next.store(top(head), std::memory_order_relaxed);  // published by the exchange
        return head_.compare_exchange(head, {word(&node), head.high + one});
    }

    Node* pop_once(bool& done) noexcept {
        auto head = head_.load();
        Node* const node = top(head);
        done = !node;
        if (done) return nullptr;
        // May be stale, of a node that has just been taken by somebody else: then the tag has risen and the exchange
        // fails.
        Node* const below = node->next.load(std::memory_order_relaxed);
        done = head_.compare_exchange(head, {word(below), head.high - one + tag});
        return node;
    }

    // Apart, so that what is compiled into every caller is short.
    [[gnu::noinline]] bool push_contended(Node& node) noexcept {
        bool done = false;
        for (Retreat retreat; !done;) {
            retreat();
            if (push_once(node, done)) return true;
        }
        return false;
    }

    [[gnu::noinline]] Node* pop_contended() noexcept {
        for (Retreat retreat;;) {
            retreat();
            bool done = false;
            Node* const node = pop_once(done);
            if (done) return node;
        }
    }

    static Node* top(Word128::Value const& head) noexcept { return reinterpret_cast<Node*>(head.low); }
    static std::uint64_t word(Node* node) noexcept { return reinterpret_cast<std::uint64_t>(node); }
    static std::size_t count(std::uint64_t high) noexcept { return (high & (tag - 1)) / one; }

    Chain exchange_all(std::uint64_t also_set) noexcept {
        auto head = head_.load();
        for (;;) {
            std::uint64_t const kept = head.high & ~((tag - 1) & ~gate);  // all but the count
            if (head_.compare_exchange(head, {0, (kept + tag) | also_set})) return {top(head), count(head.high)};
        }
    }

    Word128 head_;  // it is what processors fight over: whoever has a stack keeps it on a line of its own
};

}  // namespace weir::detail
