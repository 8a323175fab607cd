#pragma once

#include <functional>
#include <weir/policy/slots.hpp>

namespace weir::testing {

/// Calls into a pool's slow paths, to make a race happen on purpose. Each is called without any lock held, possibly
/// by several threads at once; an empty one is not called.
struct Interleave {
    using policy_slot = slot::Trace;

    static constexpr bool is_traced = true;

    /// An acquirer has decided to wait, and nobody can see it yet.
    std::function<void()> before_enqueue{};
    /// A returner has taken a waiter out of the queue, and not yet delivered to it.
    std::function<void()> after_claim{};
    /// A returner has seen no waiter, and not yet parked the resource.
    std::function<void()> before_idle_push{};
};

}  // namespace weir::testing
