#pragma once
// A thread in line.

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <weir/detail/deadline.hpp>
#include <weir/detail/spin.hpp>
#include <weir/detail/waiter.hpp>

namespace weir::detail {

/// Whether it pays for a thread to stay awake for a moment before it sleeps. One for all threads of a pool.
///
/// To sleep and be woken costs two thread switches, several microseconds, and a resource that is in use for less is
/// back before. So a thread that has nobody before it watches for about as long as a switch takes: twice the price at
/// most, whatever happens (Karlin et al., Empirical studies of competitive spinning, SOSP 1991). Where resources are
/// in use for longer that is found out in a few tries, and then only every sixteenth time is spent on trying again.
///
/// A hint: threads may overwrite each other's findings.
class Vigil {
public:
    static constexpr std::chrono::microseconds at_the_door{2};  // before it joins the line, watching the store
    static constexpr std::chrono::microseconds in_line{8};      // watching for its turn

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

    /// How often one looks before looking at the clock, and for how many pauses after each.
    struct Pace {
        int looks;
        int pauses;
    };
    /// At what only who delivers writes.
    static constexpr Pace quick{8, 1};
    /// At the store: a look takes its words away from who exchanges them. With one pause two threads that share a
    /// resource got a quarter of the throughput, and one that was awake got it later.
    static constexpr Pace slow{2, 32};

    /// Watches for `sign`; false when `until` came first. Lets others run between looks at the clock: who holds what we
    /// wait for may stand behind us on this very processor.
    template <class Sign>
    static bool watch(std::chrono::steady_clock::time_point until, Pace pace, Sign sign) noexcept {
        do {
            for (int look = 0; look < pace.looks; ++look) {
                if (sign()) return true;
                for (int i = 0; i < pace.pauses; ++i) relax();
            }
            std::this_thread::yield();
        } while (std::chrono::steady_clock::now() < until);
        return false;
    }

private:
    static constexpr int most = 4;   // vigils in vain before it rests
    static constexpr int rest = 15;  // times that it is not kept then
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

    /// Waits for a `deliver`, and takes it; false when `until` came first. Stays awake at first if there is a vigil.
    bool wait(time_point until, Vigil* vigil) {
        if (vigil && is_next && !is_delivered()) {
            auto const end = earlier(until, std::chrono::steady_clock::now() + Vigil::in_line);
            vigil->ended(Vigil::watch(end, Vigil::quick, [this] { return is_delivered(); }));
        }
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
