#pragma once
// How many may be open in all, and whose turn it is when a place comes free.

#include <atomic>
#include <boost/intrusive/list.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <weir/detail/tenant.hpp>

namespace weir::detail {

/// What becomes of a resource that nobody holds, where no other key needs its place.
enum class Otherwise { opened, served, parked };

/// The total over all keys: so many places, and two lines of tenants who have use for one more than there is. Those who
/// have none stand before those who have some; each line is first come, first served.
///
/// A place that comes free while somebody stands in line is granted to the first in the same step, so newcomers never
/// overtake. Numbers and links only. Thread-safe; its mutex is taken while a core's is held, never the other way round.
///
/// A template so that it costs nothing to include.
template <class Mutex = std::mutex>
class Quota {
public:
    using time_point = std::chrono::steady_clock::time_point;

    explicit Quota(std::size_t total) noexcept : total_{total} {}

    /// One place for `tenant`: the one that was granted to it, or a free one. False when there is none.
    bool take(Tenant& tenant) noexcept {
        std::lock_guard const lock{mutex_};
        return take_one(tenant);
    }

    /// The same; when there is none it stands in line from now on, where it belongs.
    bool stand(Tenant& tenant, bool starving) noexcept {
        std::lock_guard const lock{mutex_};
        if (take_one(tenant)) return true;
        enter(tenant, starving);
        return false;
    }

    /// Only if a place is on its way that nobody in line counts on: true when it stands in line for that.
    bool stand_for_promised(Tenant& tenant, bool starving) noexcept {
        std::lock_guard const lock{mutex_};
        if (closed_ || taken_ < total_ || lacks(hungry(), true)) return false;
        enter(tenant, starving);
        return true;
    }

    /// It has no use for one more: it stands in no line, and gives back what was granted to it, and what it has `in_hand`.
    void stand_down(Tenant& tenant, bool in_hand, TenantChain& called) noexcept {
        std::lock_guard const lock{mutex_};
        leave(tenant);
        if (std::exchange(tenant.granted, false)) put_one(called);
        if (in_hand) put_one(called);
    }

    /// A place is free again; it may be one that was made free for those in line.
    void put(bool reclaimed, TenantChain& called) noexcept {
        std::lock_guard const lock{mutex_};
        if (reclaimed) --reclaims_;
        put_one(called);
    }

    /// Whoever was to be called is being called. Keeps it alive.
    std::shared_ptr<KeyCore> told(Tenant& tenant) noexcept {
        std::lock_guard const lock{mutex_};
        tenant.called = false;
        return std::move(tenant.keep);
    }

    /// Whether a resource is to be closed for who stands in line: then it is on its way, and counted so. One that else
    /// would serve somebody goes only for a key that has none, and one that was opened for him only if it is one too many.
    /// `extra` is for somebody who does not stand in line.
    bool claim(Otherwise otherwise, bool extra = false) noexcept {
        std::lock_guard const lock{mutex_};
        std::size_t const line = otherwise == Otherwise::opened ? 0
                               : otherwise == Otherwise::served ? starving_.size()
                                                                : hungry();
        if (!lacks(line, extra)) return false;
        ++reclaims_;
        return true;
    }

    /// One that was being closed for those in line is not counted on any more.
    void forgo() noexcept {
        std::lock_guard const lock{mutex_};
        --reclaims_;
    }

    /// Whether more places have to be made free than are on their way.
    bool is_short(bool extra = false) const noexcept {
        std::lock_guard const lock{mutex_};
        return lacks(hungry(), extra);
    }

    /// Whether more are open than may be, and than are on their way out for that.
    bool has_surplus() const noexcept {
        std::lock_guard const lock{mutex_};
        return lacks(0, false);
    }

    bool is_closed() const noexcept {
        std::lock_guard const lock{mutex_};
        return closed_;
    }

    /// Whether there is no place to be had, but for one that was granted.
    bool is_full() const noexcept {
        std::lock_guard const lock{mutex_};
        return closed_ || taken_ >= total_;
    }

    void set_total(std::size_t total, TenantChain& called) noexcept {
        std::lock_guard const lock{mutex_};
        total_ = total;
        grant(called);
        if (listeners_ > 0) fits_.notify_all();
    }

    /// Waits as a thread until no more are taken than may be; true when that is so.
    bool await_fit(time_point until) {
        std::unique_lock lock{mutex_};
        ++listeners_;
        auto const done = [this] { return fits() || closed_; };
        if (until == time_point::max())
            fits_.wait(lock, done);
        else
            fits_.wait_until(lock, until, done);
        --listeners_;
        return fits();
    }

    /// From now on nothing is given out.
    void close() noexcept {
        std::lock_guard const lock{mutex_};
        closed_ = true;
        fits_.notify_all();
    }

    /// While it is pinned no place goes from one tenant to another, so that whoever asks each of them in turn how many
    /// it has never counts one twice.
    void pin() noexcept {
        std::lock_guard const lock{mutex_};
        ++pins_;
    }
    void unpin(TenantChain& called) noexcept {
        std::lock_guard const lock{mutex_};
        if (--pins_ > 0) return;
        for (; held_back_ > 0; --held_back_) --taken_;
        grant(called);
    }

    /// For a resource: never the same twice.
    std::uint64_t next_id() noexcept { return 1 + ids_.fetch_add(1, std::memory_order_relaxed); }

    std::size_t total() const noexcept {
        std::lock_guard const lock{mutex_};
        return total_;
    }
    std::size_t taken() const noexcept {
        std::lock_guard const lock{mutex_};
        return taken_;
    }

private:
    using Line = boost::intrusive::list<
        Tenant, boost::intrusive::member_hook<Tenant, boost::intrusive::list_member_hook<>, &Tenant::in_line>>;

    std::size_t hungry() const noexcept { return starving_.size() + others_.size(); }

    bool fits() const noexcept { return taken_ - held_back_ <= total_; }

    bool lacks(std::size_t line, bool extra) const noexcept {
        if (closed_) return false;
        std::size_t const surplus = taken_ > total_ ? taken_ - total_ : 0;
        std::size_t const free = total_ > taken_ ? total_ - taken_ : 0;
        return line + surplus + (extra ? 1 : 0) > reclaims_ + held_back_ + free;
    }

    bool take_one(Tenant& tenant) noexcept {
        if (std::exchange(tenant.granted, false)) return true;
        if (closed_ || taken_ >= total_) return false;
        leave(tenant);
        ++taken_;
        return true;
    }

    void put_one(TenantChain& called) noexcept {
        if (pins_ > 0) {
            ++held_back_;
        } else {
            --taken_;
            grant(called);
        }
        if (listeners_ > 0) fits_.notify_all();
    }

    void grant(TenantChain& called) noexcept {
        while (!closed_ && taken_ < total_ && hungry() > 0) {
            Tenant& first = starving_.empty() ? others_.front() : starving_.front();
            leave(first);
            // Who is called already will find it. One that is past calling stands in no line any more.
            if (!first.called && !(first.keep = first.core.lock())) continue;
            if (!std::exchange(first.called, true)) called.push(first);
            first.granted = true;
            ++taken_;
        }
    }

    void enter(Tenant& tenant, bool starving) noexcept {
        leave(tenant);
        tenant.starving = starving;
        if (!closed_) (starving ? starving_ : others_).push_back(tenant);
    }

    void leave(Tenant& tenant) noexcept {
        if (!tenant.in_line.is_linked()) return;
        Line& line = tenant.starving ? starving_ : others_;
        line.erase(line.iterator_to(tenant));
    }

    std::atomic<std::uint64_t> ids_{0};

    mutable Mutex mutex_;  // protects all below, and what the tenants say; no user code runs under it
    Line starving_;        // have nothing open
    Line others_;          // have some
    std::size_t total_;
    std::size_t taken_ = 0;      // by what is open, or granted and not used yet
    std::size_t reclaims_ = 0;   // of those: being closed for who stands in line
    std::size_t held_back_ = 0;  // free, but pinned
    std::size_t pins_ = 0;
    std::condition_variable fits_;
    std::size_t listeners_ = 0;
    bool closed_ = false;
};

}  // namespace weir::detail
