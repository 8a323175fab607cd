#pragma once
// What each slot open to users asks of a policy. The smallest model of each stands in its comment.

#include <chrono>
#include <concepts>
#include <cstdint>
#include <weir/policy/idle.hpp>
#include <weir/policy/observer.hpp>
#include <weir/policy/sizing.hpp>
#include <weir/policy/upkeep.hpp>

namespace weir {

// clang-format off

/// A policy names the slot that it takes.
template <class P>
concept Policy = requires { typename P::policy_slot; };

/// How many: asked once, when the pool is made.
/// ```
/// struct Eight {
///     using policy_slot = weir::slot::Sizing;
///     constexpr weir::Limits limits() const noexcept { return {.low = 0, .high = 8}; }
/// };
/// ```
template <class P>
concept SizingPolicy = Policy<P> && std::copyable<P> && requires(P const& p) {
    { p.limits() } noexcept -> std::same_as<Limits>;
};

/// Which returned resources are kept and how long.
///
/// `keep` is a pure function of the numbers it is shown: it runs inside the pool's critical section.
/// `keeps_all` promises that `keep` always answers yes: then a return takes no lock.
/// `expires_after` is the time after the last return at which those above `low` are closed;
/// `duration::max()` means never.
/// ```
/// struct KeepFour {
///     using policy_slot = weir::slot::Idle;
///     weir::Keep keep(weir::IdleFacts const& f) const noexcept { return f.idle < 4 ? weir::Keep::yes : weir::Keep::no_excess; }
///     bool keeps_all() const noexcept { return false; }
///     std::chrono::steady_clock::duration expires_after() const noexcept { return std::chrono::minutes{1}; }
/// };
/// ```
template <class P>
concept IdlePolicy = Policy<P> && std::copyable<P> && requires(P const& p, IdleFacts const& facts) {
    { p.keep(facts) } noexcept -> std::same_as<Keep>;
    { p.keeps_all() } noexcept -> std::same_as<bool>;
    { p.expires_after() } noexcept -> std::same_as<std::chrono::steady_clock::duration>;
};

/// What is retired, checked and reported: asked once, when the pool is made.
/// ```
/// struct HourAtMost {
///     using policy_slot = weir::slot::Upkeep;
///     constexpr weir::UpkeepRules rules() const noexcept { return {.max_age = std::chrono::hours{1}}; }
/// };
/// ```
template <class P>
concept UpkeepPolicy = Policy<P> && std::copyable<P> && requires(P const& p) {
    { p.rules() } noexcept -> std::same_as<UpkeepRules>;
};

/// Who is told; see `Silent` for what each function means. All nine must be there, and `noexcept`.
template <class P, class ErrorCode>
concept ObserverPolicy = Policy<P> && std::move_constructible<P> &&
    requires(P& p, std::chrono::steady_clock::duration d, ErrorCode const& ec, Cause cause, std::uint64_t id) {
    { p.connected(d) } noexcept;
    { p.connect_failed(ec) } noexcept;
    { p.acquired(d) } noexcept;
    { p.released(d) } noexcept;
    { p.closed(cause) } noexcept;
    { p.timed_out() } noexcept;
    { p.rejected() } noexcept;
    { p.overdue(id, d) } noexcept;
    { p.returned_overdue(id, d) } noexcept;
};

// clang-format on

}  // namespace weir
