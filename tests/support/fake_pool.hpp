#pragma once
// What most tests begin with: a pool of fake connections.

#include <gtest/gtest.h>
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
using Stores = ::testing::Types<TaggedStack, LockedStack, LockedQueue, PerCpu<TaggedStack>, PerCpu<LockedQueue>>;

/// Long enough for whatever must happen, short enough for a test that fails.
inline constexpr auto generous = std::chrono::seconds{20};

}  // namespace weir::test
