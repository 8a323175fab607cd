#pragma once
// Nodes that hang together.

#include <atomic>
#include <cstddef>

namespace weir::detail {

/// Nodes linked by `next`, owned by whoever holds the chain.
///
/// A Node has `std::atomic<Node*> next`: atomic, as the loser of a race for a stack may read that of a node that has
/// come into somebody's chain meanwhile.
template <class Node>
struct BasicChain {
    Node* first = nullptr;
    std::size_t size = 0;

    bool empty() const noexcept { return first == nullptr; }

    void push(Node& node) noexcept {
        node.next.store(first, std::memory_order_relaxed);
        first = &node;
        ++size;
    }

    Node* pop() noexcept {
        Node* const node = first;
        if (node) {
            first = node->next.load(std::memory_order_relaxed);
            --size;
        }
        return node;
    }

    BasicChain reversed() const noexcept {
        BasicChain from = *this;
        BasicChain result;
        while (Node* node = from.pop()) result.push(*node);
        return result;
    }
};

}  // namespace weir::detail
