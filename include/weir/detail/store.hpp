#pragma once

#include <weir/detail/locked_store.hpp>
#include <weir/detail/tagged_stack.hpp>
#include <weir/fwd.hpp>
#include <weir/policy/store.hpp>

namespace weir::detail {

/// What implements a store policy.
template <class P>
struct StoreOf;
template <>
struct StoreOf<TaggedStack> {
    using type = TaggedStackStore;
};
template <>
struct StoreOf<LockedStack> {
    using type = LockedStore<Order::lifo>;
};
template <>
struct StoreOf<LockedQueue> {
    using type = LockedStore<Order::fifo>;
};

}  // namespace weir::detail
