#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace weir::detail {

/// Memory for one object, of a size that is known only to the executor that asks for it.
///
/// Not for two threads at once.
class OneObject {
public:
    void* allocate(std::size_t size) noexcept {
        return size <= sizeof space_ && !std::exchange(used_, true) ? space_ : nullptr;
    }

    bool deallocate(void const* object) noexcept {
        if (object != space_) return false;
        used_ = false;
        return true;
    }

private:
    // An `io_context` asks for 48 bytes, a strand of one for 96.
    alignas(std::max_align_t) std::byte space_[96];
    bool used_ = false;
};

/// Memory of `place`, and where that does not do, of another allocator.
template <class T, class Else>
class PlacedAllocator {
public:
    using value_type = T;
    template <class U>
    struct rebind {
        using other = PlacedAllocator<U, Else>;
    };

    PlacedAllocator(OneObject& place, Else const& other) noexcept : place_{&place}, other_{other} {}
    template <class U>
    PlacedAllocator(PlacedAllocator<U, Else> const& from) noexcept : place_{from.place_}, other_{from.other_} {}

    T* allocate(std::size_t count) {
        if constexpr (alignof(T) <= alignof(std::max_align_t))
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

    OneObject* place_;
    [[no_unique_address]] Else other_;
};

}  // namespace weir::detail
