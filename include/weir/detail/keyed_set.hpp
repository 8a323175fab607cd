#pragma once

#include <chrono>
#include <ctime>
#include <type_traits>
#include <weir/detail/policy_set.hpp>
#include <weir/detail/recent_time.hpp>
#include <weir/detail/store.hpp>

namespace weir::detail {

/// The steady clock, asked at every return, as what is least recently used among all keys has to be known, to a microsecond
/// between threads and exactly on each; at an acquire roughly.
struct ExactClock {
    using policy_slot = slot::Clock;

    static constexpr bool is_cheap = true;
    static std::chrono::steady_clock::time_point now() noexcept { return RecentTime::look().in_order(); }

    /// The same, some milliseconds late: in a third of the time.
    static std::chrono::steady_clock::time_point roughly_now() noexcept {
#if defined(CLOCK_MONOTONIC_COARSE)
        std::timespec time{};
        ::clock_gettime(CLOCK_MONOTONIC_COARSE, &time);  // of the clock that the standard library reads on Linux
        return std::chrono::steady_clock::time_point{std::chrono::seconds{time.tv_sec} +
                                                     std::chrono::nanoseconds{time.tv_nsec}};
#else
        return now();
#endif
    }
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
