#pragma once

#include <cstddef>
#include <weir/detail/bucket_store.hpp>
#include <weir/detail/fronted_store.hpp>
#include <weir/detail/locked_store.hpp>
#include <weir/detail/per_cpu_store.hpp>
#include <weir/detail/share_store.hpp>
#include <weir/detail/tagged_stack.hpp>
#include <weir/fwd.hpp>
#include <weir/policy/store.hpp>

namespace weir::detail {

/// What implements a store policy.
template <class P>
struct StoreOf;
template <>
struct StoreOf<TaggedStack> {
    using type = Apart<TaggedStackStore>;
};
/// `TaggedStack` that keeps no distance: for a core that is one of many, on which few threads meet.
struct CloseStack {
    using policy_slot = slot::Store;
};
template <>
struct StoreOf<CloseStack> {
    using type = TaggedStackStore;
};
template <>
struct StoreOf<LockedStack> {
    using type = Apart<LockedStore<Order::lifo>>;
};
template <>
struct StoreOf<LockedQueue> {
    using type = Apart<LockedStore<Order::fifo>>;
};
template <>
struct StoreOf<PerCpu<TaggedStack>> {
    using type = PerCpuStore<FrontedStore<TaggedStackStore>>;
};
template <>
struct StoreOf<PerCpu<LockedStack>> {
    using type = PerCpuStore<FrontedStore<LockedStore<Order::lifo>>>;
};
// A queue lends what came back first: nothing is gained by a place in front.
template <>
struct StoreOf<PerCpu<LockedQueue>> {
    using type = PerCpuStore<Apart<LockedStore<Order::fifo>>>;
};

/// The store policy of a shared pool.
struct SharedStore {
    using policy_slot = slot::Store;
};
template <>
struct StoreOf<SharedStore> {
    using type = Apart<ShareStore>;
};

/// With a part for each of so many buckets of settings, if there are any.
template <class P, std::size_t buckets>
struct BucketsOf {
    using type = BucketStore<typename StoreOf<P>::type, buckets + 1>;
};
template <class P>
struct BucketsOf<P, 0> : StoreOf<P> {};

}  // namespace weir::detail
