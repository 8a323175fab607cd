#pragma once
// One thread for all that is to be done now and then.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>
#include <weir/detail/deadline.hpp>

namespace weir::detail {

/// Does things at intervals, each as long as it is wanted, on one thread for the whole program. It is started with the
/// first of them, and joined with the last `Entry`.
class Timetable {
public:
    using duration = std::chrono::steady_clock::duration;
    using time_point = std::chrono::steady_clock::time_point;

    struct Task {
        std::function<void()> run;     // does not throw
        std::function<bool()> wanted;  // does not throw; a look, as it is called under a mutex
    };

    /// One thing to do. It is not done before `begin`, nor after the destructor, which waits for what is under way,
    /// unless it is called from there.
    class Entry {
    public:
        Entry(duration every, Task task)
            : table_{shared()}, every_{every}, task_{std::make_shared<Task const>(std::move(task))} {}
        Entry(Entry const&) = delete;
        Entry& operator=(Entry const&) = delete;
        ~Entry() { table_->state_->remove(*this); }

        /// Has it done so often from now on, until it is not wanted. To be called whenever it has come to be wanted.
        ///
        /// Who makes it wanted does so first and looks then whether it has begun; who ends it says so first and looks
        /// then whether it is wanted: both with sequential consistency, so one of the two sees the other.
        void begin() noexcept {
            if (!begun_.load(std::memory_order_seq_cst)) table_->begin(*this);
        }

    private:
        friend class Timetable;

        std::shared_ptr<Timetable> const table_;
        duration const every_;
        std::shared_ptr<Task const> const task_;
        std::atomic<bool> begun_{false};  // written under the mutex
        time_point at_{};                 // guarded by it
    };

    ~Timetable() {
        state_->stop();
        if (!thread_.joinable()) return;
        // The last entry may end within what it does.
        if (thread_.get_id() == std::this_thread::get_id())
            thread_.detach();
        else
            thread_.join();
    }

private:
    // What the thread keeps.
    struct State {
        std::mutex mutex;  // protects all below; not held while anything is done
        std::condition_variable changed;
        std::vector<Entry*> entries{};
        Entry* running = nullptr;
        std::thread::id runner{};
        bool stopped = false;

        void stop() noexcept {
            std::lock_guard const lock{mutex};
            stopped = true;
            changed.notify_all();
        }

        void remove(Entry& entry) noexcept {
            std::unique_lock lock{mutex};
            std::erase(entries, &entry);
            if (running == &entry && runner == std::this_thread::get_id())
                running = nullptr;
            else
                changed.wait(lock, [&] { return running != &entry; });
        }

        void work() noexcept {
            std::unique_lock lock{mutex};
            runner = std::this_thread::get_id();
            while (!stopped) {
                auto const next =
                    std::min_element(entries.begin(), entries.end(),
                                     [](Entry const* one, Entry const* two) { return one->at_ < two->at_; });
                if (next == entries.end())
                    changed.wait(lock);
                else if (auto const at = (*next)->at_; std::chrono::steady_clock::now() < at)
                    changed.wait_until(lock, at);
                else
                    run(**next, lock);
            }
        }

        void run(Entry& entry, std::unique_lock<std::mutex>& lock) noexcept {
            auto const task = entry.task_;
            running = &entry;
            lock.unlock();
            task->run();
            lock.lock();
            if (running != &entry) return;  // it ended meanwhile, and has gone
            entry.at_ = after(std::chrono::steady_clock::now(), entry.every_);
            if (!task->wanted()) {
                entry.begun_.store(false, std::memory_order_seq_cst);
                if (!task->wanted())
                    std::erase(entries, &entry);
                else
                    entry.begun_.store(true, std::memory_order_relaxed);
            }
            running = nullptr;
            changed.notify_all();
        }
    };

    static std::shared_ptr<Timetable> shared() {
        // Made before whatever has an entry, hence destroyed after it.
        static std::mutex mutex;
        static std::weak_ptr<Timetable> current;
        std::lock_guard const lock{mutex};
        auto table = current.lock();
        if (!table) current = table = std::make_shared<Timetable>();
        return table;
    }

    void begin(Entry& entry) noexcept {
        std::lock_guard const lock{state_->mutex};
        if (entry.begun_.load(std::memory_order_relaxed)) return;
        try {
            if (!thread_.joinable()) thread_ = std::thread{[state = state_] { state->work(); }};
            state_->entries.push_back(&entry);
        } catch (...) {
            return;  // no thread, or no memory: whoever comes next tries again
        }
        entry.at_ = after(std::chrono::steady_clock::now(), entry.every_);
        entry.begun_.store(true, std::memory_order_relaxed);
        state_->changed.notify_all();
    }

    std::shared_ptr<State> const state_ = std::make_shared<State>();
    std::thread thread_;  // guarded by the state's mutex, but for the end
};

}  // namespace weir::detail
