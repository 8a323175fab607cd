#pragma once

// Keeps account of every resource of one pool, apart from the pool: who holds it, what was done to it, how often it was
// closed. Whatever the pool does is checked against that at once, and its counters at the end.
//
// Thread-safe. What belongs to one resource is guarded by nothing but the pool's promise that it has one owner at a
// time, and the owner's word is relaxed: a hand-over that the pool does not order is a race that ThreadSanitizer sees.

#include "asio_stress.hpp"

#include <weir/testing/manual_clock.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <utility>

namespace oracle {

using asio_stress::check;
using asio_stress::Clock;
using weir::testing::ManualClock;
using duration = Clock::duration;

/// What a pool has promised by its options. Of the times 0 means: not checked. They are of the manual clock.
struct Rules {
    std::size_t high = 16;
    std::optional<std::size_t> max_waiters{};
    std::optional<std::size_t> max_concurrent{};
    std::uint64_t max_uses = 0;
    duration ttl{};  // only where `low` is 0
    duration max_age{};
    duration check_after_idle{};
    bool overruns = false;  // connects and hooks may take longer than they are given
    bool drops_discard = false;
};

/// Who has a resource just now. A second one is a broken promise.
enum class Owner { pool, holder, hook };

/// What is known about one resource. All but the atomics belongs to its owner.
struct Record {
    std::atomic<Owner> owner{Owner::pool};
    std::atomic<bool> closed{false};
    std::atomic<bool> detached{false};
    std::atomic<bool> destroyed{false};
    std::uint64_t refreshes_at_birth = 0;  // that had begun when its connect began
    std::uint64_t id = 0;                  // that its leases have shown
    std::uint64_t leases = 0;
    int setting = 0;
    bool spoiled = false;                                 // discarded, or a hook has failed: never to be lent again
    std::optional<ManualClock::time_point> seen{};        // when it was there for certain
    std::optional<ManualClock::time_point> idle_since{};  // when it came back, and no hook has touched it since

    void pass(Owner from, Owner to) {
        check(owner.exchange(to, std::memory_order_relaxed) == from, "one owner at a time", static_cast<int>(to));
    }
    void grow_older() {
        if (!seen) seen = ManualClock::now();
    }
};

/// What one acquire may expect. Noted before it begins.
struct Expectation {
    int setting = 0;  // any, if less
    bool patient = false;
    std::uint64_t refreshes = 0;
    bool after_close = false;
    ManualClock::time_point now{};
};

/// How often acquires ended how.
struct Answers {
    std::atomic<std::uint64_t> granted{0}, timed_out{0}, cancelled{0}, rejected{0}, shed{0};
};

class Oracle;

/// The resource: a handle that tells its oracle of its end. Move-only; empty when moved from.
class Conn {
public:
    Conn(Oracle& oracle, Record& record) : oracle_{&oracle}, record_{&record} {}
    Conn(Conn&& other) noexcept : oracle_{other.oracle_}, record_{std::exchange(other.record_, nullptr)} {}
    Conn& operator=(Conn&&) = delete;
    inline ~Conn();

    Record& record() const {
        check(record_ != nullptr, "what is lent is not moved from");
        return *record_;
    }

private:
    Oracle* oracle_;
    Record* record_;
};

class Oracle {
public:
    Oracle(Rules rules, std::uint64_t seed, unsigned severity)
        : rules_{rules}, bound_{rules.high}, state_{seed}, severity_{severity} {}

    Answers answers;
    std::atomic<std::uint64_t> applied{0}, resets{0};

    // ---- Chance: for whoever is called by the pool. ----------------------------------------------------------------

    std::uint64_t below(std::uint64_t bound) {
        std::uint64_t z = state_.fetch_add(0x9E3779B97F4A7C15, std::memory_order_relaxed);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return (z ^ (z >> 31)) % bound;
    }
    bool unlucky(std::uint64_t one_in) { return severity_ > 0 && below(one_in) < severity_; }
    bool overruns() { return rules_.overruns && unlucky(40); }
    /// Nothing fails from now on, and nothing is slow.
    void calm() { severity_ = 0; }

    // ---- Opening ---------------------------------------------------------------------------------------------------

    void connect_begins() {
        std::lock_guard const lock{mutex_};
        ++open_;
        ++connecting_;
        check(open_ <= bound_, "no more are open than may be", static_cast<long long>(open_ * 100 + bound_));
        check(!rules_.max_concurrent || connecting_ <= *rules_.max_concurrent, "no more connects than may be",
              static_cast<long long>(connecting_));
    }
    void connect_fails() {
        std::lock_guard const lock{mutex_};
        --open_;
        --connecting_;
        ++failed_;
    }
    Conn connect_succeeds(std::uint64_t refreshes_at_birth) {
        std::lock_guard const lock{mutex_};
        --connecting_;
        records_.emplace_back().refreshes_at_birth = refreshes_at_birth;
        return Conn{*this, records_.back()};
    }
    std::uint64_t refreshes_begun() const { return refreshes_begun_; }

    // ---- The end of a resource -------------------------------------------------------------------------------------

    void close(Record& record) {
        check(!record.closed.exchange(true), "a resource is closed once");
        check(!record.detached, "what was detached is its new owner's to close");
        std::lock_guard const lock{mutex_};
        ++closed_;
    }
    void destroyed(Record& record) {
        check(!record.destroyed.exchange(true), "a resource is destroyed once");
        check(record.closed != record.detached, "a resource is closed before it is destroyed, unless it was detached");
        check(record.owner == Owner::pool, "nobody uses what is destroyed");
        if (record.detached) return;
        std::lock_guard const lock{mutex_};
        --open_;
    }

    // ---- Holding ---------------------------------------------------------------------------------------------------

    Expectation expect(int setting, bool patient = false) const {
        return {setting, patient, refreshes_done_, close_returned_, ManualClock::now()};
    }

    /// A lease has been given out.
    template <class Lease>
    void lent(Lease const& lease, Expectation const& expected) {
        ++answers.granted;
        check(!expected.after_close, "a closed pool lends nothing");
        Record& record = lease->record();
        record.pass(Owner::pool, Owner::holder);
        check(!record.closed && !record.detached, "what is lent is open");
        check(!record.spoiled, "what was discarded, or failed at a hook, is not lent again");
        check(expected.setting < 0 || record.setting == expected.setting, "a lease has just the setting asked for",
              record.setting * 100 + expected.setting);
        check(++record.leases <= rules_.max_uses || rules_.max_uses == 0, "what is worn is not lent");
        check(record.leases == 1 || record.refreshes_at_birth >= expected.refreshes,
              "what is older than the last refresh is lent once, to who waits for it");
        check_identity(record, lease.id());
        check_age(record, expected);
        record.grow_older();
        record.idle_since.reset();
    }

    /// A look at one that is held. Not atomic, so that ThreadSanitizer sees who else has it.
    template <class Lease>
    void use(Lease const& lease) {
        Record& record = lease->record();
        check(record.owner == Owner::holder && !record.closed, "what is held is neither closed nor used by others");
        record.grow_older();
    }

    enum class End { release, discard, drop, detach };

    template <class Lease>
    void give_back(Lease lease, End end) {
        std::shared_lock const time{time_};  // stands still, so that we know when it was parked
        Record& record = lease->record();
        record.spoiled = end == End::discard || (end == End::drop && rules_.drops_discard);
        record.idle_since = ManualClock::now();
        if (end == End::detach) leaves(record);
        record.pass(Owner::holder, Owner::pool);
        switch (end) {
            case End::release: return lease.release();
            case End::discard: return lease.discard();
            case End::detach: static_cast<void>(lease.detach()); return;
            case End::drop: Lease const dropped{std::move(lease)};
        }
    }

    // ---- What is changed from outside ------------------------------------------------------------------------------

    void advance(duration by) {
        std::unique_lock const time{time_};
        ManualClock::advance(by);
    }

    template <class Pool>
    void refresh(Pool& pool) {
        std::lock_guard const one_at_a_time{refreshing_};
        ++refreshes_begun_;
        pool.refresh();
        ++refreshes_done_;
    }

    /// The greatest bound counts until a resize that no other came in between of has drained. It is under
    /// way as long as the call that changes the bound; an async one may drain later.
    std::uint64_t resize_begins(std::size_t high) {
        std::lock_guard const lock{mutex_};
        bound_ = std::max(bound_, high);
        ++resizes_;
        return resizes_under_way_++ == 0 ? resizes_ : 0;
    }
    void resize_returned() {
        std::lock_guard const lock{mutex_};
        --resizes_under_way_;
    }
    void resize_drained(std::uint64_t number, std::size_t high) {
        std::lock_guard const lock{mutex_};
        if (number != resizes_) return;
        bound_ = high;
        check(open_ <= bound_, "a resize that says so has drained", static_cast<long long>(open_ * 100 + bound_));
    }

    void close_returned() { close_returned_ = true; }

    // ---- The pool's own account ------------------------------------------------------------------------------------

    /// One snapshot, and the one before it that the same thread has taken.
    void look(weir::Stats const& now, weir::Stats const& before) const {
        check(now.open == now.connecting + now.idle + now.leased + now.closing && now.leased <= now.open,
              "the gauges add up", static_cast<long long>(now.open));
        check(!rules_.max_waiters || now.waiting <= *rules_.max_waiters, "no more wait than may",
              static_cast<long long>(now.waiting));
        for (auto const counter : counters) check(now.*counter >= before.*counter, "counters never decrease");
        check(now.wait_time >= before.wait_time && now.connect_time >= before.connect_time, "sums never decrease");
    }

    /// Everything that was opened has been closed and destroyed, or was detached.
    bool settled() const {
        std::lock_guard const lock{mutex_};
        return open_ == 0 && connecting_ == 0 && std::all_of(records_.begin(), records_.end(), [](Record const& r) {
                   return r.destroyed && r.closed != r.detached;
               });
    }

    void check_end(weir::Stats const& stats) const {
        check(settled(), "everything is closed once and destroyed once");
        check(stats.open == 0 && stats.waiting == 0, "nothing is open and nobody waits",
              static_cast<long long>(stats.open));
        auto const same = [](std::uint64_t pools, std::uint64_t ours, char const* what) {
            check(pools == ours, what, static_cast<long long>(pools) * 1'000'000 + static_cast<long long>(ours));
        };
        std::lock_guard const lock{mutex_};
        same(stats.connected, records_.size(), "connected is what was opened");
        same(stats.closed_idle + stats.closed_age + stats.closed_unhealthy + stats.closed_discarded +
                 stats.closed_excess + stats.closed_stale + stats.closed_drained,
             closed_, "every close has one cause");
        same(stats.detached, detached_, "detached is what was detached");
        same(stats.connected, closed_ + detached_, "what was opened has ended");
        same(stats.acquired, answers.granted, "acquired is what was lent");
        same(stats.cancelled, answers.cancelled, "cancelled is who was told so");
        same(stats.rejected, answers.rejected, "rejected is who was told so");
        same(stats.shed, answers.shed, "shed is who was told so");
        check(stats.waited > 0 || stats.wait_time == stats.wait_time.zero(), "only who waits takes time for it");
        check(stats.connect_failed >= failed_, "connect_failed is at least what has failed");
        if (rules_.overruns) {
            check(stats.timed_out <= answers.timed_out, "who timed out was told so");
            check(stats.settings_applied <= applied && stats.settings_reset <= resets, "hooks in time are counted");
            return;
        }
        same(stats.timed_out, answers.timed_out, "timed_out is who was told so");
        same(stats.settings_applied, applied, "settings_applied is what was applied");
        same(stats.settings_reset, resets, "settings_reset is what was reset");
    }

private:
    static constexpr std::array counters{
        &weir::Stats::acquired,       &weir::Stats::waited,           &weir::Stats::timed_out,
        &weir::Stats::cancelled,      &weir::Stats::rejected,         &weir::Stats::shed,
        &weir::Stats::connected,      &weir::Stats::connect_failed,   &weir::Stats::settings_applied,
        &weir::Stats::settings_reset, &weir::Stats::closed_idle,      &weir::Stats::closed_age,
        &weir::Stats::closed_excess,  &weir::Stats::closed_unhealthy, &weir::Stats::closed_discarded,
        &weir::Stats::closed_stale,   &weir::Stats::closed_drained,   &weir::Stats::detached,
    };

    void check_identity(Record& record, std::uint64_t id) {
        check(record.id == 0 || record.id == id, "a resource keeps its id", static_cast<long long>(id));
        if (std::exchange(record.id, id) != 0) return;
        std::lock_guard const lock{mutex_};
        check(ids_.insert(id).second, "no id is used twice", static_cast<long long>(id));
    }

    void check_age(Record const& record, Expectation const& expected) const {
        auto const reached = [&](duration limit, std::optional<ManualClock::time_point> from) {
            return limit > limit.zero() && from && expected.now - *from >= limit;
        };
        check(!reached(rules_.max_age, record.seen), "what is too old is not lent");
        if (expected.setting < 0) return;  // as it is
        check(!reached(rules_.ttl, record.idle_since), "what has expired is not lent");
        check(!reached(rules_.check_after_idle, record.idle_since), "what was idle for so long is checked first");
    }

    void leaves(Record& record) {
        check(!record.detached.exchange(true), "a resource is detached once");
        std::lock_guard const lock{mutex_};
        --open_;  // here, and in the pool a little later
        ++detached_;
    }

    Rules const rules_;

    mutable std::mutex mutex_;  // protects what follows
    std::deque<Record> records_;
    std::set<std::uint64_t> ids_;
    std::size_t open_ = 0;  // never more than the pool has: less by what it has reserved or is still to strike off
    std::size_t connecting_ = 0;
    std::size_t bound_;
    std::size_t resizes_under_way_ = 0;
    std::uint64_t resizes_ = 0;
    std::uint64_t failed_ = 0;
    std::uint64_t closed_ = 0;
    std::uint64_t detached_ = 0;

    std::atomic<std::uint64_t> state_;
    std::atomic<unsigned> severity_;
    std::atomic<std::uint64_t> refreshes_begun_{0}, refreshes_done_{0};
    std::atomic<bool> close_returned_{false};
    std::mutex refreshing_;
    std::shared_mutex time_;  // held to move the manual clock on, shared by those for whom it must stand
};

Conn::~Conn() {
    if (record_) oracle_->destroyed(*record_);
}

}  // namespace oracle
