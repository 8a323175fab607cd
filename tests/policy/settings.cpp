// Which resources are interchangeable: all of them, with NoSettings.

#include "support/fake_pool.hpp"
#include "support/ownership.hpp"

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <gtest/gtest.h>
#include <type_traits>
#include <weir/policy/settings.hpp>

namespace weir::test {
namespace {

static_assert(std::is_same_v<NoSettings::policy_slot, slot::Settings>);
static_assert(std::is_same_v<FakePool<>::Setting, NoSetting>);

template <class Pool>
concept TakesASetting = requires(Pool& pool, typename Pool::Setting const& setting) {
    pool.acquire(setting);
    pool.try_acquire(setting);
    pool.try_acquire_for(1s, setting);
    pool.try_acquire_until(std::chrono::steady_clock::time_point{}, setting);
};

template <class Pool>
void expect_to_take_a_setting() {
    if constexpr (!TakesASetting<Pool>) {
        FAIL() << "no acquire takes a setting as its last argument but the token";
    } else {
        FakeConnector connector;
        boost::asio::io_context io;
        Pool pool{io.get_executor(), connector, {.size = {.high = 1}}};
        typename Pool::Setting const setting{};
        EXPECT_EQ(pool.acquire(setting)->id(), 1u);
        EXPECT_TRUE(pool.try_acquire(setting));
        EXPECT_TRUE(pool.try_acquire_for(1s, setting));
        EXPECT_TRUE(pool.try_acquire_until(std::chrono::steady_clock::now() + 1s, setting));
        int served = 0;
        auto const handler = [&](boost::system::error_code ec, Lease<FakeConn> lease) {
            if (!ec && lease) ++served;
        };
        pool.async_acquire(setting, handler);
        pool.async_acquire_for(10s, setting, handler);
        io.run();
        EXPECT_EQ(served, 2);
        EXPECT_EQ(connector.opened(), 1u);
        EXPECT_EQ(pool.stats().settings_applied + pool.stats().settings_reset, 0u);
        expect_drained(pool, connector);
    }
}

TEST(NoSettings, NamingTheOnlySettingChangesNothing) { expect_to_take_a_setting<FakePool<>>(); }

}  // namespace
}  // namespace weir::test
