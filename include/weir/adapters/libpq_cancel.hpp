#pragma once
// How a PostgreSQL server is asked to stop what a session is doing.

#include <libpq-fe.h>

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>

namespace weir::libpq::detail {

/// The request goes to the server by a connection of its own. libpq can only block for it, so threads that are kept for
/// the purpose do that: at most four, and the fifth request waits for them. Nobody is told how it went, and the session
/// may be closed meanwhile.
///
/// A server that hangs holds them up for as long as libpq waits; `tcp_user_timeout` in the connection string bounds it.
inline void cancel_in_background(PGconn* conn) {
    // Never ended: what they wait for might never come, and a program's end is not to wait for it.
    static auto& threads = *new boost::asio::thread_pool{4};
    std::shared_ptr<PGcancel> const request{PQgetCancel(conn), &PQfreeCancel};
    boost::asio::post(threads, [request] {
        std::array<char, 256> why_not{};
        PQcancel(request.get(), why_not.data(), why_not.size());
    });
}

}  // namespace weir::libpq::detail
