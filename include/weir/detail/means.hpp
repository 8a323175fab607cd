#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <weir/detail/alarms.hpp>
#include <weir/detail/context_watch.hpp>
#include <weir/detail/inside.hpp>
#include <weir/detail/lifetime_source.hpp>
#include <weir/detail/pool_executor.hpp>
#include <weir/detail/workers.hpp>

namespace weir::detail {

/// What a pool has once, however many cores it has: one, or one for each key. Lives as long as any of them.
template <class P>
struct Means {
    Means(typename P::Executor e, typename P::Options o) : options{std::move(o)}, executor{std::move(e)} {}
    Means(Means const&) = delete;
    Means& operator=(Means const&) = delete;
    ~Means() {
        alarms->stop();
        workers->stop();
    }

    Inside::Name const name = Inside::new_name();
    Inside::Name const dropping = Inside::new_name();  // of what is inside of the end of an operation that was dropped
    typename P::Options options;
    PoolExecutor<typename P::Executor> executor;
    LifetimeSource lifetimes;
    WatchedContexts<ContextUser> contexts;
    std::atomic<bool> executor_gone{false};  // the context of the user's executor has shut down
    std::atomic<bool> handle_gone{false};    // no user asks for the executor any more
    std::shared_ptr<Workers<>> const workers = std::make_shared<Workers<>>();
    std::shared_ptr<Alarms<>> const alarms = std::make_shared<Alarms<>>();
};

}  // namespace weir::detail
