#pragma once
// Where idle resources lie, and which of them is lent next.

#include <concepts>
#include <weir/policy/slots.hpp>

namespace weir {

/// A lock-free stack on one 128-bit word: the latest returned is lent first. The default.
struct TaggedStack {
    using policy_slot = slot::Store;
};

/// The same order under a mutex: for debugging, and for processors without a 128-bit exchange.
struct LockedStack {
    using policy_slot = slot::Store;
};

/// The longest idle is lent first: spreads load evenly and keeps every connection warm, so none of them expires.
struct LockedQueue {
    using policy_slot = slot::Store;
};

/// One of these for each processor.
template <class Store>
struct PerCpu {
    static_assert(std::same_as<Store, TaggedStack> || std::same_as<Store, LockedStack> ||
                      std::same_as<Store, LockedQueue>,
                  "weir::PerCpu is over weir's stores: write PerCpu<TaggedStack>, PerCpu<LockedStack> or "
                  "PerCpu<LockedQueue>");

    using policy_slot = slot::Store;
};

}  // namespace weir
