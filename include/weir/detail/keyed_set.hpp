#pragma once

#include <chrono>
#include <type_traits>
#include <weir/detail/policy_set.hpp>
#include <weir/detail/store.hpp>

namespace weir::detail {

/// The steady clock, read at every acquire and return: what is least recently used among all keys has to be known
/// exactly, and finding a key's pool costs as much anyway.
struct ExactClock {
    using policy_slot = slot::Clock;

    static constexpr bool is_cheap = true;
    static std::chrono::steady_clock::time_point now() noexcept { return std::chrono::steady_clock::now(); }
};

/// The policies of a pool whose cores share a total, one for each key. Where none is named, those that suit many small
/// cores.
template <class K, class... Policies>
struct KeyedSet : PolicySet<Policies...> {
    using Base = PolicySet<Policies...>;

    template <class Slot>
    static constexpr bool names = (takes_slot<Slot, Policies>() || ...);

    using Key = K;
    using Store = std::conditional_t<names<slot::Store>, typename Base::Store, CloseStack>;
    using Clock = std::conditional_t<names<slot::Clock>, typename Base::Clock, ExactClock>;

    static constexpr bool is_keyed = true;
    static constexpr bool rests = Clock::is_cheap && !Base::has_upkeep;
};

}  // namespace weir::detail
