#pragma once

namespace weir::detail {

/// A piece of work that a pool's worker does: a node, so that handing it over never allocates.
struct Job {
    void (*run)(void*) noexcept = nullptr;
    void* argument = nullptr;
    Job* next = nullptr;
};

}  // namespace weir::detail
