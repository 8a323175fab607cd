#pragma once
// An acquire that has found nothing yet, or a close or a resize that has not ended yet.

#include <boost/asio/execution_context.hpp>
#include <boost/intrusive/list_hook.hpp>
#include <boost/intrusive/set_hook.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <weir/detail/failure.hpp>
#include <weir/detail/hand_over.hpp>
#include <weir/detail/slot.hpp>

namespace weir::detail {

/// The setting that an acquire asks for, or none. Whoever asks keeps it until he has his outcome.
struct Wish {
    void const* setting = nullptr;
    std::size_t bucket = 0;
};

/// One in line. A node: on the stack of a sync acquire, or in memory of the handler's allocator.
///
/// Guarded by the core's mutex while it is in line. Whoever takes it out of line (`claims` it) writes the outcome and
/// then, once and without the lock, calls `deliver`; from then on it belongs to the acquirer.
struct Waiter {
    using time_point = std::chrono::steady_clock::time_point;

    enum class Place {
        nowhere,     // not in line yet, or claimed
        connecting,  // in line, and its own connect was started
        waiting,     // in line, and it may not open now
        preparing,   // not in line: a resource is being prepared for it
        draining,    // not in line: waits for the end of a close
        shrinking,   // not in line: waits for no more to be open than may be
    };

    // Where the total of many keys is all that is in the way: a search for an idle one of another key's to be closed.
    enum class Room : std::uint8_t {
        unsought,
        sought,  // one was closed, or one was on its way out
        none,    // nothing was idle
    };

    // Who waits: a thread watches its deadline itself and looks at its outcome itself.
    enum class Kind { thread, handler };

    Waiter(Kind k, time_point by) noexcept : kind{k}, deadline{by} {}
    Waiter(Waiter const&) = delete;
    Waiter& operator=(Waiter const&) = delete;

    /// Tells the acquirer to look at the outcome (or, unclaimed, to try once more). Calls no user code but the post
    /// of an executor.
    virtual void deliver() noexcept = 0;

    Kind const kind;
    time_point const deadline;
    time_point asked{};  // if that was just now: spares whoever answers a look at the clock, which is dear
    time_point since{};
    std::uint64_t ticket = 0;  // its number in the order in which they asked
    Wish wish{};
    unsigned passed_over = 0;  // so many behind it were served before it
    Place place = Place::nowhere;
    bool waited = false;                                      // counted as a wait
    bool prepares_here = false;                               // calls hooks on its own thread
    bool is_late = false;                                     // asked when its time was up: gets what is idle
    bool owed = false;                                        // what was idle and for it could not be prepared
    bool is_next = false;                                     // for a thread that joins the line: nobody is before it
    bool expected = false;                                    // will ask again, and its key's core waits for that
    Room room = Room::unsought;                               // made under the total for him
    bool summoned = false;                                    // a deliver is under way: another would be one too many
    SlotBase* attempt = nullptr;                              // its own connect or preparation, while that is in flight
    SlotBase* granted = nullptr;                              // outcome: this, which keeps the core,
    Failure failure{};                                        // or this; for a close neither when it is drained
    std::shared_ptr<void> keep{};                             // of a handler that was told and has no slot: the core
    boost::asio::execution_context const* context = nullptr;  // where its handler runs,
    boost::asio::execution_context const* works_on = nullptr;  // and the pool's executor, if it holds work there
    HandOver to_handler{};                                     // while it is told
    HandOver to_pool{};                                        // likewise
    Waiter* next = nullptr;                                    // in a chain of those to deliver to
    boost::intrusive::list_member_hook<> in_line{};
    boost::intrusive::list_member_hook<> in_turn{};     // by its deadline, in one of these two,
    boost::intrusive::set_member_hook<> by_deadline{};  // if it has one: see `Deadlines`

    /// Notes that it is to be delivered to; false when somebody is on his way already.
    bool begin_deliver() noexcept {
        if (std::exchange(summoned, true)) return false;
        if (HandOver::is_ours()) {
            to_handler = HandOver{context};
            to_pool = HandOver{works_on};
        }
        return true;
    }

    /// One in line, or for whom a resource is being prepared.
    bool wants_resource() const noexcept {
        return place == Place::connecting || place == Place::waiting || place == Place::preparing;
    }

    /// Lets go of the pool's executor, if it is of that context, which is shutting down, or of any.
    virtual void leave_pool_executor(boost::asio::execution_context const* /*of*/) noexcept {}
    /// Ends unheard: the context of its handler is shutting down.
    virtual void abandon() noexcept {}

protected:
    ~Waiter() = default;
};

/// Waiters to deliver to, in the order in which they were claimed.
class WaiterChain {
public:
    bool empty() const noexcept { return first_ == nullptr; }

    void push(Waiter& waiter) noexcept {
        waiter.next = nullptr;
        (last_ ? last_->next : first_) = &waiter;
        last_ = &waiter;
    }

    Waiter* pop() noexcept {
        Waiter* const waiter = first_;
        if (waiter && !(first_ = waiter->next)) last_ = nullptr;
        return waiter;
    }

private:
    Waiter* first_ = nullptr;
    Waiter* last_ = nullptr;
};

}  // namespace weir::detail
