#pragma once
// The pool everybody writes: a vector, a mutex, a condition variable.

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace bench {

template <class T>
class Naive {
public:
    struct GiveBack {
        void operator()(T* item) const noexcept { pool->release(item); }
        Naive* pool;
    };
    using Held = std::unique_ptr<T, GiveBack>;

    template <class Argument>
    Naive(std::size_t size, Argument& argument) {
        for (std::size_t i = 0; i < size; ++i) items_.push_back(std::make_unique<T>(argument));
        for (auto const& item : items_) idle_.push_back(item.get());
    }

    Held acquire() {
        std::unique_lock lock{mutex_};
        returned_.wait(lock, [this] { return !idle_.empty(); });
        Held held{idle_.back(), {this}};
        idle_.pop_back();
        return held;
    }

private:
    void release(T* item) noexcept {
        {
            std::lock_guard const lock{mutex_};
            idle_.push_back(item);
        }
        returned_.notify_one();
    }

    std::vector<std::unique_ptr<T>> items_;
    std::mutex mutex_;  // protects the idle ones
    std::condition_variable returned_;
    std::vector<T*> idle_;
};

}  // namespace bench
