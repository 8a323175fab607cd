#pragma once
// What keeps objects for later: weir's pool, lists that one writes oneself, and other people's, as far as they are
// installed. Each makes an object when it has none.

#include <boost/lockfree/stack.hpp>
#include <boost/pool/object_pool.hpp>
#include <boost/pool/pool_alloc.hpp>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>
#include <weir/object_pool.hpp>

#if defined(WEIR_BENCH_POCO)
#include <Poco/ObjectPool.h>
#endif
#if defined(WEIR_BENCH_TBB)
#include <tbb/concurrent_queue.h>
#endif
#if defined(WEIR_BENCH_MOODYCAMEL)
#include <concurrentqueue/concurrentqueue.h>
#endif

namespace bench {

template <class T>
class WeirObjects {
public:
    template <class Argument>
    explicit WeirObjects(Argument& argument) : pool_{[&argument] { return T{argument}; }} {}

    auto acquire() { return pool_.acquire(); }
    void leave() noexcept {}

private:
    weir::ObjectPool<T> pool_;
};

/// No pool at all.
template <class T, class Argument>
class NewDelete {
public:
    explicit NewDelete(Argument& argument) : argument_{&argument} {}

    std::unique_ptr<T> acquire() { return std::make_unique<T>(*argument_); }
    void leave() noexcept {}

private:
    Argument* argument_;
};

/// What costs least: a list for each thread, which nobody else ever looks into.
template <class T, class Argument>
class ThreadLocal {
public:
    struct GiveBack {
        void operator()(T* item) const { idle.push_back(std::unique_ptr<T>{item}); }
    };
    using Held = std::unique_ptr<T, GiveBack>;

    explicit ThreadLocal(Argument& argument) : argument_{&argument} {}

    Held acquire() {
        if (idle.empty()) return Held{new T{*argument_}};
        Held held{idle.back().release()};
        idle.pop_back();
        return held;
    }
    /// By each thread, at its end.
    void leave() noexcept { idle.clear(); }

private:
    static inline thread_local std::vector<std::unique_ptr<T>> idle;

    Argument* argument_;
};

/// A list for all, in a container that has `T* try_take()`, which may find nothing, and `void put(T*)`.
template <class T, class Argument, template <class> class Container>
class SharedList {
public:
    struct GiveBack {
        void operator()(T* item) const { list->idle_.put(item); }
        SharedList* list;
    };
    using Held = std::unique_ptr<T, GiveBack>;

    explicit SharedList(Argument& argument) : argument_{&argument} {}
    ~SharedList() {
        while (T* const item = idle_.try_take()) delete item;
    }

    Held acquire() {
        T* const item = idle_.try_take();
        return Held{item ? item : new T{*argument_}, {this}};
    }
    void leave() noexcept {}

private:
    Argument* argument_;
    Container<T> idle_;
};

template <class T>
class MutexList {
public:
    T* try_take() {
        std::lock_guard const lock{mutex_};
        if (idle_.empty()) return nullptr;
        T* const item = idle_.back();
        idle_.pop_back();
        return item;
    }
    void put(T* item) {
        std::lock_guard const lock{mutex_};
        idle_.push_back(item);
    }

private:
    std::mutex mutex_;  // protects the idle ones
    std::vector<T*> idle_;
};

template <class T>
class LockfreeList {
public:
    T* try_take() {
        T* item = nullptr;
        return idle_.pop(item) ? item : nullptr;
    }
    void put(T* item) { idle_.push(item); }

private:
    boost::lockfree::stack<T*> idle_{128};
};

#if defined(WEIR_BENCH_TBB)
template <class T>
class TbbList {
public:
    T* try_take() {
        T* item = nullptr;
        return idle_.try_pop(item) ? item : nullptr;
    }
    void put(T* item) { idle_.push(item); }

private:
    tbb::concurrent_queue<T*> idle_;
};
#endif

#if defined(WEIR_BENCH_MOODYCAMEL)
template <class T>
class MoodycamelList {
public:
    T* try_take() {
        T* item = nullptr;
        return idle_.try_dequeue(item) ? item : nullptr;
    }
    void put(T* item) { idle_.enqueue(item); }

private:
    moodycamel::ConcurrentQueue<T*> idle_;
};
#endif

/// Memory only: objects are made and destroyed each time. Not for several threads, hence the mutex.
template <class T, class Argument>
class BoostObjectPool {
public:
    struct GiveBack {
        void operator()(T* item) const {
            item->~T();
            std::lock_guard const lock{pool->mutex_};
            pool->memory_.free(item);
        }
        BoostObjectPool* pool;
    };
    using Held = std::unique_ptr<T, GiveBack>;

    explicit BoostObjectPool(Argument& argument) : argument_{&argument} {}

    Held acquire() {
        T* item = nullptr;
        {
            std::lock_guard const lock{mutex_};
            item = memory_.malloc();
        }
        return Held{::new (item) T{*argument_}, {this}};
    }
    void leave() noexcept {}

private:
    Argument* argument_;
    std::mutex mutex_;  // protects the memory
    boost::object_pool<T> memory_;
};

/// The same, of one pool for the whole program, with a mutex of its own.
template <class T, class Argument>
class BoostFastPoolAllocator {
public:
    struct GiveBack {
        void operator()(T* item) const {
            item->~T();
            boost::fast_pool_allocator<T>::deallocate(item);
        }
    };
    using Held = std::unique_ptr<T, GiveBack>;

    explicit BoostFastPoolAllocator(Argument& argument) : argument_{&argument} {}

    Held acquire() { return Held{::new (boost::fast_pool_allocator<T>::allocate()) T{*argument_}}; }
    void leave() noexcept {}

private:
    Argument* argument_;
};

#if defined(WEIR_BENCH_POCO)
template <class T, class Argument>
class PocoObjects {
    struct Factory : Poco::PoolableObjectFactory<T, T*> {
        explicit Factory(Argument& argument) : argument_{&argument} {}
        T* createObject() { return new T{*argument_}; }
        Argument* argument_;
    };
    using Pool = Poco::ObjectPool<T, T*, Factory>;
    static constexpr std::size_t unbounded = 1 << 20;

public:
    struct GiveBack {
        void operator()(T* item) const { pool->returnObject(item); }
        Pool* pool;
    };
    using Held = std::unique_ptr<T, GiveBack>;

    explicit PocoObjects(Argument& argument) : pool_{Factory{argument}, unbounded, unbounded} {}

    Held acquire() { return {pool_.borrowObject(std::numeric_limits<int>::max()), {&pool_}}; }
    void leave() noexcept {}

private:
    Pool pool_;
};
#endif

/// Calls `visit.operator()<Pool>(name)` for each.
template <class T, class Argument, class Visit>
void each_object_pool(Visit visit) {
    visit.template operator()<WeirObjects<T>>("weir");
    visit.template operator()<ThreadLocal<T, Argument>>("thread_local");
    visit.template operator()<NewDelete<T, Argument>>("new_delete");
    visit.template operator()<SharedList<T, Argument, MutexList>>("mutex_list");
    visit.template operator()<SharedList<T, Argument, LockfreeList>>("lockfree_stack");
    visit.template operator()<BoostObjectPool<T, Argument>>("boost_object_pool");
    visit.template operator()<BoostFastPoolAllocator<T, Argument>>("boost_fast_pool_allocator");
#if defined(WEIR_BENCH_TBB)
    visit.template operator()<SharedList<T, Argument, TbbList>>("tbb_queue");
#endif
#if defined(WEIR_BENCH_MOODYCAMEL)
    visit.template operator()<SharedList<T, Argument, MoodycamelList>>("moodycamel_queue");
#endif
#if defined(WEIR_BENCH_POCO)
    visit.template operator()<PocoObjects<T, Argument>>("poco");
#endif
}

}  // namespace bench
