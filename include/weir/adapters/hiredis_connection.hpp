#pragma once
// A connection to a Redis server.

#include <hiredis/hiredis.h>
#include <sys/socket.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>
#include <weir/adapters/hangup_watch.hpp>
#include <weir/adapters/hiredis_pipeline.hpp>
#include <weir/adapters/hiredis_reply.hpp>
#include <weir/adapters/socket.hpp>

namespace weir::hiredis {

/// A connection to a Redis server. Movable; an empty one (moved from) may only be destroyed or assigned to.
///
/// Distinct objects: safe. Shared objects: unsafe; a lease is one user's. Errors are thrown as
/// `boost::system::system_error`: the server's refusals as `Errc`, with its own words in `what()`; a lost connection as
/// `boost::asio::error::eof` or what the operating system says.
///
/// After a refusal the connection is as good as before. After a lost connection, a timeout or a cancellation it is not
/// (`fit()` is false), as the reply of one command would be taken for that of another.
class Connection {
public:
    using duration = std::chrono::steady_clock::duration;
    using time_point = std::chrono::steady_clock::time_point;

    /// Runs a command and returns its reply: `conn.command("SET", key, value, "EX", 60)`. Words are strings, with any
    /// bytes in them, and numbers.
    ///
    /// Blocks. Throws weir::Errc::timed_out after the option `command_timeout`, and what the server refuses.
    template <class... Words>
    Reply command(Words const&... words) {
        return command_for(command_timeout_, words...);
    }
    /// The same with a time of its own, as for BLPOP.
    template <class... Words>
    Reply command_for(duration patience, Words const&... words) {
        Pipeline one;
        one.add(words...);
        return only(pipeline_for(patience, std::move(one)));
    }

    /// Runs commands in one round trip and returns a reply to each, in order. Those that the server refuses are errors
    /// among the replies.
    std::vector<Reply> pipeline(Pipeline commands) { return pipeline_for(command_timeout_, std::move(commands)); }
    std::vector<Reply> pipeline_for(duration patience, Pipeline commands) {
        return pipeline_until(std::chrono::steady_clock::now() + patience, std::move(commands));
    }
    std::vector<Reply> pipeline_until(time_point deadline, Pipeline commands) {
        Exchange exchange{*this, std::move(commands)};
        for (auto wants = exchange.go_on(); wants != Wants::nothing; wants = exchange.go_on())
            adapters::wait_for(conn_->fd, wants == Wants::to_read ? POLLIN : POLLOUT, deadline);
        return exchange.end();
    }

    /// As `command`, without blocking, on the executor of the coroutine. Waits until it is cancelled (terminal,
    /// partial): then it throws operation_aborted, and the server may or may not have run the command. Words are copied.
    template <class... Words>
    boost::asio::awaitable<Reply> async_command(Words const&... words) {
        Pipeline one;
        one.add(words...);
        return async_one(std::move(one));
    }

    /// As `pipeline`, without blocking.
    boost::asio::awaitable<std::vector<Reply>> async_pipeline(Pipeline commands) {
        Exchange exchange{*this, std::move(commands)};
        for (auto wants = exchange.go_on(); wants != Wants::nothing; wants = exchange.go_on())
            co_await async_wait(wants == Wants::to_read ? adapters::SocketWaiter::read : adapters::SocketWaiter::write);
        co_return exchange.end();
    }

    /// Connected, owed no reply, and in the state in which it was opened, as far as its own commands tell: in no
    /// transaction, watching and subscribed to nothing, with the database, name and user that it had. Looks at memory
    /// only, and does not know what was done by `native_handle()`.
    bool fit() const noexcept {
        return conn_ && conn_->err == 0 && !busy_ && !hangup_.heard() && state_.clean() &&
               conn_->reader->pos == conn_->reader->len;
    }

    /// `fit`, after a look whether the server has hung up. Does not wait, and reads nothing: a server says nothing that
    /// it was not asked for, so whatever has come is a bad sign.
    bool alive() const noexcept { return fit() && adapters::look_at(conn_->fd) == adapters::SocketState::quiet; }

    /// For what is not here. It does not block, and its own functions for writing raise SIGPIPE when the server has
    /// hung up. `discard` the lease after what leaves a trace.
    redisContext* native_handle() const noexcept { return conn_.get(); }

    /// From now on the pool is told when the server hangs up while it lies idle.
    void watch(Evictor const& evictor) { hangup_ = adapters::HangupWatch{conn_->fd, evictor}; }

    /// Waits for its socket, for who uses the handle.
    boost::asio::awaitable<void> async_wait(adapters::SocketWaiter::Event event) {
        // One that was opened by a thread watches for as long as it must: whose context outlives it is not known.
        if (waiter_) {
            co_await waiter_->async_wait(event);
        } else {
            adapters::SocketWaiter waiter{co_await boost::asio::this_coro::executor, conn_->fd};
            co_await waiter.async_wait(event);
        }
    }

    /// Where a server may be.
    using Endpoints = std::vector<boost::asio::ip::tcp::endpoint>;

    /// Connects to the first of these that accepts, without a word to the server. Throws weir::Errc::timed_out after
    /// `deadline`, or what was wrong with the last.
    static Connection open(Endpoints const& servers, time_point deadline, duration command_timeout) {
        for (std::size_t i = 0;; ++i) {
            try {
                Connection conn{servers.at(i), command_timeout};
                adapters::wait_for(conn.conn_->fd, POLLOUT, deadline);
                conn.connected();
                return conn;
            } catch (boost::system::system_error const&) {
                if (i + 1 == servers.size()) throw;
            }
        }
    }

    /// The same without blocking. Its socket is watched by the context of `executor`.
    static boost::asio::awaitable<Connection> async_open(Endpoints servers, boost::asio::any_io_executor executor,
                                                         duration command_timeout) {
        for (std::size_t i = 0;; ++i) {
            try {
                Connection conn{servers.at(i), command_timeout};
                conn.waiter_.emplace(executor, conn.conn_->fd);
                co_await conn.waiter_->async_wait(adapters::SocketWaiter::write);
                conn.connected();
                co_return conn;
            } catch (boost::system::system_error const& error) {
                bool const cancelled = error.code() == boost::asio::error::operation_aborted;
                if (cancelled || i + 1 == servers.size()) throw;
            }
        }
    }

    /// Takes the session for what it was opened as, whatever its commands have done: after those that made it so.
    void settle() noexcept { state_ = {}; }

private:
    enum class Wants : std::uint8_t { nothing, to_read, to_write };

    /// One round trip. Does what can be done without waiting, and says what has to be waited for.
    class Exchange {
    public:
        Exchange(Connection& conn, Pipeline&& commands) : conn_{conn}, commands_{std::move(commands)} {
            if (!conn.conn_ || conn.conn_->err != 0 || conn.busy_)
                throw boost::system::system_error{Errc::unusable, "weir: hiredis::Connection"};
            replies_.reserve(commands_.size());
            conn.busy_ = true;  // until `end`: whatever prevents that spoils the connection
        }

        Wants go_on() {
            if (!written()) return Wants::to_write;
            if (replies_.size() == commands_.size()) return Wants::nothing;
            // Nobody answers at once.
            if (!std::exchange(has_waited_, true)) return Wants::to_read;
            while (read()) {
                while (take_reply())
                    if (replies_.size() == commands_.size()) return Wants::nothing;
            }
            return Wants::to_read;
        }

        std::vector<Reply> end() {
            conn_.busy_ = false;
            return std::move(replies_);
        }

    private:
        // Not by hiredis, whose write ends a program that does not ignore SIGPIPE.
        bool written() {
            while (sent_ != commands_.bytes_.size()) {
                auto const count = ::send(conn_.conn_->fd, commands_.bytes_.data() + sent_,
                                          commands_.bytes_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (count >= 0) {
                    sent_ += static_cast<std::size_t>(count);
                } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
                    return false;
                } else if (errno != EINTR) {
                    // It may have said why before it hung up.
                    has_waited_ = true;
                    lost_ = {errno, boost::system::system_category()};
                    return true;
                }
            }
            return true;
        }

        bool read() {
            redisContext* const context = conn_.conn_.get();
            auto const before = context->reader->len;
            if (redisBufferRead(context) != REDIS_OK) lose(failure(context).code());
            if (context->reader->len != before) return true;
            if (lost_) lose(lost_);
            return false;
        }

        bool take_reply() {
            void* raw = nullptr;
            redisContext* const context = conn_.conn_.get();
            if (redisGetReplyFromReader(context, &raw) != REDIS_OK) throw failure(context);
            if (raw == nullptr) return false;
            Reply reply{raw};
            conn_.state_.take(commands_.effects_[replies_.size()], reply.error());
            replies_.push_back(std::move(reply));
            return true;
        }

        // The server's last words, if they say why it hung up, tell more than that it did.
        [[noreturn]] void lose(boost::system::error_code ec) const {
            if (!replies_.empty()) {
                auto const last = replies_.back().error();
                if (last == Errc::too_many_clients || last == Errc::protected_mode) replies_.back().throw_error();
            }
            throw boost::system::system_error{ec, "weir: the connection to the Redis server is lost"};
        }

        Connection& conn_;
        Pipeline commands_;
        std::size_t sent_ = 0;
        bool has_waited_ = false;
        boost::system::error_code lost_{};
        std::vector<Reply> replies_;
    };

    struct Free {
        void operator()(redisContext* context) const noexcept { redisFree(context); }
    };

    Connection(boost::asio::ip::tcp::endpoint const& server, duration command_timeout)
        : conn_{redisConnectNonBlock(server.address().to_string().c_str(), server.port())},
          command_timeout_{command_timeout} {
        if (!conn_) throw std::bad_alloc{};
        if (conn_->err != 0) throw failure(conn_.get());
    }

    void connected() const {
        int error = 0;
        socklen_t size = sizeof error;
        if (::getsockopt(conn_->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
        if (error != 0) throw boost::system::system_error{error, boost::system::system_category(), "connect"};
        redisEnableKeepAlive(conn_.get());
        if (conn_->err != 0) throw failure(conn_.get());
    }

    // To be called at once, while `errno` is still what it was about.
    static boost::system::system_error failure(redisContext const* context) {
        int const number = errno;
        std::string const text = std::string{"hiredis: "} + context->errstr;
        switch (context->err) {
            case REDIS_ERR_EOF: return {boost::asio::error::eof, text};
            case REDIS_ERR_IO: return {{number, boost::system::system_category()}, text};
            case REDIS_ERR_OOM: return {make_error_code(boost::system::errc::not_enough_memory), text};
            default: return {Errc::not_understood, text};
        }
    }

    static Reply only(std::vector<Reply> replies) {
        replies.front().throw_error();
        return std::move(replies.front());
    }

    boost::asio::awaitable<Reply> async_one(Pipeline one) {
        auto replies = co_await async_pipeline(std::move(one));
        co_return only(std::move(replies));
    }

    std::unique_ptr<redisContext, Free> conn_;
    std::optional<adapters::SocketWaiter> waiter_;  // of one that a coroutine opened
    adapters::HangupWatch hangup_{};
    duration command_timeout_;
    detail::SessionState state_;
    bool busy_ = false;
};

}  // namespace weir::hiredis
