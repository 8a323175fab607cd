#pragma once
// An observer that remembers what it was told.

#include <boost/system/error_code.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>
#include <weir/policy/observer.hpp>

namespace weir::test {

/// A copyable handle on what was told; one copy goes into the pool's options, the other asks.
class Recorder {
public:
    using policy_slot = slot::Observer;
    using duration = std::chrono::steady_clock::duration;

    void connected(duration took) noexcept { note("connected", took); }
    void connect_failed(boost::system::error_code) noexcept { note("connect_failed"); }
    void acquired(duration waited) noexcept { note("acquired", waited); }
    void released(duration held) noexcept { note("released", held); }
    void closed(Cause cause) noexcept {
        {
            std::lock_guard const lock{state_->mutex};
            state_->causes.push_back(cause);
        }
        note("closed");
    }
    void timed_out() noexcept { note("timed_out"); }
    void rejected() noexcept { note("rejected"); }
    void overdue(std::uint64_t, duration held) noexcept { note("overdue", held); }
    void returned_overdue(std::uint64_t, duration held) noexcept { note("returned_overdue", held); }

    int told(std::string const& what) const {
        std::lock_guard const lock{state_->mutex};
        return state_->counts[what];
    }
    duration last(std::string const& what) const {
        std::lock_guard const lock{state_->mutex};
        return state_->durations[what];
    }
    std::vector<Cause> causes() const {
        std::lock_guard const lock{state_->mutex};
        return state_->causes;
    }

    /// Called at everything that is told, with no lock of the recorder held.
    void react(std::function<void()> reaction) {
        std::lock_guard const lock{state_->mutex};
        state_->reaction = std::move(reaction);
    }

private:
    struct State {
        std::mutex mutex;
        std::map<std::string, int> counts;
        std::map<std::string, duration> durations;
        std::vector<Cause> causes;
        std::function<void()> reaction;
    };

    void note(char const* what, duration took = {}) noexcept {
        std::function<void()> reaction;
        {
            std::lock_guard const lock{state_->mutex};
            ++state_->counts[what];
            state_->durations[what] = took;
            reaction = state_->reaction;
        }
        if (reaction) reaction();
    }

    std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace weir::test
