#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <utility>
#include <weir/detail/hand_over.hpp>
#include <weir/detail/slot.hpp>
#include <weir/detail/task.hpp>
#include <weir/detail/tenant.hpp>
#include <weir/detail/waiter.hpp>

namespace weir::detail {

/// Where a plain `close` hook runs.
enum class Where { here, on_worker };

/// What a decision made under the core's mutex asks to be done once the mutex is free: everything that may call user
/// code. Chains of nodes, so that deciding never allocates.
struct Orders {
    std::shared_ptr<void> keep{};    // the core, where whoever carries them out does not keep it
    WaiterChain deliver{};           // have been claimed, or summoned to try once more
    Chain connect{};                 // have been reserved: open them
    Chain prepare{};                 // their chores are to be done
    Chain close{};                   // counted as closing, with their cause: close them
    std::shared_ptr<Task> cancel{};  // operations to cancel
    std::shared_ptr<Task> ended{};   // one that is over: to be forgotten without the mutex
    std::exception_ptr forgotten{};  // likewise
    std::chrono::steady_clock::time_point alarm = std::chrono::steady_clock::time_point::max();  // to be set
    bool sweep = false;  // a round of maintenance is due
    bool ends = false;   // the last close waits for these deliveries

    // Of a core that is one of many.
    TenantChain called{};     // others, whose turn it is
    bool makes_room = false;  // somebody stands in line for the total
    bool tries = false;       // somebody would have a place, and does not stand in line
    bool in_vain = false;     // an answer: nothing was idle that could have been closed for him
    bool vanishes = false;    // nothing is open, and nobody waits: the key is to be forgotten
    bool is_over = false;     // nothing of it is left

    bool concerns_others() const noexcept { return !called.empty() || makes_room || tries || vanishes || is_over; }

    /// Whether somebody is to be delivered to at most, and nothing else. Until he is, he keeps the core alive.
    bool only_deliver() const noexcept {
        return connect.empty() && prepare.empty() && close.empty() && !cancel && !ended &&
               alarm == std::chrono::steady_clock::time_point::max() && !sweep && !ends && !concerns_others();
    }

    /// Nothing at all. Then the core may be gone.
    bool empty() const noexcept { return deliver.empty() && only_deliver(); }

    /// Has somebody delivered to, unless that is under way.
    void summon(Waiter& waiter) noexcept {
        if (waiter.begin_deliver()) deliver.push(waiter);
    }

    void push_cancel(std::shared_ptr<Task> const& task) noexcept {
        if (!task || std::exchange(task->asked_to_stop, true)) return;
        task->hand_over = HandOver{task->context};
        task->next = std::move(cancel);
        cancel = task;
    }
};

}  // namespace weir::detail
