#pragma once

#include <boost/asio/execution/context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/query.hpp>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>
#include <weir/detail/waiter.hpp>

namespace boost::asio {
class thread_pool;
template <class Executor>
class strand;
}  // namespace boost::asio

namespace weir::detail {

/// Memory for what an executor keeps of one function: 40 bytes for an `io_context` or a `thread_pool`, and up to 72 more
/// for a strand of one.
///
/// Not for two threads at once.
class PlacedMemory {
public:
    /// For what is aligned as a pointer is. nullptr when it does not do.
    void* allocate(std::size_t size) noexcept {
        if (size <= sizeof small_ && !std::exchange(small_used_, true)) return small_;
        if (size <= sizeof large_ && !std::exchange(large_used_, true)) return large_;
        return nullptr;
    }

    /// False when it is not from here, and then only the address counts: whatever this was a part of may be gone.
    bool deallocate(void const* memory) noexcept {
        if (memory != small_ && memory != large_) return false;
        (memory == small_ ? small_used_ : large_used_) = false;
        if (left_by_) leave(*left_by_);
        return true;
    }

    /// Ends what this is a part of, unheard, when nothing lies here any more: a strand that is shut down destroys the
    /// function before the context destroys what was to run the strand, and that lies here too.
    void leave(Waiter& owner) noexcept {
        left_by_ = &owner;
        if (!small_used_ && !large_used_) owner.abandon();
    }

private:
    alignas(void*) std::byte small_[40];
    alignas(void*) std::byte large_[72];
    bool small_used_ = false;
    bool large_used_ = false;
    Waiter* left_by_ = nullptr;
};

/// In its place where there is none.
struct NoMemory {};

/// Where an executor runs, by its own type.
template <class Executor>
using ContextOf = std::remove_reference_t<decltype(boost::asio::query(std::declval<Executor const&>(),
                                                                      boost::asio::execution::context))>;

/// The executor of an `io_context` or a `thread_pool`. Executors of others may tell one of these for their context too.
template <class Executor>
concept ExecutorOfAsios = requires {
    requires std::is_same_v<ContextOf<Executor>, boost::asio::io_context> ||
        std::is_same_v<ContextOf<Executor>, boost::asio::thread_pool>;
    requires std::is_same_v<Executor, typename ContextOf<Executor>::executor_type>;
};

/// Whether an executor is known to free the memory of a function before it calls it, as those of Asio do: the memory may
/// be a part of what the function destroys. No executor need do so.
template <class Executor>
inline constexpr bool frees_before_it_calls = ExecutorOfAsios<Executor>;
template <class Executor>
inline constexpr bool frees_before_it_calls<boost::asio::strand<Executor>> = frees_before_it_calls<Executor>;

/// Memory of `place`, and where that does not do, of another allocator.
template <class T, class Else>
class PlacedAllocator {
public:
    using value_type = T;

    PlacedAllocator(PlacedMemory& place, Else const& other) noexcept : place_{&place}, other_{other} {}
    template <class U>  // NOLINTNEXTLINE(google-explicit-constructor): allocators convert
    PlacedAllocator(PlacedAllocator<U, Else> const& from) noexcept : place_{from.place_}, other_{from.other_} {}

    T* allocate(std::size_t count) {
        if constexpr (alignof(T) <= alignof(void*))
            if (void* const memory = place_->allocate(count * sizeof(T))) return static_cast<T*>(memory);
        Other<T> other{other_};
        return std::allocator_traits<Other<T>>::allocate(other, count);
    }

    void deallocate(T* memory, std::size_t count) noexcept {
        Other<T> other{other_};
        if (!place_->deallocate(memory)) std::allocator_traits<Other<T>>::deallocate(other, memory, count);
    }

    friend bool operator==(PlacedAllocator const& a, PlacedAllocator const& b) noexcept {
        return a.place_ == b.place_ && a.other_ == b.other_;
    }

private:
    template <class, class>
    friend class PlacedAllocator;
    template <class U>
    using Other = typename std::allocator_traits<Else>::template rebind_alloc<U>;

    PlacedMemory* place_;
    [[no_unique_address]] Else other_;
};

}  // namespace weir::detail
