#pragma once
// The pool's own threads.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <weir/detail/hand_over.hpp>
#include <weir/detail/job.hpp>

namespace weir::detail {

/// Starts a thread that owns what it needs, so that nobody has to join it: a pool may end on one of its own threads.
/// False when the system has no thread to give.
template <class Run>
bool start_thread(Run run) noexcept {
    try {
        std::thread{[run = std::move(run)]() mutable {
            HandOver::enlist();
            run();
        }}.detach();
        return true;
    } catch (...) {
        return false;
    }
}

/// Threads for work that blocks: as many as there is work, at most 32, gone when there has been none for a while.
///
/// A template so that it costs nothing to include.
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

}  // namespace weir::detail
