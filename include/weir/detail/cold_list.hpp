#pragma once

#include <boost/intrusive/set.hpp>
#include <chrono>
#include <limits>
#include <memory>
#include <mutex>
#include <weir/detail/tenant.hpp>

namespace weir::detail {

/// Keys in the order in which their coldest idle resource came back, as far as is known.
///
/// What a tenant is listed with is a lower bound: a resource that is lent and comes back is parked without a word to
/// this list. Who takes the first out looks at it, and lists it again with what it has found; that was not in vain more
/// often than something was lent, so the cost is O(log n) for each that is closed and each that was lent meanwhile.
///
/// A template so that it costs nothing to include.
template <class Mutex = std::mutex>
class ColdList {
public:
    using rep = std::chrono::steady_clock::rep;

    void insert(Tenant& tenant, rep stamp) noexcept {
        std::lock_guard const lock{mutex_};
        tenant.stamp = stamp;
        tenants_.insert(tenant);
    }

    void erase(Tenant& tenant) noexcept {
        std::lock_guard const lock{mutex_};
        if (tenant.by_stamp.is_linked()) tenants_.erase(tenants_.iterator_to(tenant));
    }

    struct First {
        std::shared_ptr<KeyCore> core{};
        rep limit = std::numeric_limits<rep>::max();  // nobody else has one that was parked before this
    };

    /// Takes out the first. No core: there is none.
    First pop() noexcept {
        std::lock_guard const lock{mutex_};
        First first;
        while (!first.core && !tenants_.empty()) {
            first.core = tenants_.begin()->core.lock();
            tenants_.erase(tenants_.begin());
        }
        if (!tenants_.empty()) first.limit = tenants_.begin()->stamp;
        return first;
    }

private:
    struct Colder {
        bool operator()(Tenant const& a, Tenant const& b) const noexcept { return a.stamp < b.stamp; }
    };

    Mutex mutex_;  // protects all below, and what the tenants say
    boost::intrusive::multiset<
        Tenant,
        boost::intrusive::member_hook<Tenant, boost::intrusive::set_member_hook<boost::intrusive::optimize_size<true>>,
                                      &Tenant::by_stamp>,
        boost::intrusive::compare<Colder>>
        tenants_;
};

}  // namespace weir::detail
