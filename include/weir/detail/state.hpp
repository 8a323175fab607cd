#pragma once
// What a pool knows.

#include <atomic>
#include <boost/intrusive/list.hpp>
#include <condition_variable>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <weir/connector.hpp>
#include <weir/detail/age_clock.hpp>
#include <weir/detail/arena.hpp>
#include <weir/detail/ledger.hpp>
#include <weir/detail/mutex.hpp>
#include <weir/detail/orders.hpp>
#include <weir/detail/overload.hpp>
#include <weir/detail/policy_set.hpp>
#include <weir/detail/retry.hpp>
#include <weir/detail/store.hpp>
#include <weir/detail/tenancy.hpp>
#include <weir/detail/wait_queue.hpp>

namespace weir::detail {

/// What a pool knows of connections that many use at once.
struct Sharing {
    template <class Sizing>
    explicit Sharing(Sizing const& size) noexcept {
        if constexpr (requires { size.streams; })
            if (size.streams) streams = *size.streams;
    }

    std::size_t streams = Shares::most_shares;  // of each, unless its connector says otherwise
    std::exception_ptr failed_for_all{};        // of the latest attempt that many waited for
};

struct NoSharing {
    template <class Sizing>
    explicit NoSharing(Sizing const&) noexcept {}
};

/// Everything a pool knows, under one mutex.
///
/// What is idle lies in the store, which acquirers and returners use without the mutex as long as its gate is open.
/// The invariants, each true whenever the mutex is free:
///
/// 1. The gate is open only if nobody is in line, the pool is not closed, every return may be kept, none may be of an
///    older generation or one too many, and what is parked is being aged. So whoever returns past the gate owes nobody
///    anything, and whoever is refused comes here.
/// 2. Somebody in line means that nothing is idle (with patience: that the front one has been summoned to take it).
///    An acquirer joins an empty line in the step that shuts the gate, and that step fails while something is parked.
/// 3. Somebody waiting means that there is no room. Room comes from the end of a connect or of a close, from a larger
///    limit and from the time that a failure asks for, and each of those ends in `open_for_waiters`.
/// 4. Connects in flight for the line are never fewer than those in line that one was started for.
/// 5. A line that stands (`stands_`, see `StandingLine`) means that the gate is shut, nothing is idle and there is no room,
///    even if all have just been served.
///
/// 2, 3 and 4 together are rule 11: no waiter sleeps while a resource is idle or room exists. tests/model/pool.pml has
/// them checked in every interleaving.
///
/// The steps that keep them stand in layers, each with what the ones below it can do: `Opening` (slots), `Serving`
/// (the line), `Steps` (the mutex, and what is put right after every step), `SlotEvents` and `Arbiter` (what is asked
/// and told from outside). All but the last two expect the mutex.
template <class Conn, class P>
class State {
public:
    using time_point = std::chrono::steady_clock::time_point;

protected:
    using Options = typename P::Options;
    using Setting = typename P::Settings::Setting;
    using SlotType = std::conditional_t<P::has_settings, SettingSlot<Conn, Setting>, Slot<Conn>>;

    State(Home<Conn>& home, Options const& options)
        : home_{home},
          idle_{options.idle},
          patience_{patience_of(options.wait)},
          timeout_{options.connect.timeout},
          clock_{options.idle.expires_after(), options.upkeep.rules()},
          ledger_{bounded(options.size.limits()), options.connect.max_concurrent},
          retry_{retry_of(options.connect)},
          overload_{overload_of(options.wait)},
          sharing_{options.size} {}
    ~State() = default;

    static Limits bounded(Limits limits) noexcept {
        limits.high = bounded(limits.high);
        return limits;
    }
    static std::size_t bounded(std::size_t high) noexcept { return high < max_slots ? high : max_slots; }

    template <class Waiting>
    static std::chrono::steady_clock::duration patience_of(Waiting const& wait) noexcept {
        if constexpr (P::sheds)
            return {};
        else
            return wait.patience;
    }
    template <class Waiting>
    static Late<Waiting, Overload<>> overload_of(Waiting const& wait) noexcept {
        if constexpr (P::sheds)
            return {wait.target, wait.interval};
        else
            return {{}, {}};
    }

    // Where a failed connect fails its acquire, nobody but the refill tries again by itself: as `Backoff` does.
    template <class Connecting>
    static Late<Connecting, Retry<>> retry_of(Connecting const& connect) noexcept {
        if constexpr (P::retries) {
            return {connect.first, connect.max, connect.jitter};
        } else {
            constexpr Backoff usual{};
            return {usual.first, usual.max, usual.jitter};
        }
    }

    using InFlight =
        Late<P, boost::intrusive::list<
                    SlotBase, boost::intrusive::member_hook<SlotBase, SlotBase::InFlightHook, &SlotBase::in_flight>,
                    boost::intrusive::constant_time_size<false>>>;

    // Read by the fast paths, and apart from all that is written under the mutex. What the store's threads fight over is
    // by itself, see there.
    typename BucketsOf<typename P::Store, P::Settings::buckets>::type store_;
    Home<Conn>& home_;
    typename P::Idle const idle_;
    std::chrono::steady_clock::duration const patience_;
    std::chrono::steady_clock::duration const timeout_;
    AgeClock<typename P::Clock> clock_;  // all but two words of it guarded by the mutex
    std::atomic<bool> closed_{false};    // written under the mutex, as is:
    std::atomic<bool> stands_{false};    // see `StandingLine`

    // Protects all below; no user code runs under it but the pure functions of policies.
    alignas(P::is_keyed ? alignof(Mutex) : interference_size) mutable Mutex mutex_;
    Ledger ledger_;
    Late<P, WaitQueue<>> queue_;
    std::conditional_t<P::is_keyed, Arena<SlotType, Apiece<SlotType>>, Arena<SlotType>> arena_;
    Late<P, Retry<>> retry_;
    Random random_ = Random::seeded();
    Late<P, Overload<>> overload_;
    InFlight in_flight_;            // operations in the order of their deadlines: all have the same time
    InFlight overrun_;              // those that are past it
    std::size_t serving_ = 0;       // connects in flight for the line, or for whoever comes
    std::uint32_t generation_ = 0;  // of what is opened now
    std::size_t outdated_ = 0;      // open, not being closed, and of an older one
    std::size_t to_replace_ = 0;    // closed for their age, and to be replaced if fewer than `low` are left
    std::size_t checking_ = 0;      // in the background
    std::size_t lifetimes_ = 0;     // what else a close waits for: users' tokens,
    std::size_t at_work_ = 0;       // and threads that are not done with the pool
    std::uint64_t last_id_ = 0;
    time_point alarm_at_ = time_point::max();
    std::optional<ConnectFailure> last_failure_{};
    [[no_unique_address]] std::conditional_t<P::shares, Sharing, NoSharing> sharing_;
    std::weak_ptr<void> self_;
    std::condition_variable_any news_;  // for threads that wait for the end of a close, for room, or for idle ones:
    std::size_t listeners_ = 0;         // so many
    bool ended_ = false;                // nothing is open, and nothing holds that back any more
    time_point closed_at_{};
    Chain last_idle_;         // what was idle when the close began, until those who waited are told
    std::size_t sealed_ = 0;  // those that were idle when the close began, and are not closed yet
    [[no_unique_address]] std::conditional_t<P::is_keyed, Tenancy<>, NoTenancy> tenancy_;
};

}  // namespace weir::detail
