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
    explicit Interrupt(boost::asio::io_context& io) : signals_(io, SIGINT, SIGTERM) { listen(); }

    bool requested() const {
        std::lock_guard const lock{mutex_};
        return requested_;
    }

    /// Sleeps until the first Ctrl-C, at most until `deadline`. True when there was one.
    bool wait_until(std::chrono::steady_clock::time_point deadline) const {
        std::unique_lock lock{mutex_};
        return arrived_.wait_until(lock, deadline, [this] { return requested_; });
    }

private:
    void listen() {
        signals_.async_wait([this](boost::system::error_code error, int signal) {
            if (error) {
                return;
            }
            {
                std::lock_guard const lock{mutex_};
                if (requested_) {
                    std::_Exit(128 + signal);  // what a shell reports for a signal
                }
                requested_ = true;
            }
            arrived_.notify_all();
            listen();
        });
    }

    boost::asio::signal_set signals_;
    mutable std::mutex mutex_;  // protects requested_
    mutable std::condition_variable arrived_;
    bool requested_ = false;
};

}  // namespace query_service
