#pragma once

#include <memory>

namespace weir::detail {

/// An awaitable operation of a connector that is under way, as far as deciding about it goes.
class Task {
public:
    virtual ~Task() = default;

    /// Asks the operation to stop: terminal cancellation, from any thread. It may take no notice.
    virtual void cancel() noexcept = 0;

    /// Whether this thread is inside the operation.
    virtual bool is_running_here() const noexcept = 0;

    std::shared_ptr<Task> next{};  // in a chain of those to cancel
};

}  // namespace weir::detail
