#pragma once
// How old a resource may grow, when its health is checked, and how long it may be held.

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <weir/policy/slots.hpp>

namespace weir {

/// What an upkeep policy answers: asked once, when the pool is made. Of each, 0 means never.
struct UpkeepRules {
    std::chrono::steady_clock::duration max_age{};
    double age_jitter = 0;
    std::uint64_t max_uses = 0;
    std::chrono::steady_clock::duration check_after_idle{};
    std::chrono::steady_clock::duration check_every{};
    std::chrono::steady_clock::duration overdue_after{};
};

/// Resources are neither aged nor checked: they live as long as the idle policy keeps them.
struct NoUpkeep {
    using policy_slot = slot::Upkeep;

    constexpr UpkeepRules rules() const noexcept { return {}; }
};

/// Retires what is old or worn, checks what has been idle, and reports what is held for too long. Of each, 0 means
/// never.
///
/// Times are read off a word that the pool's maintenance advances sixteen times in the shortest of them (twice a second
/// at least), so what is due is noticed that much later; a check is made that much sooner instead.
///
/// Throws `std::invalid_argument` on construction of the pool when a time is negative, `age_jitter` is not in [0, 1],
/// or a check is asked for and the connector has none.
struct Upkeep {
    using policy_slot = slot::Upkeep;

    /// A resource that was opened this long ago is closed: at its return, before it is lent, or while it is idle.
    /// Where that leaves fewer than `low` another is opened.
    std::chrono::steady_clock::duration max_age{};
    /// By how much of itself `max_age` is shortened at most, at random and once for each resource, so that those
    /// opened together do not all go at once.
    double age_jitter = 0.1;
    /// A resource that has been lent so often is closed at its return.
    std::uint64_t max_uses = 0;
    /// A resource that has been idle for so long is checked before it is lent.
    std::chrono::steady_clock::duration check_after_idle{};
    /// A resource that has been idle for so long since it was used or checked is checked in the background.
    std::chrono::steady_clock::duration check_every{};
    /// A resource that is held for longer is reported to the observer, once, and once more when it comes back. It is
    /// never taken away from its holder.
    std::chrono::steady_clock::duration overdue_after{};

    constexpr UpkeepRules rules() const noexcept {
        return {max_age, age_jitter, max_uses, check_after_idle, check_every, overdue_after};
    }

    constexpr void validate() const {
        if (max_age < max_age.zero()) throw std::invalid_argument{"weir: Upkeep::max_age must not be negative"};
        if (!(age_jitter >= 0 && age_jitter <= 1))
            throw std::invalid_argument{"weir: Upkeep::age_jitter must be from 0 to 1"};
        if (check_after_idle < check_after_idle.zero())
            throw std::invalid_argument{"weir: Upkeep::check_after_idle must not be negative"};
        if (check_every < check_every.zero())
            throw std::invalid_argument{"weir: Upkeep::check_every must not be negative"};
        if (overdue_after < overdue_after.zero())
            throw std::invalid_argument{"weir: Upkeep::overdue_after must not be negative"};
    }
};

}  // namespace weir
