#pragma once

#include <cstddef>
#include <optional>
#include <weir/policy/observer.hpp>
#include <weir/policy/sizing.hpp>
#include <weir/stats.hpp>

namespace weir::detail {

/// The pool's accounts: how many slots are in which state, and what may therefore be done. Numbers only; the core
/// keeps it under its mutex, so a decision and the booking that follows from it are one step.
///
/// Idle and leased ones are not told apart here: a fast acquire or return books nothing.
class Ledger {
public:
    Ledger(Limits limits, std::optional<std::size_t> max_concurrent) noexcept
        : limits_{limits}, max_concurrent_{max_concurrent} {}

    /// How many are kept for ever: never more than may be open.
    std::size_t low() const noexcept { return limits_.low < limits_.high ? limits_.low : limits_.high; }
    std::size_t high() const noexcept { return limits_.high; }
    bool eager() const noexcept { return limits_.eager; }
    std::optional<std::size_t> max_waiters() const noexcept { return limits_.max_waiters; }
    std::optional<std::size_t> max_concurrent() const noexcept { return max_concurrent_; }
    void set_high(std::size_t high) noexcept { limits_.high = high; }
    std::size_t open() const noexcept { return open_; }
    std::size_t connecting() const noexcept { return connecting_; }
    std::size_t closing() const noexcept { return closing_; }

    /// Open and not on the way out.
    std::size_t live() const noexcept { return open_ - closing_ - draining_; }

    /// How many are one too many, those on the way out not counted.
    std::size_t surplus() const noexcept { return live() > limits_.high ? live() - limits_.high : 0; }

    /// Whether the limits allow one more to be opened.
    bool has_room() const noexcept {
        return open_ - draining_ < limits_.high && (!max_concurrent_ || connecting_ < *max_concurrent_);
    }

    /// Whether one more may wait behind `waiting` others.
    bool may_wait(std::size_t waiting) const noexcept { return !limits_.max_waiters || waiting < *limits_.max_waiters; }

    void reserve() noexcept {
        ++open_;
        ++connecting_;
    }

    void connected(Stats::duration took) noexcept {
        --connecting_;
        ++counts.connected;
        counts.connect_time += took;
    }

    /// A connect has yielded nothing, and its slot is free.
    void vacate_connecting() noexcept {
        --connecting_;
        --open_;
    }

    void begin_close() noexcept { ++closing_; }

    /// One in several hands is to go when the last of them is done with it. Meanwhile another may be open in its place.
    void begin_drain() noexcept { ++draining_; }
    void end_drain() noexcept {
        --draining_;
        ++closing_;
    }

    void closed(Cause cause) noexcept {
        --closing_;
        --open_;
        switch (cause) {
            case Cause::idle: ++counts.closed_idle; break;
            case Cause::age: ++counts.closed_age; break;
            case Cause::unhealthy: ++counts.closed_unhealthy; break;
            case Cause::discarded: ++counts.closed_discarded; break;
            case Cause::excess: ++counts.closed_excess; break;
            case Cause::stale: ++counts.closed_stale; break;
            case Cause::drained: ++counts.closed_drained; break;
        }
    }

    void detached() noexcept {
        --open_;
        ++counts.detached;
    }

    /// The gauges that are kept elsewhere are the caller's. Idle ones are counted part by part, so one that was taken
    /// here and parked there meanwhile may be counted twice.
    Stats snapshot(std::size_t idle, std::size_t waiting, std::uint64_t acquired) const noexcept {
        Stats stats = counts;
        stats.high = limits_.high;
        stats.open = open_;
        stats.connecting = connecting_;
        stats.closing = closing_;
        std::size_t const there = open_ - connecting_ - closing_;
        stats.idle = idle < there ? idle : there;
        stats.leased = there - stats.idle;
        stats.waiting = waiting;
        stats.acquired = acquired;
        return stats;
    }

    Stats counts;  // the counters; its gauges are unused

private:
    Limits limits_;
    std::optional<std::size_t> const max_concurrent_;
    std::size_t open_ = 0;
    std::size_t connecting_ = 0;
    std::size_t closing_ = 0;
    std::size_t draining_ = 0;
};

}  // namespace weir::detail
