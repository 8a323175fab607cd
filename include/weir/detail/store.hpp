#pragma once

#include <cstddef>
#include <weir/detail/bucket_store.hpp>
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

/// With a part for each of so many buckets of settings, if there are any.
template <class P, std::size_t buckets>
struct BucketsOf {
    using type = BucketStore<typename StoreOf<P>::type, buckets + 1>;
};
template <class P>
struct BucketsOf<P, 0> : StoreOf<P> {};

}  // namespace weir::detail
