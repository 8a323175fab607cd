#pragma once
// Who is told what a pool does.

#include <chrono>
#include <cstdint>
#include <weir/policy/slots.hpp>

namespace weir {

/// Why a resource was closed.
enum class Cause : std::uint8_t {
    idle,       ///< nobody wanted it for too long
    age,        ///< too old, or used too often
    unhealthy,  ///< a hook failed or said no
    discarded,  ///< its holder gave it up
    excess,     ///< more were open, or idle, than the limits allow
    stale,      ///< of an older generation
    drained,    ///< the pool was closing
};

/// Tells nobody, and costs nothing.
///
/// An observer of your own defines all nine functions, `noexcept`, and names `weir::slot::Observer` as its
/// `policy_slot`. They are called from any thread, several at once, with no lock held: they may call the pool, and
/// what they touch they guard. Durations are the steady clock's.
///
/// - `connected`: how long opening took. `connect_failed`: the error of an attempt.
/// - `acquired`: a resource was lent, after how long a wait (0 when it was idle). `released`: how long it was held.
/// - `closed`: a resource is gone, and why.
/// - `timed_out`, `rejected`: an acquire ended so; one that was shed was rejected, too.
/// - `overdue`, `returned_overdue`: the id of a resource and how long it has been held.
struct Silent {
    using policy_slot = slot::Observer;
    using duration = std::chrono::steady_clock::duration;

    void connected(duration) noexcept {}
    void connect_failed(auto const& /*error_code*/) noexcept {}
    void acquired(duration /*waited*/) noexcept {}
    void released(duration /*held*/) noexcept {}
    void closed(Cause) noexcept {}
    void timed_out() noexcept {}
    void rejected() noexcept {}
    void overdue(std::uint64_t /*id*/, duration /*held*/) noexcept {}
    void returned_overdue(std::uint64_t /*id*/, duration /*held*/) noexcept {}
};

}  // namespace weir
