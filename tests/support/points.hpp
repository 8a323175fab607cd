#pragma once
// The Interleave trace with hooks that a test sets while the pool lives.

#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <weir/testing/interleave.hpp>

namespace weir::test {

/// One point of the trace. What `once` sets runs at the next visit only, `always` at every one.
class Point {
public:
    void once(std::function<void()> action) { set(std::move(action), true); }
    void always(std::function<void()> action) { set(std::move(action), false); }

    /// How often the pool came by.
    int visits() const {
        std::lock_guard const lock{state_->mutex};
        return state_->visits;
    }

    std::function<void()> hook() const {
        return [state = state_] {
            std::function<void()> action;
            {
                std::lock_guard const lock{state->mutex};
                ++state->visits;
                action = state->single ? std::exchange(state->action, nullptr) : state->action;
            }
            if (action) action();
        };
    }

private:
    struct State {
        std::mutex mutex;
        std::function<void()> action;
        bool single = true;
        int visits = 0;
    };

    void set(std::function<void()> action, bool single) {
        std::lock_guard const lock{state_->mutex};
        state_->action = std::move(action);
        state_->single = single;
    }

    std::shared_ptr<State> state_ = std::make_shared<State>();
};

struct Points {
    Point before_enqueue;
    Point after_claim;
    Point before_idle_push;

    testing::Interleave trace() const {
        return {.before_enqueue = before_enqueue.hook(),
                .after_claim = after_claim.hook(),
                .before_idle_push = before_idle_push.hook()};
    }
};

}  // namespace weir::test
