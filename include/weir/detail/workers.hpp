#pragma once
// The pool's own threads.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <weir/detail/job.hpp>

namespace weir::detail {

/// Starts a thread that owns what it needs, so that nobody has to join it: a pool may end on one of its own threads.
/// False when the system has no thread to give.
template <class Run>
bool start_thread(Run run) noexcept {
    try {
        std::thread{std::move(run)}.detach();
        return true;
    } catch (...) {
        return false;
    }
}

/// Threads for work that blocks: as many as there is work, at most 32, gone when there has been none for a while.
///
/// A template so that it costs nothing to include, as is the alarm.
template <class Mutex = std::mutex>
class Workers : public std::enable_shared_from_this<Workers<Mutex>> {
public:
    static constexpr std::size_t most = 32;

    /// Has some thread do `job`, which stays where it is until then. False when there is none and none can be started.
    bool submit(Job& job) noexcept {
        std::lock_guard const lock{mutex_};
        if (queued_ >= idle_ && threads_ < most) {
            if (start_thread([self = this->shared_from_this()] { self->serve(); }))
                ++threads_;
            else if (threads_ == 0)
                return false;
        }
        job.next = nullptr;
        (last_ ? last_->next : first_) = &job;
        last_ = &job;
        ++queued_;
        work_.notify_one();
        return true;
    }

    /// Sends the threads home once the jobs are done.
    void stop() noexcept {
        std::lock_guard const lock{mutex_};
        stopped_ = true;
        work_.notify_all();
    }

private:
    void serve() noexcept {
        std::unique_lock lock{mutex_};
        for (;;) {
            if (Job* const job = first_) {
                first_ = job->next;
                if (!first_) last_ = nullptr;
                --queued_;
                lock.unlock();
                job->run(job->argument);  // after which the job may be gone
                lock.lock();
                continue;
            }
            if (stopped_) break;
            ++idle_;
            bool const called = work_.wait_for(lock, std::chrono::seconds{5}, [&] { return first_ || stopped_; });
            --idle_;
            if (!called) break;
        }
        --threads_;
    }

    Mutex mutex_;  // protects all below; held for a few instructions
    std::condition_variable work_;
    Job* first_ = nullptr;
    Job* last_ = nullptr;
    std::size_t queued_ = 0;
    std::size_t threads_ = 0;
    std::size_t idle_ = 0;
    bool stopped_ = false;
};

/// One thread that sleeps until a time and then rings. It is started with the first time that is set.
///
/// The pool's own, not a timer of the user's executor: that one would keep `io_context::run()` from returning, and
/// would be late wherever nobody runs it.
template <class Mutex = std::mutex>
class Alarm : public std::enable_shared_from_this<Alarm<Mutex>> {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// `ring` is called at the time set. It may set another.
    explicit Alarm(std::function<void()> ring) : ring_{std::move(ring)} {}

    /// Rings at `at`, or when it would have rung anyway, if that is earlier.
    void set(time_point at) noexcept {
        std::lock_guard const lock{mutex_};
        if (at >= at_) return;
        at_ = at;
        if (!started_) started_ = start_thread([self = this->shared_from_this()] { self->watch(); });
        changed_.notify_one();
    }

    void stop() noexcept {
        std::lock_guard const lock{mutex_};
        stopped_ = true;
        changed_.notify_one();
    }

private:
    void watch() noexcept {
        std::unique_lock lock{mutex_};
        while (!stopped_) {
            if (at_ == time_point::max()) {
                changed_.wait(lock);
            } else if (std::chrono::steady_clock::now() < at_) {
                changed_.wait_until(lock, at_);
            } else {
                at_ = time_point::max();
                lock.unlock();
                ring_();
                lock.lock();
            }
        }
    }

    std::function<void()> const ring_;
    Mutex mutex_;  // protects all below; not held while ringing
    std::condition_variable changed_;
    time_point at_ = time_point::max();
    bool started_ = false;
    bool stopped_ = false;
};

}  // namespace weir::detail
