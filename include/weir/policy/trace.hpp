#pragma once
// Points between two steps of the pool at which a test may call in. See weir/testing/interleave.hpp.

#include <weir/policy/slots.hpp>

namespace weir {

/// Nobody is called: the points compile to nothing.
struct NoTrace {
    using policy_slot = slot::Trace;

    static constexpr bool is_traced = false;
};

}  // namespace weir
