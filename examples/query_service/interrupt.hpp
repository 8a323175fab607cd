// Ctrl-C: once to end in order, twice to end at once.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <mutex>

namespace query_service {

/// Listens for SIGINT and SIGTERM on `io`. Thread-safe.
class Interrupt {
public:
    using Clock = std::chrono::steady_clock;

    explicit Interrupt(boost::asio::io_context& io) : signals_(io, SIGINT, SIGTERM) { listen(); }

    bool requested() const {
        std::lock_guard const lock{mutex_};
        return requested_;
    }

    /// Sleeps until the first Ctrl-C, at most until `deadline`. True when there was one.
    bool wait_until(Clock::time_point deadline) const {
        std::unique_lock lock{mutex_};
        return arrived_.wait_until(lock, deadline, [this] { return requested_; });
    }

private:
    /// One Ctrl-C may arrive twice: timeout(1), for one, signals a process and then the group it is in.
    static constexpr std::chrono::milliseconds echo{300};

    void listen() {
        signals_.async_wait([this](boost::system::error_code error, int signal) {
            if (error) {
                return;
            }
            {
                std::lock_guard const lock{mutex_};
                auto const now = Clock::now();
                if (requested_ && now - first_ > echo) {
                    std::_Exit(128 + signal);  // what a shell reports for a signal
                }
                first_ = requested_ ? first_ : now;
                requested_ = true;
            }
            arrived_.notify_all();
            listen();
        });
    }

    boost::asio::signal_set signals_;
    mutable std::mutex mutex_;  // protects the two below
    mutable std::condition_variable arrived_;
    bool requested_ = false;
    Clock::time_point first_;
};

}  // namespace query_service
