#pragma once
// Pools and queues of other people, as far as they are installed: CMake says which.

#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/stack.hpp>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <semaphore>
#include <thread>
#include <utility>
#include <vector>

#if defined(WEIR_BENCH_POCO)
#include <Poco/ObjectPool.h>
#endif
#if defined(WEIR_BENCH_SOCI)
#include <soci/connection-pool.h>
#endif
#if defined(WEIR_BENCH_TBB)
#include <tbb/concurrent_queue.h>
#endif
#if defined(WEIR_BENCH_MOODYCAMEL)
#include <concurrentqueue/blockingconcurrentqueue.h>
#endif

namespace bench {

/// A fixed number of idle ones in a container that has `T* take()`, which waits, and `void put(T*)`.
template <class T, template <class> class Container>
class Contained {
public:
    struct GiveBack {
        void operator()(T* item) const { pool->idle_.put(item); }
        Contained* pool;
    };
    using Held = std::unique_ptr<T, GiveBack>;

    template <class Argument>
    Contained(std::size_t size, Argument& argument) : idle_{size} {
        for (std::size_t i = 0; i < size; ++i) items_.push_back(std::make_unique<T>(argument));
        for (auto const& item : items_) idle_.put(item.get());
    }

    Held acquire() { return {idle_.take(), {this}}; }

private:
    std::vector<std::unique_ptr<T>> items_;
    Container<T> idle_;
};

/// Lock-free, and without any way to wait: asks again and again.
template <class T>
class LockfreeStack {
public:
    explicit LockfreeStack(std::size_t size) : idle_{size} {}
    T* take() {
        T* item = nullptr;
        while (!idle_.pop(item)) std::this_thread::yield();
        return item;
    }
    void put(T* item) { idle_.push(item); }

private:
    boost::lockfree::stack<T*> idle_;
};

template <class T>
class LockfreeQueue {
public:
    explicit LockfreeQueue(std::size_t size) : idle_{size} {}
    T* take() {
        T* item = nullptr;
        while (!idle_.pop(item)) std::this_thread::yield();
        return item;
    }
    void put(T* item) { idle_.push(item); }

private:
    boost::lockfree::queue<T*> idle_;
};

/// The same stack, with a semaphore to wait at.
template <class T>
class SemaphoreStack {
public:
    explicit SemaphoreStack(std::size_t size) : idle_{size} {}
    T* take() {
        count_.acquire();
        return idle_.take();
    }
    void put(T* item) {
        idle_.put(item);
        count_.release();
    }

private:
    std::counting_semaphore<> count_{0};
    LockfreeStack<T> idle_;
};

#if defined(WEIR_BENCH_TBB)
template <class T>
class TbbQueue {
public:
    explicit TbbQueue(std::size_t) {}
    T* take() {
        T* item = nullptr;
        idle_.pop(item);
        return item;
    }
    void put(T* item) { idle_.push(item); }

private:
    tbb::concurrent_bounded_queue<T*> idle_;
};
#endif

#if defined(WEIR_BENCH_MOODYCAMEL)
template <class T>
class MoodycamelQueue {
public:
    explicit MoodycamelQueue(std::size_t size) : idle_{size} {}
    T* take() {
        T* item = nullptr;
        idle_.wait_dequeue(item);
        return item;
    }
    void put(T* item) { idle_.enqueue(item); }

private:
    moodycamel::BlockingConcurrentQueue<T*> idle_;
};
#endif

#if defined(WEIR_BENCH_POCO)
template <class T>
class PocoPool {
    struct Factory : Poco::PoolableObjectFactory<T, T*> {
        explicit Factory(std::function<T*()> make) : make_{std::move(make)} {}
        T* createObject() { return make_(); }
        std::function<T*()> make_;
    };
    using Pool = Poco::ObjectPool<T, T*, Factory>;

public:
    struct GiveBack {
        void operator()(T* item) const { pool->returnObject(item); }
        Pool* pool;
    };
    using Held = std::unique_ptr<T, GiveBack>;

    template <class Argument>
    PocoPool(std::size_t size, Argument& argument)
        : pool_{Factory{[&argument] { return new T{argument}; }}, size, size} {
        std::vector<Held> all;
        for (std::size_t i = 0; i < size; ++i) all.push_back(acquire());
    }

    Held acquire() { return {pool_.borrowObject(std::numeric_limits<int>::max()), {&pool_}}; }

private:
    Pool pool_;
};
#endif

#if defined(WEIR_BENCH_SOCI)
/// Its sessions are never opened: what is lent is what lies at the same position.
template <class T>
class SociPool {
public:
    class Held {
    public:
        Held(SociPool& pool, std::size_t at) noexcept : pool_{&pool}, at_{at} {}
        Held(Held&& other) noexcept : pool_{std::exchange(other.pool_, nullptr)}, at_{other.at_} {}
        Held& operator=(Held&&) = delete;
        ~Held() {
            if (pool_) pool_->sessions_.give_back(at_);
        }
        T* operator->() const noexcept { return pool_->items_[at_].get(); }

    private:
        SociPool* pool_;
        std::size_t at_;
    };

    template <class Argument>
    SociPool(std::size_t size, Argument& argument) : sessions_{size} {
        for (std::size_t i = 0; i < size; ++i) items_.push_back(std::make_unique<T>(argument));
    }

    Held acquire() { return {*this, sessions_.lease()}; }

private:
    std::vector<std::unique_ptr<T>> items_;
    soci::connection_pool sessions_;
};
#endif

/// Calls `visit.operator()<Pool>(name)` for each.
template <class T, class Visit>
void each_peer(Visit visit) {
    visit.template operator()<Contained<T, LockfreeStack>>("lockfree_stack");
    visit.template operator()<Contained<T, LockfreeQueue>>("lockfree_queue");
    visit.template operator()<Contained<T, SemaphoreStack>>("semaphore_stack");
#if defined(WEIR_BENCH_TBB)
    visit.template operator()<Contained<T, TbbQueue>>("tbb_queue");
#endif
#if defined(WEIR_BENCH_MOODYCAMEL)
    visit.template operator()<Contained<T, MoodycamelQueue>>("moodycamel_queue");
#endif
#if defined(WEIR_BENCH_POCO)
    visit.template operator()<PocoPool<T>>("poco");
#endif
#if defined(WEIR_BENCH_SOCI)
    visit.template operator()<SociPool<T>>("soci");
#endif
}

}  // namespace bench
