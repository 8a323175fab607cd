// A connection to a PostgreSQL server, through libpq's non-blocking interface.
//
// No thread waits for the server: a coroutine sends, waits for its socket, and reads what has come. Plain threads use
// the same connections and wait for the socket where they are.
#pragma once

#ifdef WEIR_HAVE_LIBPQ

#include <libpq-fe.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "database.hpp"

namespace query_service {

/// What libpq is told to connect with: keywords and values, later ones overruling earlier ones.
using PgParameters = std::vector<std::pair<std::string, std::string>>;

/// An open connection. Movable; for one user at a time, which is what a lease gives. Errors: `system_error`.
class PgConn {
public:
    /// How long the blocking calls wait for the server. Coroutines wait until they are cancelled.
    static constexpr std::chrono::seconds default_patience{5};

    static PgConn open(PgParameters const& parameters);
    /// Its waits run on the coroutine's executor. Cancelled: it is abandoned and closed.
    static boost::asio::awaitable<PgConn> async_open(PgParameters const& parameters);

    Outcome run(Statement const& statement);
    Outcome run_text(std::string const& sql, std::chrono::seconds patience = default_patience);
    boost::asio::awaitable<Outcome> async_run(Statement const& statement);
    boost::asio::awaitable<Outcome> async_run_text(std::string const& sql);

    /// Connected, and in no transaction: fit for the next user.
    bool clean() const noexcept {
        return PQstatus(conn_.get()) == CONNECTION_OK && PQtransactionStatus(conn_.get()) == PQTRANS_IDLE;
    }
    /// The same after a look at what has come meanwhile: a server that has gone has said so.
    bool alive() noexcept;

    std::string describe() const;  ///< without the password
    boost::asio::generic::stream_protocol::endpoint peer() const;
    /// What leads to the same server by a port of this machine.
    PgParameters by_way_of(std::uint16_t port) const;

private:
    using Socket = boost::asio::posix::stream_descriptor;
    struct Finish {
        void operator()(PGconn* conn) const noexcept { PQfinish(conn); }
    };
    struct Answer {
        Outcome outcome;
        std::string error;
    };

    explicit PgConn(PGconn* conn) noexcept : conn_(conn) {}
    static Socket watch(PGconn* conn, boost::asio::any_io_executor const& executor);
    void send(Statement const& statement);
    void send_text(std::string const& sql);
    bool flushed();
    void receive();
    bool collect(Answer& answer);
    void wait_for(short events, std::chrono::steady_clock::time_point deadline);
    Outcome finish(std::chrono::seconds patience);
    boost::asio::awaitable<Outcome> async_finish();

    std::unique_ptr<PGconn, Finish> conn_;
    std::optional<Socket> socket_;  // only of one opened by a coroutine
};

}  // namespace query_service

#endif
