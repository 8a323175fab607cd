#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/system/result.hpp>
#include <chrono>
#include <cstddef>
#include <iosfwd>
#include <memory>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>
#include <weir/connector.hpp>
#include <weir/detail/async_waiter.hpp>
#include <weir/detail/core.hpp>
#include <weir/detail/deadline.hpp>
#include <weir/detail/outcome.hpp>
#include <weir/detail/policy_set.hpp>
#include <weir/error.hpp>
#include <weir/fwd.hpp>
#include <weir/lease.hpp>
#include <weir/lifetime.hpp>
#include <weir/stats.hpp>

namespace weir {

/// A pool of connections, or of any resource that is dear to make.
///
/// Lends each to one user at a time and opens new ones as its policies allow. Acquiring an idle resource and giving it
/// back are lock-free, allocate nothing and read no clock; everything else is one short critical section, in which no
/// user code runs. Who finds nothing waits in one line, threads and handlers alike, and is given what comes back:
/// nobody is woken to find nothing.
///
/// `Policies` stand in any order, at most one for each slot; see `weir/policy/`. `Conn` is any move-constructible type;
/// what cannot move is pooled as `std::unique_ptr<T>`. Every acquire also takes a `Setting`, as its last argument but
/// the token; without a settings policy there is only one, and it says nothing.
///
/// Distinct objects: safe. Shared objects: safe, but for construction and destruction. It may be used from inside its
/// connector, hooks, observers and handlers, and by stop callbacks of its lifetime.
template <class Conn, class... Policies>
class Pool {
    static_assert(std::is_object_v<Conn> && std::is_move_constructible_v<Conn> &&
                      std::is_same_v<Conn, std::remove_cv_t<Conn>>,
                  "a pool holds values that can be moved: for what cannot, write weir::Pool<std::unique_ptr<T>>");

    using Set = detail::PolicySet<Policies...>;
    using Core = detail::Core<Conn, Set>;

public:
    using value_type = Conn;
    using executor_type = boost::asio::any_io_executor;
    using Setting = typename Set::Settings::Setting;
    using Options = typename Set::Options;
    using duration = std::chrono::steady_clock::duration;
    using time_point = std::chrono::steady_clock::time_point;
    template <class T>
    using result = boost::system::result<T>;

    /// A pool with a thread of its own for what needs an executor, started when something first does.
    ///
    /// Opens nothing yet. Throws `std::invalid_argument` naming the option that is wrong.
    template <class Connector>
    explicit Pool(Connector connector, Options options = {})
        : core_{Core::make({}, std::move(connector), std::move(options))} {}

    /// A pool whose awaitable connectors and hooks run on `executor`, and by default its handlers too.
    ///
    /// The executor's context may be shut down before or after the pool; that of a strand, which may not outlive it, after
    /// the pool and its leases.
    template <class Connector>
    Pool(executor_type executor, Connector connector, Options options = {})
        : core_{Core::make(checked(std::move(executor)), std::move(connector), std::move(options))} {}

    Pool(Pool const&) = delete;
    Pool& operator=(Pool const&) = delete;

    /// Closes, and waits for nothing: leases may outlive the pool. What is idle is closed on this thread.
    ~Pool() {
        core_->close(detail::Where::here);
        core_->abandon();
    }

    /// Waits for a resource and lends it.
    ///
    /// Idle: lent at once. Otherwise one is opened if `high` allows, on this thread if the connector is plain; else the
    /// call waits in line, at most as long as the waiting policy says, for everything together.
    ///
    /// Throws `boost::system::system_error` with
    /// - Errc::closed: the pool was closed, before or during the wait;
    /// - Errc::timed_out: the time is up; the text says what the pool was busy with;
    /// - Errc::too_many_waiters: `max_waiters` others wait already;
    /// - Errc::shed: the waiting policy sheds load (`Codel`);
    /// and what the connector threw, or the error it returned, when the connect that was started for this call failed.
    [[gnu::always_inline]] Lease<Conn> acquire() { return acquire_as({}); }
    [[gnu::always_inline]] Lease<Conn> acquire(Setting const& setting) { return acquire_as(wish(setting)); }

    /// Lends an idle one, or says `Errc::exhausted`. Never waits, never connects on this thread; when there is room it
    /// has one opened in the background, so that a later try can succeed.
    result<Lease<Conn>> try_acquire() { return try_acquire_as({}); }
    result<Lease<Conn>> try_acquire(Setting const& setting) { return try_acquire_as(wish(setting)); }

    /// As `acquire`, with a time of its own and errors as codes. With none left an idle one is still lent. Exceptions
    /// of the connector that are no `system_error` leave as exceptions.
    result<Lease<Conn>> try_acquire_for(duration wait) { return try_acquire_until(detail::after(now(), wait)); }
    result<Lease<Conn>> try_acquire_for(duration wait, Setting const& setting) {
        return try_acquire_until(detail::after(now(), wait), setting);
    }
    result<Lease<Conn>> try_acquire_until(time_point deadline) { return try_acquire_until_as(deadline, {}); }
    result<Lease<Conn>> try_acquire_until(time_point deadline, Setting const& setting) {
        return try_acquire_until_as(deadline, wish(setting));
    }

    /// Waits for a resource and lends it.
    ///
    /// Idle: lent at once. Otherwise one is opened in the background if `high` allows, and the call stands in line for
    /// whatever comes first.
    ///
    /// Completes with `void(error_code, Lease<Conn>)`, on the handler's associated executor, else on the pool's; never
    /// from inside this call:
    /// - success: the lease holds a resource;
    /// - Errc::closed: the pool was closed, before or during the wait;
    /// - Errc::timed_out: the waiting policy's time is up;
    /// - Errc::too_many_waiters: `max_waiters` others wait already;
    /// - Errc::shed: the waiting policy sheds load (`Codel`);
    /// - operation_aborted: cancelled (terminal, partial, total; nothing is lost);
    /// - the connector's error, or Errc::connect_failed for an exception that carries none.
    ///
    /// A completion that is destroyed uncalled gives its lease back. The pool may be destroyed while this is
    /// outstanding. The time counts from when the operation is launched.
    template <class Token = boost::asio::deferred_t>
        requires(!std::is_convertible_v<Token, Setting const&>)
    auto async_acquire(Token&& token = {}) {
        return async_acquire_for(core_->options().wait.timeout, std::forward<Token>(token));
    }
    template <class Token = boost::asio::deferred_t>
    auto async_acquire(Setting const& setting, Token&& token = {}) {
        return async_acquire_for(core_->options().wait.timeout, setting, std::forward<Token>(token));
    }

    /// As `async_acquire`, with a time of its own.
    template <class Token = boost::asio::deferred_t>
        requires(!std::is_convertible_v<Token, Setting const&>)
    auto async_acquire_for(duration wait, Token&& token = {}) {
        return boost::asio::async_initiate<Token, void(boost::system::error_code, Lease<Conn>)>(
            AcquireInitiation{wait}, token, core_, NoSetting{});
    }
    template <class Token = boost::asio::deferred_t>
    auto async_acquire_for(duration wait, Setting const& setting, Token&& token = {}) {
        return boost::asio::async_initiate<Token, void(boost::system::error_code, Lease<Conn>)>(AcquireInitiation{wait},
                                                                                                token, core_, setting);
    }

    /// All that are idle now, the next to be lent first.
    std::vector<Lease<Conn>> acquire_idle() { return core_->acquire_idle(); }

    /// Opens in the background until `n` are idle, and waits for it: until so many are, `high` is reached, an attempt
    /// has failed (see `last_connect_failure`), or the pool closes. Tells how many are idle then.
    ///
    /// Acquires go first. A connector that is awaitable runs on the pool's executor, which must not wait here. From
    /// inside the pool's own connector and hooks it opens, and waits for nothing.
    std::size_t warm_up(std::size_t n) { return core_->warm_up(n); }

    /// Makes everything open now out of date: idle ones are closed on this thread, leased ones when they come back, and
    /// what is being opened is lent once. `high` never dips, and nobody who waits is woken for it. For credentials that
    /// have changed, or a server that has moved. Does nothing once the pool is closed.
    void refresh() { core_->refresh(); }

    /// Changes `high`, at once; then waits until no more are open than that, at most as long as `wait`.
    ///
    /// Smaller: of the idle ones as many as must be are closed on this thread, the coldest first, leased ones when they
    /// come back, although others wait. Larger: who waits is served with what there is new room for. 0 pauses the pool:
    /// nothing is lent, and who acquires waits, until it is resized again. `low` never counts for more than `high`.
    ///
    /// True when no more are open than may be; should another resize have come meanwhile, than that one allows. Called
    /// from inside the pool's own connector and hooks it waits for nothing.
    ///
    /// Throws `boost::system::system_error` with Errc::closed when the pool is closed, and changes nothing.
    bool resize(std::size_t high, duration wait = duration::zero()) {
        auto const deadline = detail::after(now(), wait);
        if (!core_->resize(high)) throw boost::system::system_error{Errc::closed};
        return core_->await_room(deadline);
    }

    /// As `resize`, waiting at most 10 seconds, completing with `void(error_code)`:
    /// - success: no more are open than may be;
    /// - Errc::timed_out: the deadline came first; the new bound stands;
    /// - Errc::closed: the pool was closed, before (nothing has changed) or during the wait;
    /// - operation_aborted: this wait was cancelled; the new bound stands.
    ///
    /// Idle ones are closed by the pool's own threads.
    template <class Token = boost::asio::deferred_t>
    auto async_resize(std::size_t high, Token&& token = {}) {
        return async_resize_for(high, std::chrono::seconds{10}, std::forward<Token>(token));
    }

    /// As `async_resize`, with a deadline of its own.
    template <class Token = boost::asio::deferred_t>
    auto async_resize_for(std::size_t high, duration wait, Token&& token = {}) {
        return boost::asio::async_initiate<Token, void(boost::system::error_code)>(ResizeInitiation{high, wait}, token,
                                                                                   core_);
    }

    /// One round of maintenance now: closes on this thread those that are over their time, the coldest first, at most
    /// half of what is idle, reports overdue leases, and starts in the background the checks that are due. The pool does
    /// so by itself; this is for those who cannot wait.
    void sweep() {
        core_->sweep(detail::Where::here);
        core_->check();
    }

    /// Ends the pool: whoever acquires or waits gets `Errc::closed`, what is idle is closed, and the call waits until
    /// nothing is open and nothing of the pool runs any more, leases, connects in flight and `Lifetime`s included.
    ///
    /// True when all that has ended; false at the deadline, and the pool is closed all the same: what comes back later
    /// is closed then. May be called again, from several threads, and from the pool's own connector, hooks, handlers
    /// and observers, or a resource's destructor: there it waits for nothing and says whether all has ended.
    bool close(duration wait = std::chrono::seconds{10}) {
        auto const deadline = detail::after(now(), wait);
        core_->close(detail::Where::on_worker);
        return core_->await_end(deadline);
    }

    /// As `close`, within 10 seconds, completing with `void(error_code)`:
    /// - success: all has ended;
    /// - Errc::timed_out: the deadline came first; the pool is closed all the same;
    /// - operation_aborted: this wait was cancelled; the close stands.
    template <class Token = boost::asio::deferred_t>
    auto async_close(Token&& token = {}) {
        return async_close_for(std::chrono::seconds{10}, std::forward<Token>(token));
    }

    /// As `async_close`, with a deadline of its own.
    template <class Token = boost::asio::deferred_t>
    auto async_close_for(duration wait, Token&& token = {}) {
        return boost::asio::async_initiate<Token, void(boost::system::error_code)>(CloseInitiation{wait}, token, core_);
    }

    /// Whether closing has begun.
    bool closed() const noexcept { return core_->closed(); }

    /// A consistent snapshot. Takes the lock; linear in the most slots ever open.
    Stats stats() const { return core_->stats(); }

    /// The latest attempt to open a resource that failed.
    std::optional<ConnectFailure> last_connect_failure() const { return core_->last_failure(); }

    /// Writes, for an operator, what the pool is at and why nobody is being served, if that is so: limits, gauges,
    /// counters, the oldest wait, the oldest leases (where there is an upkeep policy) and the last connect failure.
    /// Takes the lock, but not while it writes.
    void dump(std::ostream& out) const { detail::print(out, core_->report()); }

    /// A token that says when closing begins, and holds back its end.
    Lifetime lifetime() const { return core_->lifetime(); }

    /// The executor it was made with, or that of its own thread, which this starts.
    executor_type get_executor() const noexcept { return core_->executor().get(); }

private:
    template <class S>
    static detail::Wish wish(S const& setting) {
        return detail::wish_for<typename Set::Settings>(setting);
    }

    // The fast paths are small enough to be compiled into their callers, the slow ones stay where they are.
    [[gnu::always_inline]] Lease<Conn> acquire_as(detail::Wish wish) {
        auto* const slot = core_->take(wish, detail::Where::here);
        return detail::LeaseMaker::make(slot ? *slot : acquire_slowly(wish));
    }
    result<Lease<Conn>> try_acquire_as(detail::Wish wish) {
        if (auto* const slot = core_->take(wish, detail::Where::on_worker)) return detail::LeaseMaker::make(*slot);
        return try_acquire_slowly(wish);
    }
    result<Lease<Conn>> try_acquire_until_as(time_point deadline, detail::Wish wish) {
        if (auto* const slot = core_->take(wish, detail::Where::here)) return detail::LeaseMaker::make(*slot);
        return try_acquire_until_slowly(deadline, wish);
    }

    // Not a lease, which would have to be returned in memory, also where none is waited for.
    [[gnu::noinline]] detail::Slot<Conn>& acquire_slowly(detail::Wish wish) {
        detail::Failure failure;
        auto lease = core_->acquire(wish, detail::after(now(), core_->options().wait.timeout), failure);
        if (!lease) raise(failure);
        return detail::LeaseMaker::take(lease);
    }

    [[gnu::noinline]] result<Lease<Conn>> try_acquire_slowly(detail::Wish wish) {
        detail::Failure failure;
        return detail::answer(core_->try_acquire(wish, failure), failure);
    }

    [[gnu::noinline]] result<Lease<Conn>> try_acquire_until_slowly(time_point deadline, detail::Wish wish) {
        detail::Failure failure;
        return detail::answer(core_->acquire(wish, deadline, failure), failure);
    }

    static time_point now() noexcept { return std::chrono::steady_clock::now(); }

    static executor_type checked(executor_type executor) {
        if (!executor) throw std::invalid_argument{"weir: Pool: executor must not be empty"};
        return executor;
    }

    [[noreturn]] void raise(detail::Failure const& failure) const {
        if (failure.exception || failure.code != Errc::timed_out) failure.raise();
        throw boost::system::system_error{failure.code, detail::in_brief(core_->report())};
    }

    struct ResizeResult {
        static std::tuple<boost::system::error_code> of(Core&, detail::Waiter const& waiter) noexcept {
            return {waiter.failure.code};
        }
    };

    // Asio keeps copies of the arguments of operations that are launched later, maybe when the pool has gone; others are
    // launched with the pool's own.
    struct AcquireInitiation {
        duration wait;

        template <class Handler, class S>
        void operator()(Handler&& handler, std::shared_ptr<Core> const& core, S const& setting) const {
            using Plain = std::decay_t<Handler>;
            if (auto* const slot = core->take_unless_in_vain(wish(setting), detail::Where::on_worker))
                return detail::complete_now(*core, Plain{std::forward<Handler>(handler)}, boost::system::error_code{},
                                            detail::LeaseMaker::make(*slot));
            detail::AsyncWaiter<Core, Plain, detail::LeaseResult<Core>, S>::start(
                core, std::forward<Handler>(handler), wait, setting,
                [](Core& c, detail::Waiter& waiter, S const& kept) { return c.join(waiter, wish(kept)); });
        }
    };

    struct ResizeInitiation {
        std::size_t high;
        duration wait;

        template <class Handler>
        void operator()(Handler&& handler, std::shared_ptr<Core> const& core) const {
            using Plain = std::decay_t<Handler>;
            detail::AsyncWaiter<Core, Plain, ResizeResult, std::size_t>::start(
                core, std::forward<Handler>(handler), wait, high,
                [core](Core&, detail::Waiter& waiter, std::size_t size) { return core->resize(size, waiter); });
        }
    };

    struct CloseInitiation {
        duration wait;

        template <class Handler>
        void operator()(Handler&& handler, std::shared_ptr<Core> const& core) const {
            using Plain = std::decay_t<Handler>;
            detail::AsyncWaiter<Core, Plain, detail::EndResult<Core>, NoSetting>::start(
                core, std::forward<Handler>(handler), wait, {}, [core](Core&, detail::Waiter& waiter, NoSetting) {
                    core->close(detail::Where::on_worker);
                    core->await_end(waiter);
                    return true;
                });
        }
    };

    std::shared_ptr<Core> const core_;
};

}  // namespace weir
