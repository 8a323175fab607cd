#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <weir/detail/alarms.hpp>
#include <weir/detail/context_watch.hpp>
#include <weir/detail/lifetime_source.hpp>
#include <weir/detail/pool_executor.hpp>
#include <weir/detail/workers.hpp>

namespace weir::detail {

/// What a pool has once, however many cores it has: one, or one for each key. Lives as long as any of them, and its
/// address is what `Inside` knows the pool by.
template <class P>
struct Means {
    Means(typename P::Executor e, typename P::Options o) : options{std::move(o)}, executor{std::move(e)} {}
    Means(Means const&) = delete;
    Means& operator=(Means const&) = delete;
    ~Means() {
        alarms->stop();
        workers->stop();
    }

    typename P::Options options;
    PoolExecutor<typename P::Executor> executor;
    LifetimeSource lifetimes;
    WatchedContexts<ContextUser> contexts;
    std::atomic<bool> executor_gone{false};  // the context of the user's executor has shut down
    std::shared_ptr<Workers<>> const workers = std::make_shared<Workers<>>();
    std::shared_ptr<Alarms<>> const alarms = std::make_shared<Alarms<>>();
};

}  // namespace weir::detail
