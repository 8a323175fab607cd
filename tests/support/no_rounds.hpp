#pragma once
// A pool that is swept by its test and by nobody else.

#include "support/eventually.hpp"

#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <gtest/gtest.h>
#include <thread>
#include <utility>

namespace weir::test {

/// Holds up the thread that rings for a pool's rounds of maintenance, until the pool closes or this ends.
///
/// Rounds come by the steady clock, also where ages go by another. On a slow machine one may come between any two steps
/// of a test, and what it takes is closed by a worker some time later.
///
/// To be made before the pool has anything. It counts as one wait that timed out.
template <class Pool>
class NoRounds {
public:
    explicit NoRounds(Pool& pool) : pool_{pool} {
        auto const high = pool.stats().high;
        pool.resize(0);
        // The time of handlers is up when that thread says so, and it says so by the handler's executor.
        pool.async_acquire_for(std::chrono::milliseconds{1},
                               boost::asio::bind_executor(Held{this}, [](boost::system::error_code, auto const&) {}));
        EXPECT_TRUE(eventually([this] { return holds_.load(); }));
        pool.resize(high);
    }
    NoRounds(NoRounds const&) = delete;
    NoRounds& operator=(NoRounds const&) = delete;
    ~NoRounds() { ends_ = true; }

private:
    struct Held {
        NoRounds* by;
        std::thread::id user = std::this_thread::get_id();

        template <class Function>
        void execute(Function function) const {
            boost::asio::post(by->never_run_, std::move(function));
            if (std::this_thread::get_id() == user) return;
            by->holds_ = true;
            while (!by->ends_ && !by->pool_.closed()) std::this_thread::sleep_for(std::chrono::microseconds{100});
        }
        boost::asio::io_context& query(boost::asio::execution::context_t) const noexcept { return by->never_run_; }
        static constexpr boost::asio::execution::blocking_t query(boost::asio::execution::blocking_t) noexcept {
            return boost::asio::execution::blocking.never;
        }
        bool operator==(Held const&) const noexcept = default;
    };

    Pool& pool_;
    std::atomic<bool> holds_{false};
    std::atomic<bool> ends_{false};
    boost::asio::io_context never_run_;  // ends first, when that thread is back
};

}  // namespace weir::test
