#pragma once

#include <weir/detail/slot.hpp>

namespace weir::detail {

/// Where leases give back whose resources are to be recycled: apart from the core, so that nobody else is asked.
template <class Conn, class Core>
class Recycler final : public Home<Conn> {
public:
    explicit Recycler(Core& core) noexcept : core_{core} {}

    void drop(Slot<Conn>& slot) noexcept override { core_.discards(slot) ? discard(slot) : release(slot); }
    void release(Slot<Conn>& slot) noexcept override {
        core_.end_lease(slot);
        core_.recycle(slot);
    }
    void discard(Slot<Conn>& slot) noexcept override { core_.discard(slot); }
    bool may_detach() const noexcept override { return core_.may_detach(); }
    void detached(Slot<Conn>& slot) noexcept override { core_.detached(slot); }

private:
    Core& core_;
};

}  // namespace weir::detail
