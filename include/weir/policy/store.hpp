#pragma once
// Where idle resources lie, and which of them is lent next.

#include <concepts>
#include <weir/policy/slots.hpp>

namespace weir {

/// A lock-free stack on one 128-bit word: the latest returned is lent first, whoever returned it.
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

/// One of these for each processor, so that threads on different processors do not fight over one word.
/// `PerCpu<TaggedStack>` is the default.
///
/// What comes back is parked where the thread runs. What that processor took back last is lent there first, then the
/// rest of its own in the order of `Store`, then others': every idle resource is found before anything is opened and
/// before anybody waits. Where the order over all processors matters, write `TaggedStack`.
///
/// Costs 128 bytes for each processor (64 at most, the number rounded up to a power of two) and bucket of settings, and
/// nothing for each thread. A pool that runs empty looks everywhere, and the first to wait shuts each part: time in
/// proportion to the number of processors.
template <class Store>
struct PerCpu {
    static_assert(std::same_as<Store, TaggedStack> || std::same_as<Store, LockedStack> ||
                      std::same_as<Store, LockedQueue>,
                  "weir::PerCpu is over weir's stores: write PerCpu<TaggedStack>, PerCpu<LockedStack> or "
                  "PerCpu<LockedQueue>");

    using policy_slot = slot::Store;
};

}  // namespace weir
