#pragma once
// What the faces of a core tell those who ask.

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>
#include <chrono>
#include <tuple>
#include <type_traits>
#include <utility>
#include <weir/detail/failure.hpp>
#include <weir/detail/waiter.hpp>
#include <weir/lease.hpp>
#include <weir/policy/settings.hpp>

namespace weir::detail {

/// What is wished for by one who asks for that setting, which lives at least as long.
template <class Settings, class Setting>
Wish wish_for(Setting const& setting) {
    if constexpr (std::is_same_v<Setting, NoSetting>)
        return {};
    else
        return {&setting, Settings::bucket_of(setting)};
}

/// As `try_acquire` answers.
template <class Conn>
boost::system::result<Lease<Conn>> answer(Lease<Conn> lease, Failure const& failure) {
    if (lease) return lease;
    if (failure.is_foreign) failure.raise();
    return failure.code;
}

/// Of a handler that acquires.
template <class Core>
struct LeaseResult {
    using Result = std::tuple<boost::system::error_code, Lease<typename Core::value_type>>;

    static Result of(Core& core, Waiter& waiter) noexcept {
        Failure failure;
        auto lease = core.outcome(waiter, failure);
        if (lease) return {boost::system::error_code{}, std::move(lease)};
        return {failure.code, std::move(lease)};
    }
};

/// Of one that waits for the end of a close.
template <class Core>
struct EndResult {
    static std::tuple<boost::system::error_code> of(Core& core, Waiter const& waiter) noexcept {
        // Who posted this may not be out of the executor yet, which the handler is free to destroy.
        if (!waiter.failure) core.await_end(std::chrono::steady_clock::time_point::max());
        return {waiter.failure.code};
    }
};

}  // namespace weir::detail
