#pragma once

#include <memory>
#include <weir/detail/hand_over.hpp>

namespace weir::detail {

/// An awaitable operation of a connector that is under way, as far as deciding about it goes.
class Task {
public:
    virtual ~Task() = default;

    /// Asks the operation to stop: terminal cancellation, from any thread. It may take no notice.
    virtual void cancel() noexcept = 0;

    /// Whether this thread is inside the operation.
    virtual bool is_running_here() const noexcept = 0;

    void const* context = nullptr;  // where it runs

    // Guarded by the core's mutex until it is asked to stop, which is once.
    bool asked_to_stop = false;
    HandOver hand_over{};          // by whoever asks
    std::shared_ptr<Task> next{};  // in the chain of whoever asks
};

}  // namespace weir::detail
