#pragma once

#include <cstdint>
#include <exception>
#include <stdexcept>
#include <utility>
#include <weir/detail/slot.hpp>

namespace weir {

namespace detail {
struct LeaseMaker;
}

/// Exclusive use of one resource, given back by its destructor.
///
/// One pointer; move-only, like `std::unique_ptr`, and like it empty when default-made or moved from. Knows the
/// resource's type only, so functions that take a lease need not name the pool's policies. It may outlive the pool:
/// its resource is then closed when it is given back.
///
/// Distinct objects: safe. Shared objects: unsafe. It may be given back on any thread.
template <class Conn>
class [[nodiscard]] Lease {
public:
    Lease() = default;
    Lease(Lease&& other) noexcept : slot_{std::exchange(other.slot_, nullptr)} {}

    /// The resource it held is dropped. Moving a lease into itself changes nothing.
    Lease& operator=(Lease&& other) noexcept {
        if (this != &other) Lease const dropped{std::exchange(slot_, std::exchange(other.slot_, nullptr))};
        return *this;
    }

    /// Drops the resource: given back, or closed if the pool's Drop policy says so. Never throws, never blocks on a
    /// waiter; takes no lock when nobody waits.
    ~Lease() {
        if (slot_) slot_->home->drop(*slot_);
    }

    Conn& operator*() const {
        WEIR_ASSERT(slot_ && "an empty lease has no resource");
        return *slot_->conn();
    }
    Conn* operator->() const {
        WEIR_ASSERT(slot_ && "an empty lease has no resource");
        return slot_->conn();
    }
    Conn* get() const noexcept { return slot_ ? slot_->conn() : nullptr; }
    explicit operator bool() const noexcept { return slot_ != nullptr; }

    /// Gives the resource back now: it is clean. Nothing happens when empty.
    void release() noexcept {
        if (auto* const slot = std::exchange(slot_, nullptr)) slot->home->release(*slot);
    }

    /// Has the resource closed: it is broken, or in an unknown state. Nothing happens when empty. Who waits gets a new
    /// one, opened in the background.
    void discard() noexcept {
        if (auto* const slot = std::exchange(slot_, nullptr)) slot->home->discard(*slot);
    }

    /// Takes the resource out of the pool for good: its place is free at once, its `close` hook is not called, and a
    /// close of the pool does not wait for it. Throws what moving the resource throws, and `std::logic_error` when it is
    /// a share of what others use; then nothing has changed.
    Conn detach() {
        WEIR_ASSERT(slot_ && "an empty lease has no resource");
        if (!slot_->home->may_detach()) throw std::logic_error{"weir: Lease::detach: a shared resource stays"};
        struct Detached {
            Lease& lease;
            int uncaught = std::uncaught_exceptions();
            ~Detached() {
                if (std::uncaught_exceptions() > uncaught) return;
                auto* const slot = std::exchange(lease.slot_, nullptr);
                slot->home->detached(*slot);
            }
        } const done{*this};
        return Conn(std::move(*slot_->conn()));
    }

    /// Of the resource: never used twice in one pool. 0 when empty.
    std::uint64_t id() const noexcept { return slot_ ? slot_->id : 0; }

private:
    friend struct detail::LeaseMaker;

    explicit Lease(detail::Slot<Conn>* slot) noexcept : slot_{slot} {}

    detail::Slot<Conn>* slot_ = nullptr;
};

namespace detail {

struct LeaseMaker {
    template <class Conn>
    static Lease<Conn> make(Slot<Conn>& slot) noexcept {
        return Lease<Conn>{&slot};
    }

    /// What the lease held, which it does no more.
    template <class Conn>
    static Slot<Conn>& take(Lease<Conn>& lease) noexcept {
        return *std::exchange(lease.slot_, nullptr);
    }
};

}  // namespace detail
}  // namespace weir
