#pragma once
// What object and buffer pools are made of, whatever they hold.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <weir/detail/config.hpp>
#include <weir/detail/depot.hpp>
#include <weir/detail/thread_slot.hpp>
#include <weir/detail/thread_slots.hpp>
#include <weir/detail/timetable.hpp>
#include <weir/stats.hpp>

namespace weir::detail {

/// Where objects lie while nobody uses them: in a slot for each thread, behind those in a depot. Who finds nothing in
/// his slot looks in the depot, then in other threads' slots, and then makes one.
///
/// It lives until the handle and the last object have gone: each object counts as a user of it from when it is made
/// until it is destroyed, so that an acquire and a return count nothing. No lock is held while an object is made, reset or
/// destroyed.
///
/// Another thread's slot is visited
/// - to rob it: who needs an object takes all that are there, and leaves in the depot what he does not need;
/// - to trim: all that is there becomes old;
/// - when more objects exist than may be idle: see `crowded_`;
/// - to end.
///
/// Objects are pointers, not null.
class alignas(interference_size) ObjectCore {
public:
    ObjectCore(ObjectCore const&) = delete;
    ObjectCore& operator=(ObjectCore const&) = delete;

    /// An idle one, or a new one. Throws what making one throws.
    void* acquire() {
        void* const item = slots_.take();
        return item ? item : acquire_slowly();
    }

    /// Gives one back.
    void release(void* item) noexcept {
        if (!slots_.put(item)) [[unlikely]]
            release_slowly(item);
    }

    /// Destroys one that was lent.
    void discard(void* item) noexcept {
        destroy(item);
        dropped_.fetch_add(1, std::memory_order_release);  // with its making; for `stats`
        forget();
    }

    /// The same, of which the essence has been moved elsewhere.
    void detached(void* item) noexcept {
        destroy(item);
        detached_.fetch_add(1, std::memory_order_release);
        forget();
    }

    /// Counts one that was just made, and is lent.
    void admit() noexcept {
        users_.fetch_add(1, std::memory_order_seq_cst);  // see Timetable::Entry::begin
        made_.fetch_add(1, std::memory_order_relaxed);
        if (max_idle_) {
            std::lock_guard const lock{mutex_};
            // By what the end destroys: slots are barred already, or about to be, and this thread is at it.
            if (++existing_ > *max_idle_ && !crowded_ && !closed_.load(std::memory_order_relaxed)) {
                crowded_ = true;
                slots_.bar([&](auto items) { return depot_.put(items, Depot::As::moved_new_ones) != 0; });
            }
        }
        if (trims_) trims_->begin();
    }

    /// Before the first acquire: what trims it, for as long as there are acquires.
    void trimmed_by(Timetable::Entry& trims) noexcept { trims_ = &trims; }

    /// Destroys what nobody has used since the last trim but one, and says how many that were.
    std::size_t trim() noexcept {
        User const self{*this};  // objects may be the last that keep it
        Depot::Chain dead;
        {
            std::lock_guard const lock{trimming_};
            dead = depot_.turn();
            // What there is no memory for lives a little longer.
            slots_.empty([&](auto items) { return depot_.put(items, Depot::As::moved_old_ones) != 0; });
        }
        bury(dead);
        return dead.size;
    }

    /// Destroys what is idle, and from now on what comes back. To be called once, by the handle, whose last deed it is.
    void close() noexcept {
        {
            std::lock_guard const lock{mutex_};
            closed_.store(true, std::memory_order_relaxed);
        }
        trims_ = nullptr;  // has ended
        slots_.bar([&](auto items) {
            for (void* const item : items) discard(item);
            return true;
        });
        bury(depot_.seal());
        leave();
    }

    /// Whether there are objects, idle or lent. Also says so while anybody is busy with the pool for a while.
    bool has_objects() const noexcept { return users_.load(std::memory_order_seq_cst) > 1; }

    ObjectStats stats() const noexcept {
        ObjectStats stats;
        // In this order: what ends meanwhile has been made before.
        stats.dropped = dropped_.load(std::memory_order_acquire);
        stats.detached = detached_.load(std::memory_order_acquire);
        stats.reused = slots_.reused() + reused_elsewhere_.load(std::memory_order_relaxed);
        stats.idle = slots_.size() + depot_.size();
        stats.made = made_.load(std::memory_order_acquire);
        std::uint64_t const existing = stats.made - stats.dropped - stats.detached;
        if (stats.idle > existing) stats.idle = existing;  // one that was moved was met twice
        stats.leased = existing - stats.idle;
        return stats;
    }

    /// How a handle has its core.
    struct Close {
        void operator()(ObjectCore* core) const noexcept { core->close(); }
    };
    using Handle = std::unique_ptr<ObjectCore, Close>;

    /// Keeps the core for a while.
    class User {
    public:
        explicit User(ObjectCore& core) noexcept : core_{&core} { core.users_.fetch_add(1, std::memory_order_relaxed); }
        User(User const& other) noexcept : User{*other.core_} {}
        User& operator=(User const&) = delete;
        ~User() { core_->leave(); }

        ObjectCore* operator->() const noexcept { return core_; }

    private:
        ObjectCore* core_;
    };

protected:
    /// How objects come back: whether `clean` is to be called.
    enum class Returns { as_they_are, after_reset };

    ObjectCore(std::optional<std::size_t> max_idle, Returns returns)
        : resets_{returns == Returns::after_reset},
          max_idle_{max_idle},
          slots_{returns == Returns::as_they_are ? ThreadSlots::Puts::into_slots : ThreadSlots::Puts::nowhere},
          depot_{max_idle} {}
    virtual ~ObjectCore() = default;

    virtual void* create() = 0;
    virtual bool clean(void*) noexcept = 0;
    virtual void destroy(void*) noexcept = 0;

private:
    [[gnu::noinline]] void* acquire_slowly() {
        ThreadSlot* const own = slots_.own();
        void* item = own ? own->take() : nullptr;  // of one that had the number before
        if (item) return item;
        item = take_from_depot(own);
        if (!item) item = rob();
        if (!item) {
            item = create();
            admit();
        } else if (own) {
            own->count_reuse();
        } else {
            reused_elsewhere_.fetch_add(1, std::memory_order_relaxed);
        }
        return item;
    }

    [[gnu::noinline]] void release_slowly(void* item) noexcept {
        // What `clean` refers to may have gone with the pool. Relaxed: who comes after the end, by whatever tells him so,
        // sees it.
        if (resets_ && (closed_.load(std::memory_order_relaxed) || !clean(item))) return discard(item);
        ThreadSlot* const own = slots_.own();
        if (!own || !own->usable()) return put_into_depot({&item, 1});
        if (own->put(item)) return;
        std::array<void*, ThreadSlot::capacity + 1> spilt;
        std::size_t count = own->spill(std::span{spilt}.first<ThreadSlot::capacity>());
        // Those that were spilt keep the core alive until they are in the depot, too.
        if (count == 0 || !own->put(item)) spilt[count++] = item;
        put_into_depot(std::span{spilt}.first(count));
    }

    // One, and some for the thread's slot.
    void* take_from_depot(ThreadSlot* own) noexcept {
        std::array<void*, ThreadSlot::capacity / 2> some;
        bool const has_room = own && own->usable();
        std::size_t count = depot_.take(std::span{some}.first(has_room ? some.size() : 1));
        if (count == 0) return nullptr;
        // The latest is for now, and of the others the latest comes next.
        while (count > 1 && own->put(some[count - 1])) --count;
        if (count > 1) {
            std::reverse(some.begin() + 1, some.begin() + static_cast<std::ptrdiff_t>(count));
            put_into_depot(std::span{some}.subspan(1, count - 1));
        }
        return some[0];
    }

    // One, and the others go where they are had for less.
    void* rob() noexcept {
        std::array<void*, ThreadSlot::capacity> loot;
        std::size_t const count = slots_.rob(loot);
        if (count == 0) return nullptr;
        put_into_depot(std::span{loot}.first(count - 1));
        return loot[count - 1];
    }

    // Touches nothing after the last of them: see `Depot::put`.
    void put_into_depot(std::span<void* const> items) noexcept {
        std::size_t const kept = depot_.put(items);
        if (kept == items.size()) return;
        for (void* const item : items.first(items.size() - kept)) discard(item);
    }

    void bury(Depot::Chain dead) noexcept {
        for (auto const* cell = dead.first; cell; cell = cell->next.load(std::memory_order_relaxed))
            discard(cell->item);
        depot_.reuse(dead);
    }

    // An object is no more.
    void forget() noexcept {
        if (max_idle_) {
            std::lock_guard const lock{mutex_};
            if (--existing_ <= *max_idle_ && crowded_) {
                crowded_ = false;
                if (!closed_.load(std::memory_order_relaxed)) slots_.unbar();
            }
        }
        leave();
    }

    // Acquire and release: who deletes has seen what all others did.
    void leave() noexcept {
        if (users_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

    bool const resets_;
    std::optional<std::size_t> const max_idle_;
    Timetable::Entry* trims_ = nullptr;
    std::atomic<bool> closed_{false};  // written under the mutex
    ThreadSlots slots_;                // what is to be reset is not put there by `release`, but after that

    Depot depot_;
    alignas(interference_size) std::atomic<std::size_t> users_{1};  // objects, the handle, and whoever is busy with it
    std::atomic<std::uint64_t> made_{0};
    std::atomic<std::uint64_t> dropped_{0};
    std::atomic<std::uint64_t> detached_{0};
    std::atomic<std::uint64_t> reused_elsewhere_{0};  // by threads without a slot

    std::mutex trimming_;  // one trim at a time
    std::mutex mutex_;     // protects all below
    // If there is a limit. While no more objects exist than may be idle, nobody counts those that are. Else they are all
    // in the depot, which does: no slot has anything, and before the one that made it so is lent.
    std::size_t existing_ = 0;
    bool crowded_ = false;
};

}  // namespace weir::detail
