// SIGUSR1: what the pool is at, for an operator.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/system/error_code.hpp>
#include <csignal>
#include <functional>
#include <iostream>
#include <mutex>
#include <ostream>
#include <sstream>
#include <utility>

namespace query_service {

/// Listens for SIGUSR1 on `io`, and writes to the standard output what is on show then. Thread-safe.
class LiveDump {
public:
    using Write = std::function<void(std::ostream&)>;

    explicit LiveDump(boost::asio::io_context& io) : signals_(io, SIGUSR1) { listen(); }

    /// Puts something on show as long as it lives; its end waits for a dump that is under way.
    class [[nodiscard]] Show {
    public:
        Show(LiveDump& dump, Write write) : dump_(&dump) { dump_->set(std::move(write)); }
        ~Show() { dump_->set({}); }
        Show(Show const&) = delete;
        Show& operator=(Show const&) = delete;

    private:
        LiveDump* dump_;
    };

private:
    void set(Write write) {
        std::lock_guard const lock{mutex_};
        write_ = std::move(write);
    }

    void listen() {
        signals_.async_wait([this](boost::system::error_code error, int) {
            if (error) {
                return;
            }
            std::ostringstream text;
            {
                std::lock_guard const lock{mutex_};
                if (write_) {
                    write_(text);
                }
            }
            std::cout << text.str() << std::flush;  // at once, so that no other line comes in between
            listen();
        });
    }

    boost::asio::signal_set signals_;
    std::mutex mutex_;  // protects write_, and what it writes about
    Write write_;
};

}  // namespace query_service
