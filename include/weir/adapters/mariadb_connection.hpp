#pragma once
// A session of a MariaDB server.

#include <fcntl.h>
#include <mariadb/mysql.h>
#include <poll.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <weir/adapters/hangup_watch.hpp>
#include <weir/adapters/mariadb_exchange.hpp>
#include <weir/adapters/mariadb_handle.hpp>
#include <weir/adapters/mariadb_options.hpp>
#include <weir/adapters/mariadb_result.hpp>
#include <weir/adapters/session_settings.hpp>
#include <weir/adapters/socket.hpp>
#include <weir/connector.hpp>

namespace weir::mariadb {

/// A session of a MariaDB server. Movable; an empty one (moved from) is unfit and may only be destroyed or assigned to.
///
/// Distinct objects: safe. Shared objects: unsafe; a lease is one user's. Errors are thrown as `adapters::Error`, a
/// `system_error`, with the number and the text of the server or of Connector/C: `thrown.code() == error(1062)`.
///
/// After an error of the server the session is fit to go on. After a lost connection, a timeout or a cancellation it is
/// not (`fit()` is false); what it was doing goes on in the server until that finds out or comes to an end: set
/// `max_statement_time`.
class Connection {
public:
    using Settings = adapters::SessionSettings;

    /// Runs a statement with `parameters` for its question marks and takes its whole answer. Of several answers, as of
    /// a CALL, the first that has rows is returned.
    ///
    /// Without parameters it goes as text; with some it is prepared, for this once, which takes a round trip more.
    /// Blocks. Throws Errc::timed_out after `query_timeout`.
    Result query(std::string const& sql, Parameters const& parameters = {}) {
        if (parameters.values().empty()) return complete(detail::TextQuery{native_handle(), sql}).take();
        return complete(detail::PreparedQuery{native_handle(), sql, parameters}).take();
    }

    /// The same with the parameters one by one: `query("SELECT ? + ?", 1, 2)`.
    template <class... Values>
        requires(sizeof...(Values) > 0)
    Result query(std::string const& sql, Values const&... values) {
        return query(sql, Parameters{std::in_place, values...});
    }

    /// The same without blocking, on the executor of the coroutine. Throws operation_aborted when it is cancelled
    /// (terminal, partial). Arguments are copied.
    boost::asio::awaitable<Result> async_query(std::string sql, Parameters parameters = {}) {
        if (parameters.values().empty()) {
            detail::TextQuery text{native_handle(), sql};
            co_await async_complete(text);
            co_return text.take();
        }
        detail::PreparedQuery prepared{native_handle(), sql, parameters};
        co_await async_complete(prepared);
        co_return prepared.take();
    }

    template <class... Values>
        requires(sizeof...(Values) > 0)
    boost::asio::awaitable<Result> async_query(std::string sql, Values const&... values) {
        return async_query(std::move(sql), Parameters{std::in_place, values...});
    }

    /// As a literal, in quotes, for where a statement takes no parameter.
    std::string quoted(std::string_view text) const { return detail::quoted(native_handle(), text); }

    /// Makes settings: session variables, as by SET SESSION; user variables, whose names begin with `@`; and the default
    /// database, under the name `database`. A value that looks like a number is sent as one, all else as text.
    void apply(Settings const& settings) {
        auto const wish = detail::wish(native_handle(), settings);
        if (!wish.assignments.empty()) query(wish.assignments);
        if (wish.database) complete(detail::use(native_handle(), *wish.database));
    }
    boost::asio::awaitable<void> async_apply(Settings const& settings) {
        auto const wish = detail::wish(native_handle(), settings);
        if (!wish.assignments.empty()) co_await async_query(wish.assignments);
        if (!wish.database) co_return;
        auto use = detail::use(native_handle(), *wish.database);
        co_await async_complete(use);
    }

    /// Back to what the session was opened with: COM_RESET_CONNECTION, its character set and its database. A transaction
    /// is rolled back. Throws for a session that was opened without a database and has one now.
    void reset() {
        complete(detail::reset(native_handle()));
        complete(detail::set_charset(native_handle(), charset_));
        if (detail::has_strayed(native_handle(), database_)) complete(detail::use(native_handle(), database_));
    }
    boost::asio::awaitable<void> async_reset() {
        auto reset = detail::reset(native_handle());
        co_await async_complete(reset);
        // Its answer also tells how strings are quoted now, which that of the first does not.
        auto set_charset = detail::set_charset(native_handle(), charset_);
        co_await async_complete(set_charset);
        if (!detail::has_strayed(native_handle(), database_)) co_return;
        auto use = detail::use(native_handle(), database_);
        co_await async_complete(use);
    }

    /// Asks the server whether it is there.
    void ping() { complete(detail::ping(native_handle())); }
    boost::asio::awaitable<void> async_ping() {
        auto ping = detail::ping(native_handle());
        co_await async_complete(ping);
    }

    bool in_transaction() const noexcept { return (native_handle()->server_status & SERVER_STATUS_IN_TRANS) != 0; }

    /// Connected, and waiting for no answer. Looks at memory only.
    bool usable() const noexcept {
        auto const* const mysql = native_handle();
        return mysql && mysql->net.pvio && mysql->status == MYSQL_STATUS_READY &&
               (mysql->server_status & SERVER_MORE_RESULTS_EXIST) == 0;
    }

    /// `usable`, and in no transaction: fit for the next user. Looks at memory only.
    bool fit() const noexcept { return usable() && !hangup_.heard() && !in_transaction(); }

    /// `fit`, after a look at the socket: a server that ends a session closes it, and may say so before. Does not wait.
    bool alive() const noexcept {
        return fit() && adapters::look_at(mysql_get_socket(native_handle())) == adapters::SocketState::quiet;
    }

    /// Has the pool close it when it lies idle and the server hangs up.
    void watch(Evictor const& evictor) {
        hangup_ = adapters::HangupWatch{static_cast<int>(mysql_get_socket(native_handle())), evictor};
    }

    /// For what is not here. It is in non-blocking mode (MYSQL_OPT_NONBLOCK).
    MYSQL* native_handle() const noexcept { return mysql_.get(); }

    /// Opens one, and blocks until that is done. Throws Errc::timed_out after `deadline`. (The library looks up a name
    /// itself, and heeds no deadline there.)
    static Connection open(Options const& options, std::chrono::steady_clock::time_point deadline) {
        Connection conn{options, detail::make_handle(options, deadline)};
        conn.complete(detail::Opening{conn.native_handle(), options}, deadline);
        // Else the library would block for what it reads by TLS, whatever it is asked for.
        int const socket = mysql_get_socket(conn.native_handle());
        if (options.tls) ::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) | O_NONBLOCK);
        return conn;
    }

    /// Opens one, by an address and without TLS (the library would block), whose socket is watched by the context of
    /// `executor`. Cancelled: it is abandoned.
    static boost::asio::awaitable<Connection> async_open(Options options, boost::asio::any_io_executor executor) {
        Connection conn{options, detail::make_handle(options, {})};
        {
            detail::Opening opening{conn.native_handle(), options};
            Running const running{opening};
            for (int event = opening.resume(); event != 0; event = opening.resume()) {
                // Anew each time: the socket may have changed.
                adapters::SocketWaiter waiter{executor, mysql_get_socket(conn.native_handle())};
                co_await waiter.async_wait((event & MYSQL_WAIT_READ) != 0 ? waiter.read : waiter.write);
            }
        }
        conn.waiter_.emplace(executor, mysql_get_socket(conn.native_handle()));
        co_return conn;
    }

private:
    friend class ResettingConnector;

    // Gives up what is still under way at its end.
    class Running {
    public:
        explicit Running(detail::Exchange& exchange) noexcept : exchange_{exchange} {}
        Running(Running const&) = delete;
        Running& operator=(Running const&) = delete;
        ~Running() { exchange_.abandon(); }

    private:
        detail::Exchange& exchange_;
    };

    Connection(Options const& options, detail::Handle mysql)
        : mysql_{std::move(mysql)},
          database_{options.database},
          charset_{options.charset},
          query_timeout_{options.query_timeout} {}

    template <class Exchange>
    Exchange&& complete(Exchange&& exchange) {
        return complete(std::forward<Exchange>(exchange), std::chrono::steady_clock::now() + query_timeout_);
    }
    template <class Exchange>
    Exchange&& complete(Exchange&& exchange, std::chrono::steady_clock::time_point deadline) {
        Running const running{exchange};
        for (int event = exchange.resume(); event != 0; event = exchange.resume())
            adapters::wait_for(mysql_get_socket(native_handle()), (event & MYSQL_WAIT_READ) != 0 ? POLLIN : POLLOUT,
                               deadline);
        return std::forward<Exchange>(exchange);
    }

    boost::asio::awaitable<void> async_complete(detail::Exchange& exchange) {
        Running const running{exchange};
        for (int event = exchange.resume(); event != 0; event = exchange.resume())
            co_await async_wait((event & MYSQL_WAIT_READ) != 0 ? adapters::SocketWaiter::read
                                                               : adapters::SocketWaiter::write);
    }

    boost::asio::awaitable<void> async_wait(adapters::SocketWaiter::Event event) {
        // One that was opened by a thread watches for as long as it must: whose context outlives it is not known.
        if (waiter_) {
            co_await waiter_->async_wait(event);
        } else {
            adapters::SocketWaiter waiter{co_await boost::asio::this_coro::executor, mysql_get_socket(native_handle())};
            co_await waiter.async_wait(event);
        }
    }

    detail::Handle mysql_;
    std::string database_;
    std::string charset_;
    std::chrono::milliseconds query_timeout_;
    Settings settings_{};                             // where they are to be made again after every lease
    std::optional<adapters::SocketWaiter> waiter_{};  // of one that a coroutine opened
    adapters::HangupWatch hangup_{};
};

}  // namespace weir::mariadb
