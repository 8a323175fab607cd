#pragma once
// A session of a PostgreSQL server.

#include <libpq-fe.h>

#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <weir/adapters/hangup_watch.hpp>
#include <weir/adapters/libpq_address.hpp>
#include <weir/adapters/libpq_cancel.hpp>
#include <weir/adapters/libpq_result.hpp>
#include <weir/adapters/session_settings.hpp>
#include <weir/adapters/socket.hpp>

namespace weir::libpq {

/// How an idle connection is looked at.
enum class Check : std::uint8_t {
    /// One look at the socket, without a round trip. Sees that the server has ended the session, not that it hangs or
    /// that the network is gone: for that set `keepalives_idle` and `tcp_user_timeout` in the connection string.
    passive,
    /// The server answers an empty query.
    round_trip
};

struct Options {
    /// A URI (`postgresql://…`) or `keyword=value …`, as libpq reads them. `connect_timeout` in it is not used: the
    /// pool's connect policy has one.
    std::string conninfo;
    /// Keywords that overrule those of `conninfo`.
    std::vector<std::pair<std::string, std::string>> parameters{};
    Check check = Check::passive;
    /// How long `query`, which blocks, waits for an answer; then the connection is spoiled. Coroutines wait until they
    /// are cancelled.
    std::chrono::milliseconds query_timeout = std::chrono::seconds{30};
};

/// The same. Throws `std::invalid_argument` that names what is wrong.
inline Options validated(Options options) {
    detail::Address const checked{options.conninfo, options.parameters};
    if (options.query_timeout <= options.query_timeout.zero() || options.query_timeout > adapters::longest_timeout)
        throw std::invalid_argument{"weir: libpq::Options::query_timeout must be above zero, and at most a year"};
    return options;
}

/// A session of a PostgreSQL server. Movable; an empty one (moved from) may only be destroyed or assigned to.
///
/// Distinct objects: safe. Shared objects: unsafe; a lease is one user's. Errors are thrown as
/// `boost::system::system_error` with a SQLSTATE (`sqlstate("23505") == error.code()`) and the server's text.
///
/// After an error of the server the session is fit to go on, in a failed transaction if it was in one. After a lost
/// connection, a timeout or a cancellation it is not (`fit()` is false); what it was doing goes on in the server until
/// `stop` or its own end.
class Connection {
public:
    using Settings = adapters::SessionSettings;

    /// Runs a statement with `parameters` for `$1`, `$2`… and takes its whole answer. Without parameters it may be
    /// several statements, separated by semicolons; of their answers the last is returned.
    ///
    /// Blocks. Throws Errc::timed_out after `query_timeout`.
    Result query(std::string const& sql, Parameters const& parameters = {});

    /// The same with the parameters one by one: `query("SELECT $1::int + $2", 1, 2)`.
    template <class... Values>
        requires(sizeof...(Values) > 0)
    Result query(std::string const& sql, Values const&... values) {
        return query(sql, Parameters{std::in_place, values...});
    }

    /// The same without blocking, on the executor of the coroutine. Throws operation_aborted when it is cancelled
    /// (terminal, partial). Arguments are copied.
    boost::asio::awaitable<Result> async_query(std::string sql, Parameters parameters = {});

    template <class... Values>
        requires(sizeof...(Values) > 0)
    boost::asio::awaitable<Result> async_query(std::string sql, Values const&... values) {
        return async_query(std::move(sql), Parameters{std::in_place, values...});
    }

    /// Connected, in no transaction and waiting for no answer: fit for the next user. Looks at memory only.
    bool fit() const noexcept {
        return !*dismissed_ && !hangup_.heard() && PQtransactionStatus(conn_.get()) == PQTRANS_IDLE &&
               PQpipelineStatus(conn_.get()) == PQ_PIPELINE_OFF;
    }

    /// `fit`, after a look at what has come meanwhile: a server that ended the session has said so. Does not wait.
    bool alive() noexcept {
        while (look_at_socket() != adapters::SocketState::quiet)
            if (PQconsumeInput(conn_.get()) == 0) return false;
        PQisBusy(conn_.get());  // hears what has come
        return fit();
    }

    /// Whether an answer is under way.
    bool busy() const noexcept { return PQtransactionStatus(conn_.get()) == PQTRANS_ACTIVE; }

    /// Asks the server to stop what it is doing for this session. Does not wait for that: a thread in the background
    /// does, also when the session is closed.
    void stop() { detail::cancel_in_background(conn_.get()); }

    /// For what is not here: COPY, pipelines, notifications, statements that are prepared. It is in non-blocking mode.
    /// Its notice receiver is weir's, which drops notices.
    PGconn* native_handle() const noexcept { return conn_.get(); }

    /// From now on the pool is told when the server ends the session while it lies idle.
    void watch(Evictor const& evictor) { hangup_ = adapters::HangupWatch{PQsocket(conn_.get()), evictor}; }

    /// Waits for its socket, for who uses the handle.
    boost::asio::awaitable<void> async_wait(adapters::SocketWaiter::Event event) {
        // One that was opened by a thread watches for as long as it must: whose context outlives it is not known.
        if (waiter_) {
            co_await waiter_->async_wait(event);
        } else {
            adapters::SocketWaiter waiter{co_await boost::asio::this_coro::executor, PQsocket(conn_.get())};
            co_await waiter.async_wait(event);
        }
    }

    /// Opens one, and blocks until that is done. Throws Errc::timed_out after `deadline`.
    static Connection open(Options const& options, std::chrono::steady_clock::time_point deadline);

    /// Opens one whose socket is watched by the context of `executor`. Cancelled: it is abandoned.
    static boost::asio::awaitable<Connection> async_open(Options const& options, boost::asio::any_io_executor executor);

private:
    friend class ResettingConnector;

    struct Finish {
        // Says goodbye and waits for nothing, as the connection does not block.
        void operator()(PGconn* conn) const noexcept { PQfinish(conn); }
    };

    Connection(detail::Address const& address, std::chrono::milliseconds query_timeout)
        : conn_{address.start()}, query_timeout_{query_timeout} {
        // With the SQLSTATE, which libpq keeps to itself while there is no result to hold it.
        PQsetErrorVerbosity(conn_.get(), PQERRORS_VERBOSE);
        PQsetNoticeReceiver(conn_.get(), &hear, dismissed_.get());
    }

    // Notices are for nobody, but for the one by which a server takes its leave of an idle session: it comes before the
    // socket's end does.
    static void hear(void* dismissed, PGresult const* notice) {
        char const* const severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
        if (severity != nullptr && (severity == std::string_view{"FATAL"} || severity == std::string_view{"PANIC"}))
            *static_cast<bool*>(dismissed) = true;
    }

    PostgresPollingStatusType first_poll() const noexcept {
        return PQstatus(conn_.get()) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    }

    void opened(PostgresPollingStatusType poll) {
        if (poll != PGRES_POLLING_OK) throw detail::connect_failure(PQerrorMessage(conn_.get()));
        if (PQsetnonblocking(conn_.get(), 1) != 0) throw lost();
        PQsetErrorVerbosity(conn_.get(), PQERRORS_DEFAULT);
    }

    boost::system::system_error lost() const { return detail::failure("08006", PQerrorMessage(conn_.get())); }

    adapters::SocketState look_at_socket() const noexcept { return adapters::look_at(PQsocket(conn_.get())); }

    void send(std::string const& sql, Parameters const& parameters) {
        auto const values = parameters.pointers();
        int const sent = values.empty() ? PQsendQuery(conn_.get(), sql.c_str())
                                        : PQsendQueryParams(conn_.get(), sql.c_str(), static_cast<int>(values.size()),
                                                            nullptr, values.data(), nullptr, nullptr, 0);
        if (sent == 0) throw lost();
    }

    // What could not be written at once is written when the socket can take more. The server reads a whole statement
    // before it answers, so it cannot be waiting for us to read meanwhile.
    bool flushed() {
        int const left = PQflush(conn_.get());
        if (left < 0) throw lost();
        return left == 0;
    }

    struct Answer {
        Result last{};
        Result error{};
    };

    // Takes what is there; true when the answer is whole.
    bool collect(Answer& answer) {
        while (PQisBusy(conn_.get()) == 0)
            if (!take(answer)) return true;
        return false;
    }

    // Reads what has come; true when the answer is whole.
    bool receive(Answer& answer) {
        if (PQconsumeInput(conn_.get()) != 0) return collect(answer);
        // Lost, but the server may have said why before it went.
        while (take(answer)) {
        }
        if (answer.error.native_handle() == nullptr) throw lost();
        return true;
    }

    // The next part of the answer; false when there is no more. Waits when it has not come yet.
    bool take(Answer& answer) {
        Result result{PQgetResult(conn_.get())};
        switch (PQresultStatus(result.native_handle())) {
            case PGRES_COPY_IN:
            case PGRES_COPY_OUT:
            case PGRES_COPY_BOTH: throw detail::failure("0A000", "weir: COPY goes by native_handle()");
            case PGRES_BAD_RESPONSE:
            case PGRES_FATAL_ERROR:
                // That of no result at all, too.
                if (result.native_handle() == nullptr) return false;
                if (answer.error.native_handle() == nullptr) answer.error = std::move(result);
                return true;
            default: answer.last = std::move(result); return true;
        }
    }

    Result result_of(Answer& answer) const {
        PGresult* const error = answer.error.native_handle();
        if (error == nullptr) return std::move(answer.last);
        char const* const state = PQresultErrorField(error, PG_DIAG_SQLSTATE);
        throw detail::failure(state != nullptr ? state : "08006", PQresultErrorMessage(error));
    }

    std::unique_ptr<bool> dismissed_ = std::make_unique<bool>(false);  // where it stays when this is moved
    std::unique_ptr<PGconn, Finish> conn_;
    std::optional<adapters::SocketWaiter> waiter_;  // of one that a coroutine opened
    adapters::HangupWatch hangup_{};
    std::chrono::milliseconds query_timeout_;
    Settings settings_{};  // where they are to be made again after every lease
};

inline Result Connection::query(std::string const& sql, Parameters const& parameters) {
    auto const deadline = std::chrono::steady_clock::now() + query_timeout_;
    send(sql, parameters);
    while (!flushed()) adapters::wait_for(PQsocket(conn_.get()), POLLOUT, deadline);
    Answer answer;
    for (bool whole = collect(answer); !whole; whole = receive(answer))
        adapters::wait_for(PQsocket(conn_.get()), POLLIN, deadline);
    return result_of(answer);
}

inline boost::asio::awaitable<Result> Connection::async_query(std::string sql, Parameters parameters) {
    send(sql, parameters);
    while (!flushed()) co_await async_wait(adapters::SocketWaiter::write);
    Answer answer;
    for (bool whole = collect(answer); !whole; whole = receive(answer))
        co_await async_wait(adapters::SocketWaiter::read);
    co_return result_of(answer);
}

inline Connection Connection::open(Options const& options, std::chrono::steady_clock::time_point deadline) {
    Connection conn{detail::Address{options.conninfo, options.parameters}, options.query_timeout};
    auto poll = conn.first_poll();
    while (poll == PGRES_POLLING_READING || poll == PGRES_POLLING_WRITING) {
        adapters::wait_for(PQsocket(conn.conn_.get()), poll == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline);
        poll = PQconnectPoll(conn.conn_.get());
    }
    conn.opened(poll);
    return conn;
}

inline boost::asio::awaitable<Connection> Connection::async_open(Options const& options,
                                                                 boost::asio::any_io_executor executor) {
    detail::Address address{options.conninfo, options.parameters};
    co_await address.resolve();
    Connection conn{address, options.query_timeout};
    auto poll = conn.first_poll();
    while (poll == PGRES_POLLING_READING || poll == PGRES_POLLING_WRITING) {
        // Watched anew at every step: libpq moves on to another socket when an address does not answer.
        adapters::SocketWaiter waiter{executor, PQsocket(conn.conn_.get())};
        co_await waiter.async_wait(poll == PGRES_POLLING_READING ? waiter.read : waiter.write);
        poll = PQconnectPoll(conn.conn_.get());
    }
    conn.opened(poll);
    conn.waiter_.emplace(executor, PQsocket(conn.conn_.get()));
    co_return conn;
}

}  // namespace weir::libpq
