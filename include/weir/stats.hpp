#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>

namespace weir {

/// What a pool holds and has done: one consistent snapshot.
///
/// At every moment `open == connecting + idle + leased + closing`.
struct Stats {
    using duration = std::chrono::steady_clock::duration;

    // Gauges.
    std::uint64_t high = 0;        ///< the most that may be open
    std::uint64_t open = 0;        ///< all that count against `high`
    std::uint64_t connecting = 0;  ///< being opened
    std::uint64_t idle = 0;        ///< parked
    std::uint64_t leased = 0;      ///< lent, or granted to an acquire that has not taken it yet
    std::uint64_t closing = 0;     ///< being closed
    std::uint64_t waiting = 0;     ///< acquires that may not open one now; those whose own is being opened do not count

    // Counters, since the pool was made.
    std::uint64_t acquired = 0;          ///< leases given out
    std::uint64_t waited = 0;            ///< acquires that had to wait, counted when the wait begins
    std::uint64_t timed_out = 0;         ///< acquires that ended at their deadline
    std::uint64_t cancelled = 0;         ///< async acquires that were cancelled
    std::uint64_t rejected = 0;          ///< acquires refused because too many wait
    std::uint64_t shed = 0;              ///< acquires that ended because the line stood; see `Codel`
    std::uint64_t connected = 0;         ///< resources opened
    std::uint64_t connect_failed = 0;    ///< attempts that failed
    std::uint64_t settings_applied = 0;  ///< hooks `apply` run
    std::uint64_t settings_reset = 0;    ///< hooks `reset` run

    // Ends, each of exactly one cause; see `Cause`.
    std::uint64_t closed_idle = 0;
    std::uint64_t closed_age = 0;
    std::uint64_t closed_unhealthy = 0;
    std::uint64_t closed_discarded = 0;
    std::uint64_t closed_excess = 0;
    std::uint64_t closed_stale = 0;
    std::uint64_t closed_drained = 0;
    std::uint64_t detached = 0;  ///< taken out of the pool for good

    // Sums.
    duration wait_time{};     ///< of all waits that have ended, whatever their outcome
    duration connect_time{};  ///< of all successful attempts

    /// Adds all of them, `high` too.
    constexpr Stats& operator+=(Stats const& s) noexcept {
        high += s.high;
        open += s.open;
        connecting += s.connecting;
        idle += s.idle;
        leased += s.leased;
        closing += s.closing;
        waiting += s.waiting;
        acquired += s.acquired;
        waited += s.waited;
        timed_out += s.timed_out;
        cancelled += s.cancelled;
        rejected += s.rejected;
        shed += s.shed;
        connected += s.connected;
        connect_failed += s.connect_failed;
        settings_applied += s.settings_applied;
        settings_reset += s.settings_reset;
        closed_idle += s.closed_idle;
        closed_age += s.closed_age;
        closed_unhealthy += s.closed_unhealthy;
        closed_discarded += s.closed_discarded;
        closed_excess += s.closed_excess;
        closed_stale += s.closed_stale;
        closed_drained += s.closed_drained;
        detached += s.detached;
        wait_time += s.wait_time;
        connect_time += s.connect_time;
        return *this;
    }

    /// For people: three indented lines.
    template <class Char, class Traits>
    friend std::basic_ostream<Char, Traits>& operator<<(std::basic_ostream<Char, Traits>& out, Stats const& s) {
        auto const ms = [](duration time) {
            return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
        };
        return out << "  now: open " << s.open << " of " << s.high << " (connecting " << s.connecting << ", idle "
                   << s.idle << ", leased " << s.leased << ", closing " << s.closing << "), waiting " << s.waiting
                   << "\n  acquires: " << s.acquired << " served, " << s.waited << " waited (" << ms(s.wait_time)
                   << " ms in all), " << s.timed_out << " timed out, " << s.cancelled << " cancelled, " << s.rejected
                   << " rejected, " << s.shed << " shed\n  resources: " << s.connected << " opened ("
                   << ms(s.connect_time) << " ms in all), " << s.connect_failed << " failed, " << s.settings_applied
                   << " settings applied, " << s.settings_reset << " reset; closed: idle " << s.closed_idle << ", age "
                   << s.closed_age << ", unhealthy " << s.closed_unhealthy << ", discarded " << s.closed_discarded
                   << ", excess " << s.closed_excess << ", stale " << s.closed_stale << ", drained " << s.closed_drained
                   << "; detached " << s.detached << '\n';
    }
};

/// What an object pool, or one class of a buffer pool, holds and has done.
///
/// At every moment `made == dropped + detached + idle + leased`, so also in a snapshot. Each number is exact when nobody
/// uses the pool meanwhile; else `idle` and `leased` may each be off by what was under way.
struct ObjectStats {
    std::uint64_t made = 0;      ///< objects made; each acquire either makes one or reuses one
    std::uint64_t reused = 0;    ///< acquires that were served with an idle one
    std::uint64_t dropped = 0;   ///< destroyed: discarded, trimmed, over `max_idle`, or their reset threw
    std::uint64_t detached = 0;  ///< taken out of the pool for good
    std::uint64_t idle = 0;
    std::uint64_t leased = 0;

    friend bool operator==(ObjectStats const&, ObjectStats const&) = default;
};

}  // namespace weir
