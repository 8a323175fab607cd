#pragma once
// How long an acquire waits, and in which order waiters are served.

#include <chrono>
#include <stdexcept>
#include <weir/policy/slots.hpp>

namespace weir {

/// First come, first served, for sync and async acquires alike.
struct Fifo {
    using policy_slot = slot::Waiting;

    /// How long an acquire without a time of its own may take in all: waiting, opening, checking.
    std::chrono::steady_clock::duration timeout = std::chrono::seconds{30};

    /// How long newcomers may take what is idle although somebody waits in front of them.
    ///
    /// With 0, the default, a returned resource is always given to the longest waiter: strictly fair, at the price of
    /// a thread switch per lease when resources are scarce. With more, a return parks the resource and wakes the
    /// front waiter, and whoever comes first has it, until the front waiter has waited this long; from then on it is
    /// handed over. Nobody waits longer than his patience and a turn.
    std::chrono::steady_clock::duration patience = std::chrono::steady_clock::duration::zero();

    constexpr void validate() const {
        if (timeout < timeout.zero()) throw std::invalid_argument{"weir: Fifo::timeout must not be negative"};
        if (patience < patience.zero()) throw std::invalid_argument{"weir: Fifo::patience must not be negative"};
    }
};

}  // namespace weir
