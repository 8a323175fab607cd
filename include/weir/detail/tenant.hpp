#pragma once
// One key's core, as the others of its pool know it.

#include <boost/intrusive/list_hook.hpp>
#include <boost/intrusive/set_hook.hpp>
#include <chrono>
#include <memory>
#include <utility>
#include <weir/detail/slot.hpp>

namespace weir::detail {

struct Orders;
enum class Where;

/// What others ask of it. None of these holds a mutex when it returns.
class KeyCore {
public:
    /// A place under the total is its own.
    virtual void permitted(Orders& orders) noexcept = 0;

    /// It has been taken out of the `ColdList`: closes the coldest it has idle, if that was not parked after `limit`.
    /// True when it does.
    virtual bool yield(std::chrono::steady_clock::rep limit, bool extra, Orders& orders) noexcept = 0;

    /// Carries out what the two above have asked for.
    virtual void see_to(Orders& orders, Where where) noexcept = 0;

protected:
    ~KeyCore() = default;
};

struct Tenant {
    std::weak_ptr<KeyCore> core{};
    void const* key = nullptr;  // as long as the core lives

    // Guarded by the quota's mutex.
    boost::intrusive::list_member_hook<> in_line{};
    bool starving = false;  // in which line it stands
    bool granted = false;   // a place is its own, and it has yet to take it
    bool called = false;    // somebody is on his way to say so

    // Of who is on his way.
    Tenant* next = nullptr;
    std::shared_ptr<KeyCore> keep{};

    // Guarded by the cold list's mutex.
    boost::intrusive::set_member_hook<boost::intrusive::optimize_size<true>> by_stamp{};
    std::chrono::steady_clock::rep stamp = never;
};

/// Tenants to be called, in any order.
class TenantChain {
public:
    bool empty() const noexcept { return first_ == nullptr; }

    void push(Tenant& tenant) noexcept { tenant.next = std::exchange(first_, &tenant); }

    Tenant* pop() noexcept {
        Tenant* const tenant = first_;
        if (tenant) first_ = tenant->next;
        return tenant;
    }

private:
    Tenant* first_ = nullptr;
};

}  // namespace weir::detail
