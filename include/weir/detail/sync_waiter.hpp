#pragma once
// A thread in line.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <weir/detail/spin.hpp>
#include <weir/detail/waiter.hpp>

namespace weir::detail {

/// Whether it pays for a thread to stay awake for a moment before it sleeps. One for all threads of a pool.
///
/// To sleep and be woken costs two thread switches, several microseconds, and a resource that is in use for less is
/// back before. So whoever is next in line watches for about as long as a switch takes: twice the price at most,
/// whatever happens (Karlin et al., Empirical studies of competitive spinning, SOSP 1991). Where resources are in use
/// for longer that is found out in a few tries, and then only every sixteenth wait is spent on trying again.
///
/// A hint: threads may overwrite each other's findings.
class Vigil {
public:
    static constexpr std::chrono::microseconds length{10};

    bool pays() noexcept {
        static bool const alone = std::thread::hardware_concurrency() == 1;
        if (alone) return false;
        int const credit = credit_.load(std::memory_order_relaxed);
        if (credit <= 0) credit_.store(credit + 1, std::memory_order_relaxed);
        return credit > 0;
    }

    void ended(bool served) noexcept {
        int const credit = credit_.load(std::memory_order_relaxed);
        credit_.store(served ? most : credit > 1 ? credit - 1 : -rest, std::memory_order_relaxed);
    }

private:
    static constexpr int most = 4;   // vigils in vain before it rests
    static constexpr int rest = 15;  // waits without one
    std::atomic<int> credit_{most};
};

/// A thread in line.
class SyncWaiter final : public Waiter {
public:
    explicit SyncWaiter(time_point by) noexcept : Waiter{Kind::thread, by} {}

    void deliver() noexcept override {
        // Release: the outcome was written before. If the thread is awake it may be gone after this.
        if (state_.exchange(State::delivered, std::memory_order_acq_rel) == State::awake) return;
        // Under the mutex: it cannot see the flag, return and destroy the condition variable before we let go.
        std::lock_guard const lock{mutex_};
        woken_ = true;
        changed_.notify_one();
    }

    /// Waits for a `deliver`, and takes it; false when `until` came first. Stays awake at first if that pays.
    bool wait(time_point until, Vigil& vigil) {
        if (is_next && !is_delivered() && vigil.pays())
            vigil.ended(watch(std::min(until, std::chrono::steady_clock::now() + vigil.length)));
        return is_delivered() ? take() : sleep(until);
    }

    /// As `wait`, for one that is known to be on its way.
    void wait() { is_delivered() ? take() : sleep(time_point::max()); }

private:
    enum class State { awake, asleep, delivered };

    // Acquire: pairs with the exchange in `deliver`, whose thread has written the outcome.
    bool is_delivered() const noexcept { return state_.load(std::memory_order_acquire) == State::delivered; }

    bool take() noexcept {
        // Another can come only after the next step under the core's mutex.
        state_.store(State::awake, std::memory_order_relaxed);
        return true;
    }

    bool watch(time_point until) const noexcept {
        do {
            for (int i = 0; i < 8; ++i) {
                if (is_delivered()) return true;
                relax();
            }
        } while (std::chrono::steady_clock::now() < until);
        return false;
    }

    bool sleep(time_point until) {
        std::unique_lock lock{mutex_};
        auto seen = State::awake;
        if (!state_.compare_exchange_strong(seen, State::asleep, std::memory_order_acq_rel)) return take();
        auto const woken = [this] { return woken_; };
        // Not every condition variable survives the end of time.
        if (until != time_point::max() && !changed_.wait_until(lock, until, woken)) {
            seen = State::asleep;
            if (state_.compare_exchange_strong(seen, State::awake, std::memory_order_acq_rel)) return false;
            // He who delivers has seen us asleep and waits for the mutex: he must have had it before we go.
        }
        changed_.wait(lock, woken);
        woken_ = false;
        return take();
    }

    std::atomic<State> state_{State::awake};
    std::mutex mutex_;  // protects the flag
    std::condition_variable changed_;
    bool woken_ = false;
};

}  // namespace weir::detail
