#pragma once
// Which returned resources are kept idle, and how long.

#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <weir/policy/slots.hpp>

namespace weir {

/// What an idle policy is shown when a resource comes back and nobody waits for it.
struct IdleFacts {
    std::size_t live = 0;  ///< open and not being closed, the returned one counted
    std::size_t idle = 0;  ///< parked, the returned one not counted
    std::size_t low = 0;
    std::size_t high = 0;
};

/// Why a returned resource is not kept.
enum class Keep {
    yes,
    no_idle,    ///< closed as idle
    no_excess,  ///< closed as one too many
};

/// Keeps idle resources above `low` for a time after their last return, as Finagle's caching pool.
///
/// Expired ones are closed by a sweep at `ttl`, at the latest `min(ttl / 8, 1 s)` later. With `ttl` 0 every return
/// above `low` closes; with a negative one the pool's constructor throws `std::invalid_argument`.
struct IdleCache {
    using policy_slot = slot::Idle;

    std::chrono::steady_clock::duration ttl = std::chrono::minutes{5};
    /// How many may lie idle above `low`; one more is closed at its return. None: as many as are open.
    std::optional<std::size_t> max_idle = std::nullopt;

    constexpr Keep keep(IdleFacts const& facts) const noexcept {
        if (facts.live <= facts.low) return Keep::yes;
        if (max_idle && facts.idle >= *max_idle) return Keep::no_excess;
        return ttl > ttl.zero() ? Keep::yes : Keep::no_idle;
    }
    constexpr bool keeps_all() const noexcept { return !max_idle && ttl > ttl.zero(); }
    constexpr std::chrono::steady_clock::duration expires_after() const noexcept { return ttl; }

    constexpr void validate() const {
        if (ttl < ttl.zero()) throw std::invalid_argument{"weir: IdleCache::ttl must not be negative"};
    }
};

/// Keeps every returned resource until the pool closes.
struct KeepIdle {
    using policy_slot = slot::Idle;

    constexpr Keep keep(IdleFacts const&) const noexcept { return Keep::yes; }
    constexpr bool keeps_all() const noexcept { return true; }
    constexpr std::chrono::steady_clock::duration expires_after() const noexcept {
        return std::chrono::steady_clock::duration::max();
    }
};

/// Keeps `low` resources and closes the others as they come back, unless somebody waits for them.
struct DropIdle {
    using policy_slot = slot::Idle;

    constexpr Keep keep(IdleFacts const& facts) const noexcept {
        return facts.live <= facts.low ? Keep::yes : Keep::no_idle;
    }
    constexpr bool keeps_all() const noexcept { return false; }
    constexpr std::chrono::steady_clock::duration expires_after() const noexcept {
        return std::chrono::steady_clock::duration::max();
    }
};

}  // namespace weir
