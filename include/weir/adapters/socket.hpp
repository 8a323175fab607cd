#pragma once
// A socket that belongs to another library: how to wait for it, and how to see that its peer has gone.

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <chrono>
#include <weir/error.hpp>

namespace weir::adapters {

/// What a timeout may be at most, so that it can be added to any time: a year.
inline constexpr std::chrono::milliseconds longest_timeout = std::chrono::hours{365 * 24};

/// What a look at a socket tells that nobody is reading from.
enum class SocketState {
    quiet,     ///< open as far as is known here, and nothing has come
    readable,  ///< something has come that nobody has read
    closed     ///< the peer has closed or reset it, or it is no socket
};

/// Looks without reading and without waiting: one system call. A peer that has vanished without a word (a cut cable, a
/// lost virtual machine) looks quiet; only keep-alive or a round trip finds that out.
inline SocketState look_at(int socket) noexcept {
    char byte{};
    auto const got = ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got > 0) return SocketState::readable;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return SocketState::quiet;
    return SocketState::closed;
}

/// Waits for a socket that another library opened, reads, writes and closes.
///
/// Distinct objects: safe. Shared objects: unsafe.
class SocketWaiter {
public:
    using Event = boost::asio::posix::stream_descriptor::wait_type;
    static constexpr auto read = boost::asio::posix::stream_descriptor::wait_read;
    static constexpr auto write = boost::asio::posix::stream_descriptor::wait_write;

    /// Watches on the context of `executor`. Throws `system_error` when there is no descriptor left.
    ///
    /// It has a descriptor of its own for the same socket: the other library closes its own when it likes, and a number
    /// closed behind the reactor's back may by then belong to somebody else.
    SocketWaiter(boost::asio::any_io_executor const& executor, int socket) : watched_{executor, copy_of(socket)} {}

    /// Completes when `event` has come, or is seen to never come. Throws `system_error`: operation_aborted when
    /// cancelled (terminal, partial, total).
    boost::asio::awaitable<void> async_wait(Event event) {
        return watched_.async_wait(event, boost::asio::use_awaitable);
    }

private:
    static int copy_of(int socket) {
        int const copy = ::fcntl(socket, F_DUPFD_CLOEXEC, 0);
        if (copy >= 0) return copy;
        boost::system::error_code const why{errno, boost::system::system_category()};
        throw boost::system::system_error{why, "weir: cannot watch the connection's socket"};
    }

    boost::asio::posix::stream_descriptor watched_;
};

/// Waits on this thread until `event` (POLLIN, POLLOUT) comes. Throws `system_error`: Errc::timed_out
/// after `deadline`.
inline void wait_for(int socket, short events, std::chrono::steady_clock::time_point deadline) {
    using std::chrono::milliseconds;
    for (;;) {
        auto const left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd watched{.fd = socket, .events = events, .revents = 0};
        auto const patience = std::clamp<milliseconds::rep>(left.count(), 0, 1'000'000);
        int const ready = ::poll(&watched, 1, static_cast<int>(patience));
        if (ready > 0) return;
        if (ready < 0 && errno != EINTR)
            throw boost::system::system_error{errno, boost::system::system_category(), "poll"};
        if (left <= milliseconds{0}) throw boost::system::system_error{make_error_code(Errc::timed_out)};
    }
}

}  // namespace weir::adapters
