#pragma once
// A pool of each store whose races a test decides: see weir/testing/interleave.hpp.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"
#include "support/points.hpp"
#include "support/waiters.hpp"

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <gtest/gtest.h>
#include <optional>
#include <thread>

namespace weir::test {

template <class Store>
struct Interleaved : ::testing::Test {
    using Pool = FakePool<Store, testing::Interleave>;

    FakeConnector connector;
    Points points;
    boost::asio::io_context io;

    auto options(std::size_t high, std::optional<std::size_t> max_waiters = std::nullopt) const {
        return typename Pool::Options{.size = {.high = high, .max_waiters = max_waiters}, .trace = points.trace()};
    }

    /// On another thread, as a rival would.
    template <class Action>
    static void elsewhere(Action action) {
        std::thread{action}.join();
    }

    static void until(std::chrono::steady_clock::time_point time) { std::this_thread::sleep_until(time); }
};

}  // namespace weir::test
