#pragma once

#include <memory>
#include <mutex>
#include <stop_token>
#include <utility>
#include <weir/lifetime.hpp>

namespace weir::detail {

/// Makes the tokens of one pool: while any of them lives there is one hold on the end of its close.
class LifetimeSource {
public:
    /// `take` takes such a hold, or says that there is none to take; what it returns gives it back when it dies.
    template <class Take>
    Lifetime token(Take take) const {
        std::lock_guard const lock{mutex_};
        auto hold = hold_.lock();
        if (!hold) {
            hold = take();
            hold_ = hold;
        }
        return {stop_.get_token(), std::move(hold)};
    }

    /// Runs what was registered with the tokens, on this thread.
    void stop() noexcept { stop_.request_stop(); }

private:
    std::stop_source stop_;
    mutable std::mutex mutex_;  // protects the hold
    mutable std::weak_ptr<void const> hold_;
};

}  // namespace weir::detail
