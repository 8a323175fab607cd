#pragma once
// What time it is for a resource's age. Waits and deadlines are always the steady clock's.

#include <chrono>
#include <weir/policy/slots.hpp>

namespace weir {

/// The steady clock.
///
/// Reading it costs as much as lending a resource, so the pool does not: returns are stamped with a word that its
/// sweeps advance, and ages are exact to a sixteenth of the idle policy's time to live (half a second at most).
struct SteadyClock {
    using policy_slot = slot::Clock;

    // Whether now() is cheap enough to be read at every acquire and return.
    static constexpr bool is_cheap = false;
    static std::chrono::steady_clock::time_point now() noexcept { return std::chrono::steady_clock::now(); }
};

}  // namespace weir
