#pragma once
// The pool's place for one resource.

#include <atomic>
#include <boost/intrusive/list_hook.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <weir/detail/chain.hpp>
#include <weir/detail/config.hpp>
#include <weir/detail/job.hpp>
#include <weir/policy/observer.hpp>

namespace weir::detail {

struct Waiter;
class Task;

/// What is being done to a slot in the background.
enum class Operation : std::uint8_t { none, connecting, preparing, recycling, closing };

/// A hook that is to be called before a resource is lent.
enum class Chore : std::uint8_t { none, check, reset, apply };

/// Those still to be called, in their order.
struct Chores {
    bool check = false;
    bool reset = false;
    bool apply = false;

    Chore next() const noexcept {
        return check ? Chore::check : reset ? Chore::reset : apply ? Chore::apply : Chore::none;
    }
    bool any() const noexcept { return next() != Chore::none; }
    void done() noexcept { (check ? check : reset ? reset : apply) = false; }
};

/// What of a slot does not depend on the resource's type.
///
/// A slot belongs at each moment to exactly one of: the arena's free list, the connect that fills it, the idle store,
/// the lease (or grant) that uses it, the close that empties it. Its owner alone touches it, but for what is atomic or
/// said to be guarded. Its address never changes and its memory is never given back before the core's, so a loser of
/// a race may still read `next` of a slot that is no longer in the store.
///
/// So far apart that two leases on two processors never disturb each other.
struct alignas(interference_size) SlotBase {
    using Node = SlotBase;
    using InFlightHook = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

    // Touched by every acquire and return.
    std::atomic<SlotBase*> next{nullptr};                      // in the store, a free list or a chain
    std::atomic<std::chrono::steady_clock::rep> parked_at{0};  // when it came back; read by sweeps, hence atomic
    std::atomic<std::uint64_t> leases{0};                      // ever lent, over all resources that lay here
    std::uint64_t id = 0;                                      // of the resource
    int uncaught_when_lent = 0;                                // for Drop policies that ask
    std::uint32_t generation = 0;                              // of the pool when it was opened
    Cause cause = Cause::drained;                              // while closing: why
    std::uint8_t bucket = 0;                                   // of its setting; 0: it has none
    std::uint8_t part = 0;                                     // of the store where it lay, by processor
    void* shelf = nullptr;                                     // the part of the store for that bucket

    // Where there is upkeep. Times are of the pool's `AgeClock`.
    static constexpr std::chrono::steady_clock::rep evicted = std::chrono::steady_clock::duration::min().count();
    std::atomic<std::chrono::steady_clock::rep> dies_at{std::chrono::steady_clock::duration::max().count()};
    std::uint64_t retires_at = std::uint64_t(-1);               // when it has been lent so often in all
    std::atomic<std::chrono::steady_clock::rep> lent_since{0};  // 0: not lent; negative: reported as overdue
    std::atomic<std::chrono::steady_clock::rep> checked_at{0};

    // Where several hold it: what they all write, apart from what they only read. See `Shares`.
    std::atomic<std::uint64_t> shares{0};

    // Touched only while it is being opened, closed or tidied up. Guarded by the core's mutex, but for the job.
    Operation operation = Operation::none;
    bool overrun = false;          // its operation outlived its deadline: what it yields is closed
    bool sealed = false;           // was idle when the pool closed
    bool filled = false;           // an awaitable connector has put a resource here
    bool refill = false;           // is opened for nobody, to have enough
    bool in_line = false;          // its connect is one that the line counts on
    bool reclaimed = false;        // is closed for another key, which stands in line for the total
    bool in_place = false;         // is checked in the background: goes back to where it lay
    bool drains = false;           // is lent to nobody else, and closes with its last share
    Chores chores{};               // before it is lent
    Waiter* owner = nullptr;       // the acquire that it is opened or prepared for, if it still waits
    std::shared_ptr<Task> task{};  // the awaitable operation in flight
    Job job{};                     // the plain operation in flight
    std::chrono::steady_clock::time_point started{};  // its connect; then, where an observer asks, its lease
    std::chrono::steady_clock::time_point deadline{};
    InFlightHook in_flight{};

    // Keeps the core alive while the slot is open: a lease may be the last that knows of it. Set when the slot is
    // reserved and cleared when it is vacated, so that acquire and return count nothing.
    std::shared_ptr<void> keep{};
};

template <class Conn>
struct Slot;

/// Where a lease gives its resource back. The one door from a lease, which knows no policy, to its core.
template <class Conn>
class Home {
public:
    virtual void drop(Slot<Conn>&) noexcept = 0;               // the lease went out of scope: as the Drop policy says
    virtual void release(Slot<Conn>&) noexcept = 0;            // it is clean
    virtual void discard(Slot<Conn>&) noexcept = 0;            // it is not
    virtual bool may_detach() const noexcept { return true; }  // or others use it, too
    virtual void detached(Slot<Conn>&) noexcept = 0;           // it has been moved out; what is left is to be destroyed

protected:
    ~Home() = default;
};

template <class Conn>
struct Slot : SlotBase {
    explicit Slot(Home<Conn>& h) noexcept : home{&h} {}

    Home<Conn>* const home;

    Conn* conn() noexcept { return std::launder(reinterpret_cast<Conn*>(storage)); }

    // Made in place by `make()`, so that a resource that a connector returns by value is never moved.
    template <class Make>
    void emplace(Make&& make) {
        ::new (static_cast<void*>(storage)) Conn(std::forward<Make>(make)());
    }
    void destroy() noexcept { conn()->~Conn(); }

    alignas(Conn) std::byte storage[sizeof(Conn)];
};

/// Before any time at which something was parked.
inline constexpr std::chrono::steady_clock::rep never =
    std::chrono::steady_clock::time_point::min().time_since_epoch().count();

/// When a slot was parked; of none, `never`.
inline std::chrono::steady_clock::rep parked_at(SlotBase const* slot) noexcept {
    return slot ? slot->parked_at.load(std::memory_order_relaxed) : never;
}

using Chain = BasicChain<SlotBase>;

/// Takes out of `chain` the last `most` of its slots that `matches`, and leaves the order of the others alone.
/// Those taken come out last first, so the chain of a stack yields its coldest first.
template <class Matches>
Chain take_last(Chain& chain, std::size_t most, Matches matches) {
    std::size_t spared = 0;
    for (SlotBase* s = chain.first; s; s = s->next.load(std::memory_order_relaxed)) spared += matches(*s) ? 1 : 0;
    spared -= spared < most ? spared : most;

    Chain taken;
    SlotBase* before = nullptr;
    for (SlotBase* s = chain.first; s;) {
        SlotBase* const after = s->next.load(std::memory_order_relaxed);
        bool const matched = matches(*s);
        if (matched && spared == 0) {
            if (before)
                before->next.store(after, std::memory_order_relaxed);
            else
                chain.first = after;
            --chain.size;
            taken.push(*s);
        } else {
            spared -= matched ? 1 : 0;
            before = s;
        }
        s = after;
    }
    return taken;
}

/// Takes the first that `matches` out of a chain; nullptr when there is none.
template <class Matches>
SlotBase* remove_first(Chain& chain, Matches matches) {
    SlotBase* before = nullptr;
    for (SlotBase* s = chain.first; s; before = s, s = s->next.load(std::memory_order_relaxed)) {
        if (!matches(*s)) continue;
        SlotBase* const after = s->next.load(std::memory_order_relaxed);
        if (before)
            before->next.store(after, std::memory_order_relaxed);
        else
            chain.first = after;
        --chain.size;
        return s;
    }
    return nullptr;
}

/// Puts a slot into a chain of which the latest parked is the first, below those of the same age.
inline void insert_by_age(Chain& chain, SlotBase& slot) noexcept {
    auto const age = slot.parked_at.load(std::memory_order_relaxed);
    SlotBase* before = nullptr;
    SlotBase* after = chain.first;
    while (after && after->parked_at.load(std::memory_order_relaxed) >= age) {
        before = after;
        after = after->next.load(std::memory_order_relaxed);
    }
    slot.next.store(after, std::memory_order_relaxed);
    if (before)
        before->next.store(&slot, std::memory_order_relaxed);
    else
        chain.first = &slot;
    ++chain.size;
}

/// One in a pool with settings.
template <class Conn, class Setting>
struct SettingSlot final : Slot<Conn> {
    using Slot<Conn>::Slot;

    std::optional<Setting> setting{};  // what was applied to the resource
    std::optional<Setting> target{};   // what is to be
    std::uint8_t target_bucket = 0;
};

}  // namespace weir::detail
