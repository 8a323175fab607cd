#pragma once
// SQLite blocks its thread. From a coroutine or a handler it is therefore used on other threads than its own.
// ```
// boost::asio::thread_pool database_threads{4};
// auto conn = co_await pool.async_acquire();
// auto answer = co_await weir::sqlite::async_exec(database_threads.get_executor(), *conn, "SELECT …", 7);
// ```

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <concepts>
#include <exception>
#include <optional>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
#include <weir/adapters/error.hpp>
#include <weir/adapters/sqlite.hpp>

namespace weir::sqlite {

namespace detail {

template <class Function>
using ResultOf = std::invoke_result_t<Function&, Connection&>;

/// What a call gave, or threw. Made on one thread and told on another.
template <class R>
struct Outcome {
    std::exception_ptr failure{};
    std::optional<R> result{};

    template <class Function>
    void call(Function& function, Connection& conn) {
        result.emplace(function(conn));
    }
    template <class Handler>
    void tell(Handler& handler) {
        std::move(handler)(std::move(failure), result ? std::move(*result) : R{});
    }
};

template <>
struct Outcome<void> {
    std::exception_ptr failure{};

    template <class Function>
    void call(Function& function, Connection& conn) {
        function(conn);
    }
    template <class Handler>
    void tell(Handler& handler) {
        std::move(handler)(std::move(failure));
    }
};

template <class R>
struct Signature {
    using type = void(std::exception_ptr, R);
};
template <>
struct Signature<void> {
    using type = void(std::exception_ptr);
};

template <class Function>
Outcome<ResultOf<Function>> outcome_of(Function& function, Connection& conn, std::stop_source const& stop) {
    boost::system::error_code const cancelled = boost::asio::error::operation_aborted;
    Outcome<ResultOf<Function>> outcome;
    try {
        if (stop.stop_requested()) throw boost::system::system_error{cancelled};
        InterruptOn const until{conn, stop.get_token()};
        outcome.call(function, conn);
    } catch (boost::system::system_error const& error) {
        bool const is_ours = stop.stop_requested() && error.code() == condition(SQLITE_INTERRUPT);
        outcome.failure =
            is_ours ? std::make_exception_ptr(adapters::Error{cancelled, error.what()}) : std::current_exception();
    } catch (...) {
        outcome.failure = std::current_exception();
    }
    return outcome;
}

struct RunInitiation {
    boost::asio::any_io_executor threads;

    template <class Handler, class Function>
    void operator()(Handler&& handler, Connection* conn, Function&& function) const {
        std::stop_source stop;
        auto slot = boost::asio::get_associated_cancellation_slot(handler);
        if (slot.is_connected())
            slot.assign([stop](boost::asio::cancellation_type type) mutable {
                if (type != boost::asio::cancellation_type::none) stop.request_stop();
            });
        auto home = boost::asio::prefer(boost::asio::get_associated_executor(handler, threads),
                                        boost::asio::execution::outstanding_work.tracked);
        boost::asio::post(threads, [stop, slot, home, conn,
                                    handler = std::decay_t<Handler>{std::forward<Handler>(handler)},
                                    function = std::decay_t<Function>{std::forward<Function>(function)}]() mutable {
            auto outcome = outcome_of(function, *conn, stop);
            boost::asio::dispatch(home, [slot, handler = std::move(handler), outcome = std::move(outcome)]() mutable {
                slot.clear();
                outcome.tell(handler);
            });
        });
    }
};

}  // namespace detail

/// Calls `function(conn)` on one of `threads`, which may block: a thread pool of the database's own, with a thread for
/// each connection that may be in use. One trip there and back for all that the function does, a transaction for one.
///
/// Completes with `void(std::exception_ptr, R)`, or `void(std::exception_ptr)` where the function returns nothing, on
/// the handler's associated executor: with what the function returned or threw. When it is cancelled (terminal, partial,
/// total) the statement under way is interrupted, as `InterruptOn` says, and the error is operation_aborted; what a
/// function had done before that is its own to undo.
///
/// The connection, and with it the lease, is in use until it completes. (`deferred` cannot be awaited here before Boost
/// 1.82: Asio's mistake with an exception_ptr and a value.)
template <class Function, class Token = boost::asio::use_awaitable_t<>>
auto async_run(boost::asio::any_io_executor threads, Connection& conn, Function function, Token&& token = {}) {
    using R = detail::ResultOf<Function>;
    return boost::asio::async_initiate<Token, typename detail::Signature<R>::type>(
        detail::RunInitiation{std::move(threads)}, token, &conn, std::move(function));
}

/// As `conn.exec(sql, parameters...)`, on one of `threads`; see `async_run`. Keeps copies of its arguments.
template <std::convertible_to<Parameter>... Parameters>
boost::asio::awaitable<Result> async_exec(boost::asio::any_io_executor threads, Connection& conn, std::string sql,
                                          Parameters const&... parameters) {
    auto exec = [sql = std::move(sql), values = std::vector<Value>{Parameter{parameters}.value()...}](Connection& on) {
        std::vector<Parameter> const views{values.begin(), values.end()};
        return on.exec(sql, views);
    };
    return async_run(std::move(threads), conn, std::move(exec), boost::asio::use_awaitable);
}

}  // namespace weir::sqlite
