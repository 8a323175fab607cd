#pragma once
// The one check of rule Z, at the end of every test that opened something.

#include <gtest/gtest.h>
#include <weir/stats.hpp>
#include <weir/testing/fake_connector.hpp>

namespace weir::test {

inline std::uint64_t closes(Stats const& stats) {
    return stats.closed_idle + stats.closed_age + stats.closed_unhealthy + stats.closed_discarded +
           stats.closed_excess + stats.closed_stale + stats.closed_drained;
}

/// What holds in every snapshot, under any load.
inline void expect_consistent(Stats const& stats) {
    EXPECT_EQ(stats.open, stats.connecting + stats.idle + stats.leased + stats.closing);
    EXPECT_LE(stats.open, stats.high);
}

/// Rule Z, as far as the connector sees it: everything opened was closed once and destroyed once, and never had two
/// owners at a time.
inline void expect_settled(testing::FakeConnector const& connector) { EXPECT_EQ(connector.complaint(), ""); }

/// Rule Z: closes the pool, whose leases must be gone, and finds nothing left.
template <class Pool>
void expect_drained(Pool& pool, testing::FakeConnector const& connector) {
    EXPECT_TRUE(pool.close(std::chrono::seconds{20}));
    auto const stats = pool.stats();
    EXPECT_EQ(stats.open, 0u);
    EXPECT_EQ(stats.connecting, 0u);
    EXPECT_EQ(stats.idle, 0u);
    EXPECT_EQ(stats.leased, 0u);
    EXPECT_EQ(stats.closing, 0u);
    EXPECT_EQ(stats.waiting, 0u);
    EXPECT_EQ(stats.connected, closes(stats) + stats.detached);
    expect_settled(connector);
}

}  // namespace weir::test
