#pragma once
// What a piece of code costs besides time: allocations, mutex locks and clock reads of the calling thread.
// Counted by functions that stand before those of the C library; they are in allocation.cpp.

#include <cstddef>
#include <utility>

namespace weir::test {

struct Cost {
    std::size_t allocations = 0;
    std::size_t locks = 0;
    std::size_t clock_reads = 0;
};

/// Whether this build can count: sanitizers stand before the same functions, other C libraries have others.
extern bool const cost_is_counted;

/// What the running thread has spent since it began to count; null when it does not count.
extern constinit thread_local Cost* running_cost;

template <class Function>
Cost cost_of(Function function) {
    Cost cost;
    auto* const outer = std::exchange(running_cost, &cost);
    function();
    running_cost = outer;
    return cost;
}

}  // namespace weir::test
