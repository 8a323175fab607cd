#pragma once

#include <chrono>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <weir/pool.hpp>

namespace weir {

namespace detail {

/// What a shared pool is made of: its own store, and `Multiplex` where no policy says how many.
template <class Conn, class... Policies>
struct SharedPoolBase {
    static_assert(!(takes_slot<slot::Settings, Policies>() || ...),
                  "a shared connection has one state for all: list no settings policy with weir::SharedPool");
    static_assert(!(takes_slot<slot::Store, Policies>() || ...),
                  "a shared pool has a store of its own: list none with weir::SharedPool");
    static_assert(
        !PolicySet<SharedStore, Policies...>::Drop::counts_exceptions,
        "a share does not know whose exception it was: list weir::DiscardOnDrop with weir::SharedPool, or none");

    using type = std::conditional_t<(takes_slot<slot::Sizing, Policies>() || ...), Pool<Conn, SharedStore, Policies...>,
                                    Pool<Conn, SharedStore, Multiplex, Policies...>>;
};

}  // namespace detail

/// A pool of few connections, each used by many at once, as HTTP/2, gRPC, AMQP and pipelining protocols allow.
///
/// A lease is a share: who has one has the connection together with others, so `Conn` must be thread-safe, or be used on
/// one strand. `Multiplex` says how many connections, and how many shares of each. With the default, one connection and
/// no bound, the pool is what others call a singleton: opened when it is first wanted, by one connect however many want
/// it, replaced when it has died. All else is as in `Pool`, on the same core, but for this:
///
/// - An acquire gets, in this order: a share of a connection that nobody uses; one of a connection that it opens, if
///   fewer than `connections` are open; one of the connection with the fewest shares out (of more than eight, of the
///   better of two at random); the first share that comes back. Lending and taking back are one exchange each.
/// - A failed connect fails all who wait when there is nothing to share and nothing else on its way. The next acquire tries
///   again. Where there is something to share they get that instead, and further connections are tried for ever less often
///   (10 ms to 5 s, unless the connecting policy says otherwise).
/// - A connection that is discarded, evicted, unfit, too old, or closed by `refresh`, `resize` or its connector's
///   `ConnectContext::streams`, drains: nobody else gets a share, another may be opened in its place at once, and it is
///   closed when its last share is back. Until then it counts as open and leased, but not against `connections`.
/// - `Streams::limit` changes how many may share one connection while it is used.
/// - `Upkeep::max_uses` counts shares; those taken at the very moment of the last one are lent, too.
/// - Idle is what nobody uses: it is expired and checked then, and no acquire gets it meanwhile.
/// - `Lease::detach` throws `std::logic_error`, `recycle` is called while others use the connection, an observer's
///   `released` is told no time, and nothing is overdue.
///
/// There are no settings, as all who share a connection share its state, and there is no store to choose.
/// Throws `std::invalid_argument` on construction for `Fifo::patience` and `Upkeep::overdue_after`, which have no meaning
/// here.
///
/// Distinct objects: safe. Shared objects: safe, but for construction and destruction.
template <class Conn, class... Policies>
class SharedPool : private detail::SharedPoolBase<Conn, Policies...>::type {
    using Base = typename detail::SharedPoolBase<Conn, Policies...>::type;

public:
    using typename Base::duration;
    using typename Base::executor_type;
    using typename Base::Options;
    using typename Base::time_point;
    using typename Base::value_type;
    template <class T>
    using result = typename Base::template result<T>;

    /// As `Pool`.
    template <class Connector>
    explicit SharedPool(Connector connector, Options options = {})
        : Base{fit(std::move(connector)), checked(std::move(options))} {}
    template <class Connector>
    SharedPool(executor_type executor, Connector connector, Options options = {})
        : Base{std::move(executor), fit(std::move(connector)), checked(std::move(options))} {}

    using Base::acquire;
    using Base::async_acquire;
    using Base::async_acquire_for;
    using Base::async_close;
    using Base::async_close_for;
    using Base::async_resize;
    using Base::async_resize_for;
    using Base::close;
    using Base::closed;
    using Base::dump;
    using Base::get_executor;
    using Base::last_connect_failure;
    using Base::lifetime;
    using Base::refresh;
    using Base::resize;
    using Base::stats;
    using Base::sweep;
    using Base::try_acquire;
    using Base::try_acquire_for;
    using Base::try_acquire_until;
    using Base::warm_up;

private:
    template <class Connector>
    static Connector fit(Connector connector) {
        static_assert(
            !detail::recycles_as_task<Connector, Conn>(),
            "a shared connection is recycled while others use it: write bool recycle(Conn&), not an awaitable");
        return connector;
    }

    static Options checked(Options options) {
        if constexpr (requires { options.wait.patience; })
            if (options.wait.patience != options.wait.patience.zero())
                throw std::invalid_argument{"weir: Fifo::patience has no meaning in a SharedPool: it must be 0"};
        auto const overdue_after = options.upkeep.rules().overdue_after;
        if (overdue_after != overdue_after.zero())
            throw std::invalid_argument{"weir: Upkeep::overdue_after has no meaning in a SharedPool: it must be 0"};
        return options;
    }
};

}  // namespace weir
