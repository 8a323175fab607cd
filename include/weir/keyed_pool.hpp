#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/system/result.hpp>
#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
#include <weir/connector.hpp>
#include <weir/detail/async_waiter.hpp>
#include <weir/detail/deadline.hpp>
#include <weir/detail/keyed_house.hpp>
#include <weir/detail/keyed_set.hpp>
#include <weir/detail/outcome.hpp>
#include <weir/error.hpp>
#include <weir/fwd.hpp>
#include <weir/lease.hpp>
#include <weir/lifetime.hpp>
#include <weir/pool.hpp>
#include <weir/stats.hpp>

namespace weir {

/// A pool of resources for each of many keys, as connections to many hosts, under one total.
///
/// Each key has a `Pool` of its own, made when it is first asked for: its line, its limits, its backoff. A key whose
/// backend fails or hangs delays no other, but for the places it holds. One that has nothing open and nobody waiting
/// vanishes with all its memory, and starts afresh when it is asked for again; so one that is `eager` fills up when it
/// is first asked for.
///
/// `total` bounds what is open over all keys, those being opened and closed counted. Who lacks only a place under it
/// has the idle resource closed (`closed_excess`) that was given back longest ago, whatever its key and the key's
/// `low`: by a thread of the pool's where it has a plain `close` hook, and one that takes longer than the connecting
/// policy's timeout is not waited for. When nothing is idle anywhere he stands in line for the total. Keys that have
/// nothing open stand in front of those that have some, and for them what comes back to another key is closed even
/// though somebody waits for it there; so every key can always open one. A task that holds leases of several keys at
/// once may wait for others that do the same: then `total` must be more than all of them together hold.
///
/// `Key` is copyable, and has `==` and `std::hash`; none of these may call the pool, and the last two must not throw.
/// Policies as in `Pool`; where they name no store it is `TaggedStack`, which is small, and where they name no clock the
/// steady one is asked at every return. With another clock "longest ago" is as exact as that.
///
/// What is said at `Pool` holds here, and what is not said here is as there.
template <class Key, class Conn, class... Policies>
class KeyedPool {
    static_assert(detail::is_key<Key>,
                  "the keys of a weir::KeyedPool are compared and hashed: give this type operator== and std::hash");

    using Set = detail::KeyedSet<Key, Policies...>;
    using House = detail::KeyedHouse<Conn, Set>;
    using Core = typename House::Core;
    using PerKey = Pool<Conn, Policies...>;

public:
    using key_type = Key;
    using value_type = Conn;
    using executor_type = typename PerKey::executor_type;
    using Setting = typename PerKey::Setting;
    using duration = typename PerKey::duration;
    using time_point = typename PerKey::time_point;
    template <class T>
    using result = boost::system::result<T>;

    struct Options {
        typename PerKey::Options per_key{};
        /// The most that may be open over all keys. None: no bound but that of each key.
        std::optional<std::size_t> total = std::nullopt;
    };

    /// A pool with a thread of its own for what needs an executor. The connector is called with `(Key const&)` or
    /// `(Key const&, ConnectContext const&)`, for several keys at once; else it is as that of a `Pool`. There is one for
    /// all keys.
    ///
    /// Throws `std::invalid_argument` naming the option that is wrong.
    template <class Connector>
    explicit KeyedPool(Connector connector, Options options = {})
        : house_{make({}, std::move(connector), std::move(options))} {}

    /// A pool whose awaitable connectors and hooks run on `executor`, and by default its handlers too.
    template <class Connector>
    KeyedPool(executor_type executor, Connector connector, Options options = {})
        : house_{make(checked(std::move(executor)), std::move(connector), std::move(options))} {}

    KeyedPool(KeyedPool const&) = delete;
    KeyedPool& operator=(KeyedPool const&) = delete;

    /// Closes, and waits for nothing: leases may outlive the pool. What is idle is closed on this thread.
    ~KeyedPool() {
        house_->close(detail::Where::here);
        house_->head()->abandon();
    }

    // ---- Acquiring: as in `Pool`, of one key. Also throws `std::bad_alloc`, and what copying the key throws. --------

    Lease<Conn> acquire(Key const& key) { return acquire_as(key, {}); }
    Lease<Conn> acquire(Key const& key, Setting const& setting) { return acquire_as(key, wish(setting)); }

    /// When only the total stands in the way an idle one of another key is closed, so that a later try can succeed.
    result<Lease<Conn>> try_acquire(Key const& key) { return try_acquire_as(key, {}); }
    result<Lease<Conn>> try_acquire(Key const& key, Setting const& setting) {
        return try_acquire_as(key, wish(setting));
    }

    result<Lease<Conn>> try_acquire_for(Key const& key, duration wait) {
        return try_acquire_until(key, detail::after(now(), wait));
    }
    result<Lease<Conn>> try_acquire_for(Key const& key, duration wait, Setting const& setting) {
        return try_acquire_until(key, detail::after(now(), wait), setting);
    }
    result<Lease<Conn>> try_acquire_until(Key const& key, time_point deadline) {
        return try_acquire_until_as(key, deadline, {});
    }
    result<Lease<Conn>> try_acquire_until(Key const& key, time_point deadline, Setting const& setting) {
        return try_acquire_until_as(key, deadline, wish(setting));
    }

    template <class Token = boost::asio::deferred_t>
        requires(!std::is_convertible_v<Token, Setting const&>)
    auto async_acquire(Key const& key, Token&& token = {}) {
        return async_acquire_for(key, timeout(), std::forward<Token>(token));
    }
    template <class Token = boost::asio::deferred_t>
    auto async_acquire(Key const& key, Setting const& setting, Token&& token = {}) {
        return async_acquire_for(key, timeout(), setting, std::forward<Token>(token));
    }
    template <class Token = boost::asio::deferred_t>
        requires(!std::is_convertible_v<Token, Setting const&>)
    auto async_acquire_for(Key const& key, duration wait, Token&& token = {}) {
        return boost::asio::async_initiate<Token, void(boost::system::error_code, Lease<Conn>)>(
            AcquireInitiation{wait}, token, house_, key, NoSetting{});
    }
    template <class Token = boost::asio::deferred_t>
    auto async_acquire_for(Key const& key, duration wait, Setting const& setting, Token&& token = {}) {
        return boost::asio::async_initiate<Token, void(boost::system::error_code, Lease<Conn>)>(
            AcquireInitiation{wait}, token, house_, key, setting);
    }

    /// All of the key's that are idle now, the next to be lent first.
    std::vector<Lease<Conn>> acquire_idle(Key const& key) {
        auto const core = house_->find(key);
        return core ? core->acquire_idle() : std::vector<Lease<Conn>>{};
    }

    // ---- Keys ------------------------------------------------------------------------------------------------------

    /// Whether it has something open, or somebody waits for it.
    bool contains(Key const& key) const {
        auto const core = house_->find(key);
        return core && !core->has_vanished();
    }

    /// Replaces what the key has, as `Pool::refresh`: idle ones are closed on this thread, leased ones when they come
    /// back; who waits is served with new ones.
    void evict(Key const& key) {
        if (auto const core = house_->find(key)) core->refresh();
    }

    /// Evicts all keys there are.
    void clear() {
        for (auto const& core : house_->all()) core->refresh();
    }

    /// Calls `f(Key const&, Stats const&)` for each key there was at one moment, with what it is at when its turn comes.
    /// No lock is held meanwhile.
    template <class F>
    void for_each(F f) const {
        for (auto const& core : house_->all())
            if (!core->has_vanished()) f(House::key_of(*core), static_cast<Stats const&>(core->stats()));
    }

    /// A consistent snapshot of one key, counted from when it was last made. Of one that is not there nothing but `high`
    /// is more than 0.
    Stats stats(Key const& key) const {
        if (auto const core = house_->find(key)) return core->stats();
        Stats none;
        none.high = house_->head()->stats().high;
        return none;
    }

    /// Of all keys, those that have vanished counted too; `high` is the total, or the greatest number there is. Each key
    /// in turn, but `open` is never above what it was allowed to be: meanwhile no place goes from one key to another.
    Stats stats() const { return house_->stats(); }

    /// The latest attempt to open one for this key that failed. Of keys that have vanished the last 16 are remembered.
    std::optional<ConnectFailure> last_connect_failure(Key const& key) const { return house_->last_failure(key); }

    // ---- All -------------------------------------------------------------------------------------------------------

    /// Changes the total, at once; then waits until no more are open than that, at most as long as `wait`. Smaller: idle
    /// ones are closed on this thread, those first that were given back longest ago, leased ones when they come back.
    /// 0 pauses the pool. As `Pool::resize`.
    bool resize(std::size_t total, duration wait = duration::zero()) {
        auto const deadline = detail::after(now(), wait);
        if (closed()) throw boost::system::system_error{Errc::closed};
        house_->resize(total);
        return house_->quota.await_fit(house_->is_inside() ? now() : deadline);
    }

    /// One round of maintenance now, of all keys.
    void sweep() {
        for (auto const& core : house_->all()) {
            core->sweep(detail::Where::here);
            core->check();
        }
    }

    /// Ends the pool and all keys; waits for all of them, at most so long. As `Pool::close`.
    bool close(duration wait = std::chrono::seconds{10}) {
        auto const deadline = detail::after(now(), wait);
        house_->close(detail::Where::on_worker);
        return house_->await_end(deadline);
    }

    template <class Token = boost::asio::deferred_t>
    auto async_close(Token&& token = {}) {
        return async_close_for(std::chrono::seconds{10}, std::forward<Token>(token));
    }
    template <class Token = boost::asio::deferred_t>
    auto async_close_for(duration wait, Token&& token = {}) {
        return boost::asio::async_initiate<Token, void(boost::system::error_code)>(CloseInitiation{wait}, token,
                                                                                   house_);
    }

    bool closed() const noexcept { return house_->head()->closed(); }

    /// Of the pool: it does not stop when a key vanishes.
    Lifetime lifetime() const { return house_->head()->lifetime(); }

    executor_type get_executor() const noexcept { return house_->head()->executor().get(); }

private:
    template <class S>
    static detail::Wish wish(S const& setting) {
        return detail::wish_for<typename Set::Settings>(setting);
    }

    static time_point now() noexcept { return std::chrono::steady_clock::now(); }

    static executor_type checked(executor_type executor) {
        if (!executor) throw std::invalid_argument{"weir: KeyedPool: executor must not be empty"};
        return executor;
    }

    template <class Connector>
    static std::shared_ptr<House> make(executor_type executor, Connector connector, Options options) {
        Set::validate(options.per_key);
        if constexpr (!detail::has_check<Connector, Conn>) Set::validate_unchecked(options.per_key);
        if (options.total == std::size_t{0}) throw std::invalid_argument{"weir: KeyedPool: total must be at least 1"};
        using Supplies = detail::KeySuppliesOf<Key, Conn, Connector, Setting>;
        auto house = std::make_shared<House>(
            options.total.value_or(std::numeric_limits<std::size_t>::max()),
            std::make_shared<detail::Means<Set>>(std::move(executor), std::move(options.per_key)),
            std::make_unique<Supplies>(std::move(connector)));
        house->begin();
        return house;
    }

    duration timeout() const noexcept { return house_->head()->options().wait.timeout; }

    Lease<Conn> acquire_as(Key const& key, detail::Wish wish) {
        if (auto* const slot = house_->take(key, wish, detail::Where::here)) return detail::LeaseMaker::make(*slot);
        detail::Failure failure;
        auto const deadline = detail::after(now(), timeout());
        auto lease = house_->acquire(key, failure, [&](Core& core) { return core.acquire(wish, deadline, failure); });
        if (!lease) raise(key, failure);
        return lease;
    }

    result<Lease<Conn>> try_acquire_as(Key const& key, detail::Wish wish) {
        if (auto* const slot = house_->take(key, wish, detail::Where::on_worker))
            return detail::LeaseMaker::make(*slot);
        detail::Failure failure;
        auto lease = house_->acquire(key, failure, [&](Core& core) { return core.try_acquire(wish, failure); });
        return detail::answer(std::move(lease), failure);
    }

    result<Lease<Conn>> try_acquire_until_as(Key const& key, time_point deadline, detail::Wish wish) {
        if (auto* const slot = house_->take(key, wish, detail::Where::here)) return detail::LeaseMaker::make(*slot);
        detail::Failure failure;
        auto lease = house_->acquire(key, failure, [&](Core& core) { return core.acquire(wish, deadline, failure); });
        return detail::answer(std::move(lease), failure);
    }

    [[noreturn]] void raise(Key const& key, detail::Failure const& failure) const {
        if (failure.exception || failure.code != Errc::timed_out) failure.raise();
        std::string text = "all keys: open " + std::to_string(house_->quota.taken());
        if (auto const total = house_->quota.total(); total != std::numeric_limits<std::size_t>::max())
            text += " of " + std::to_string(total);
        if (auto const core = house_->find(key)) text += "; this key: " + detail::in_brief(core->report());
        throw boost::system::system_error{failure.code, text};
    }

    struct AcquireInitiation {
        duration wait;

        template <class Handler, class S>
        void operator()(Handler&& handler, std::shared_ptr<House> const& house, Key const& key,
                        S const& setting) const {
            using Plain = std::decay_t<Handler>;
            if (auto* const slot = house->take(key, wish(setting), detail::Where::on_worker))
                return detail::complete_now(*house->head(), Plain{std::forward<Handler>(handler)},
                                            boost::system::error_code{}, detail::LeaseMaker::make(*slot));
            auto const first = house->core_for(key);
            if (!first)
                return detail::complete_now(*house->head(), Plain{std::forward<Handler>(handler)},
                                            boost::system::error_code{Errc::closed}, Lease<Conn>{});
            using Node = detail::AsyncWaiter<Core, Plain, detail::LeaseResult<Core>, S>;
            try {
                Node::start(first, std::forward<Handler>(handler), wait, setting,
                            [&](Core&, Node& node, S const& kept) {
                                for (auto core = first; core; core = house->core_for(key)) {
                                    node.move_to(core);
                                    if (core->join(node, wish(kept))) return true;
                                    if (node.granted || node.failure) return false;
                                    house->forget(*core);
                                }
                                node.failure.code = Errc::closed;
                                return false;
                            });
            } catch (...) {
                first->check();  // a step, in which it vanishes when it was made for this alone
                throw;
            }
        }
    };

    struct CloseInitiation {
        duration wait;

        template <class Handler>
        void operator()(Handler&& handler, std::shared_ptr<House> const& house) const {
            using Plain = std::decay_t<Handler>;
            detail::AsyncWaiter<Core, Plain, detail::EndResult<Core>, NoSetting>::start(
                house->head(), std::forward<Handler>(handler), wait, {},
                [&house](Core& head, detail::Waiter& waiter, NoSetting) {
                    // Once it has ended its handler may run, and be the last that knew of it.
                    auto const kept = house;  // NOLINT(performance-unnecessary-copy-initialization)
                    kept->close(detail::Where::on_worker);
                    head.await_end(waiter);
                    return true;
                });
        }
    };

    std::shared_ptr<House> const house_;
};

}  // namespace weir
