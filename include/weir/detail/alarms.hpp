#pragma once
// When there is something to do, and nobody comes.

#include <boost/intrusive/set.hpp>
#include <boost/intrusive/set_hook.hpp>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <weir/detail/hand_over.hpp>
#include <weir/detail/workers.hpp>

namespace weir::detail {

/// Who is rung for.
class AlarmUser {
public:
    /// What it returns ends when nothing of the user's is touched any more: after the caller has let go of it.
    virtual HandOver ring() noexcept = 0;

protected:
    ~AlarmUser() = default;
};

/// One thread that sleeps until the first of the times that its users have set, and then rings for that one. It is
/// started with the first time that is set.
///
/// The pool's own, not a timer of the user's executor: that one would keep `io_context::run()` from returning, and
/// would be late wherever nobody runs it.
///
/// A template so that it costs nothing to include.
template <class Mutex = std::mutex>
class Alarms : public std::enable_shared_from_this<Alarms<Mutex>> {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// A user's place. Must be forgotten before it dies.
    struct Entry {
        std::weak_ptr<AlarmUser> user{};
        time_point at = time_point::max();
        boost::intrusive::set_member_hook<boost::intrusive::optimize_size<true>> in_order{};
    };

    /// Rings for it at `at`, or when it would have rung anyway, if that is earlier. It may set another time from there.
    void set(Entry& entry, time_point at) noexcept {
        std::lock_guard const lock{mutex_};
        if (at >= entry.at) return;
        take_out(entry);
        entry.at = at;
        entries_.insert(entry);
        if (!started_) started_ = start_thread([self = this->shared_from_this()] { self->watch(); });
        if (&*entries_.begin() == &entry) changed_.notify_one();
    }

    void forget(Entry& entry) noexcept {
        std::lock_guard const lock{mutex_};
        take_out(entry);
    }

    void stop() noexcept {
        std::lock_guard const lock{mutex_};
        stopped_ = true;
        changed_.notify_one();
    }

private:
    struct Sooner {
        bool operator()(Entry const& a, Entry const& b) const noexcept { return a.at < b.at; }
    };

    void watch() noexcept {
        std::unique_lock lock{mutex_};
        while (!stopped_) {
            if (entries_.empty()) {
                changed_.wait(lock);
                continue;
            }
            Entry& first = *entries_.begin();
            if (time_point const at = first.at; std::chrono::steady_clock::now() < at) {
                changed_.wait_until(lock, at);
                continue;
            }
            take_out(first);
            auto user = first.user.lock();
            lock.unlock();
            if (user) {
                HandOver const last = user->ring();
                user.reset();  // perhaps the last that knew of it
            }
            lock.lock();
        }
    }

    void take_out(Entry& entry) noexcept {
        if (entry.in_order.is_linked()) entries_.erase(entries_.iterator_to(entry));
        entry.at = time_point::max();
    }

    Mutex mutex_;  // protects all below, and the entries but for who they are; not held while ringing
    std::condition_variable changed_;
    boost::intrusive::multiset<
        Entry,
        boost::intrusive::member_hook<Entry, boost::intrusive::set_member_hook<boost::intrusive::optimize_size<true>>,
                                      &Entry::in_order>,
        boost::intrusive::compare<Sooner>>
        entries_;
    bool started_ = false;
    bool stopped_ = false;
};

}  // namespace weir::detail
