#pragma once
// What most tests begin with: a pool of fake connections.

#include "support/cpus.hpp"

#include <gtest/gtest.h>
#include <type_traits>
#include <weir/pool.hpp>
#include <weir/testing/fake_connector.hpp>

namespace weir::test {

using namespace std::chrono_literals;

using testing::FakeConn;
using testing::FakeConnector;
using testing::Gate;
using testing::Hook;

template <class... Policies>
using FakePool = Pool<FakeConn, Policies...>;

/// Every store, for what must not depend on the order of idle resources.
using Stores = ::testing::Types<TaggedStack, LockedStack, LockedQueue, PerCpu<TaggedStack>>;

/// Whether it lends the longest idle first.
template <class Store>
inline constexpr bool is_queue = std::is_same_v<Store, LockedQueue> || std::is_same_v<Store, PerCpu<LockedQueue>>;

/// Long enough for whatever must happen, short enough for a test that fails.
inline constexpr auto generous = std::chrono::seconds{20};

}  // namespace weir::test
