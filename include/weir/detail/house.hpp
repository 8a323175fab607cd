#pragma once
// What the cores of all keys share.

#include <boost/asio/execution_context.hpp>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <weir/detail/cold_list.hpp>
#include <weir/detail/inside.hpp>
#include <weir/detail/orders.hpp>
#include <weir/detail/quota.hpp>
#include <weir/lifetime.hpp>

namespace weir::detail {

/// Carries out what a core asks of the others: calls those whose turn it is, and has room made for those in line.
///
/// Each takes its own mutex, and may itself ask for more. So one thread does it all in one loop, at the outermost of
/// its calls in here, and nothing recurses; but from inside user code, which may wait for it, an inner one goes on.
///
/// A template so that it costs nothing to include.
template <class Core = KeyCore>
class House {
public:
    explicit House(std::size_t total) noexcept : quota{total} {}
    virtual ~House() = default;

    Quota<> quota;
    ColdList<> cold;

    void run(Orders& orders, Where where, Core* of) noexcept {
        Errands mine{*this, innermost, nullptr};
        Errands* at = innermost;
        while (at && &at->house != this) at = at->outer;
        bool const nested = at && at->within == Inside::here();
        if (!at) at = innermost = &mine;
        while (Tenant* const tenant = orders.called.pop()) at->called.push(*tenant);
        at->makes_room = std::exchange(orders.makes_room, false) || at->makes_room;
        bool const tries = std::exchange(orders.tries, false);
        at->tries = tries || at->tries;
        if (std::exchange(orders.vanishes, false)) vanished(*of);
        if (std::exchange(orders.is_over, false)) over(*of);
        orders.in_vain = tries && nested;
        if (nested) return;
        Inside const* const within = std::exchange(at->within, Inside::here());
        at->in_vain = false;
        work_off(*at, where);
        orders.in_vain = tries && at->in_vain;
        at->within = within;
        if (at == &mine) innermost = mine.outer;
    }

    /// Of the pool: the token, and to be told when that context shuts down.
    virtual Lifetime lifetime() = 0;
    virtual void watch(boost::asio::execution_context& context) = 0;
    /// It does.
    virtual void context_gone(boost::asio::execution_context& context) noexcept = 0;

protected:
    /// Nothing is open, and nobody waits: its key is forgotten.
    virtual void vanished(Core&) noexcept = 0;
    /// Nothing is left of it.
    virtual void over(Core&) noexcept = 0;

private:
    /// Of one thread.
    struct Errands {
        House& house;
        Errands* outer;
        Inside const* within;
        TenantChain called{};
        bool makes_room = false;
        bool tries = false;
        bool in_vain = false;  // for who tries there was nothing
    };
    static inline thread_local Errands* innermost = nullptr;

    void work_off(Errands& errands, Where where) noexcept {
        for (;;) {
            Orders orders;
            if (Tenant* const tenant = errands.called.pop()) {
                auto const core = quota.told(*tenant);
                core->permitted(orders);
                core->see_to(orders, Where::on_worker);
            } else if (auto const core = errands.makes_room || errands.tries ? search(errands, orders) : nullptr) {
                core->see_to(orders, where);
            } else {
                return;
            }
        }
    }

    /// Looks at the key that is first in the cold list; nullptr, and no more to do, when there is none or nobody is
    /// short of a place. One at a time, so that none finds the list empty because another has a core in hand.
    std::shared_ptr<Core> search(Errands& errands, Orders& orders) noexcept {
        std::lock_guard const lock{searching_};
        if (quota.is_short(errands.tries)) {
            auto first = cold.pop();
            if (first.core) {
                if (first.core->yield(first.limit, errands.tries, orders)) errands.tries = false;
                return std::move(first.core);
            }
            errands.in_vain = errands.tries;
        }
        errands.makes_room = errands.tries = false;
        return nullptr;
    }

    std::mutex searching_;  // taken before any core's
};

}  // namespace weir::detail
