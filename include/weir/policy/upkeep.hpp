#pragma once
// How old a resource may grow, and when its health is checked.

#include <weir/policy/slots.hpp>

namespace weir {

/// Resources are neither aged nor checked: they live as long as the idle policy keeps them.
struct NoUpkeep {
    using policy_slot = slot::Upkeep;
};

}  // namespace weir
