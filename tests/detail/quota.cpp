// The total over all keys: numbers, and whose turn it is.

#include <gtest/gtest.h>
#include <memory>
#include <vector>
#include <weir/detail/quota.hpp>

namespace weir::detail {
namespace {

struct NoCore final : KeyCore {
    void permitted(Orders&) noexcept override {}
    bool yield(std::chrono::steady_clock::rep, bool, Orders&) noexcept override { return false; }
    void see_to(Orders&, Where) noexcept override {}
};

/// A tenant with something behind it.
struct Some {
    std::shared_ptr<KeyCore> core = std::make_shared<NoCore>();
    Tenant tenant{};
    Some() { tenant.core = core; }
};

struct QuotaTest : ::testing::Test {
    // Who is called, the latest first, as if they were told at once.
    std::vector<Tenant*> called(TenantChain& chain) {
        std::vector<Tenant*> all;
        while (Tenant* const tenant = chain.pop()) {
            EXPECT_NE(quota.told(*tenant), nullptr);
            all.push_back(tenant);
        }
        return all;
    }
    std::vector<Tenant*> put(bool reclaimed = false) {
        TenantChain chain;
        quota.put(reclaimed, chain);
        return called(chain);
    }
    ~QuotaTest() override {
        TenantChain chain;
        for (auto* one : {&a, &b, &c}) quota.stand_down(one->tenant, false, chain);
        called(chain);
    }

    Some a, b, c;
    Quota<> quota{2};
};

TEST_F(QuotaTest, GivesAsManyAsThereAre) {
    EXPECT_TRUE(quota.take(a.tenant));
    EXPECT_TRUE(quota.take(b.tenant));
    EXPECT_FALSE(quota.take(c.tenant));
    EXPECT_EQ(put(), std::vector<Tenant*>{});
    EXPECT_TRUE(quota.take(c.tenant));
    EXPECT_EQ(quota.taken(), 2u);
}

TEST_F(QuotaTest, WhoStandsInLineIsGrantedWhatComesFree) {
    quota.take(a.tenant);
    quota.take(a.tenant);
    EXPECT_FALSE(quota.stand(b.tenant, true));
    EXPECT_EQ(put(), std::vector<Tenant*>{&b.tenant});
    EXPECT_FALSE(quota.take(c.tenant)) << "a newcomer overtook";
    EXPECT_TRUE(quota.take(b.tenant));
    EXPECT_FALSE(quota.take(b.tenant)) << "it was granted one";
}

TEST_F(QuotaTest, WhoHasNoneStandsBeforeWhoHasSome) {
    quota.take(a.tenant);
    quota.take(a.tenant);
    quota.stand(a.tenant, false);
    quota.stand(b.tenant, true);
    quota.stand(c.tenant, true);
    EXPECT_EQ(put(), std::vector<Tenant*>{&b.tenant});
    EXPECT_EQ(put(), std::vector<Tenant*>{&c.tenant});
}

TEST_F(QuotaTest, WhoLeavesGivesOnWhatItWasGranted) {
    quota.take(a.tenant);
    quota.take(a.tenant);
    quota.stand(b.tenant, true);
    quota.stand(c.tenant, true);
    EXPECT_EQ(put(), std::vector<Tenant*>{&b.tenant});
    TenantChain chain;
    quota.stand_down(b.tenant, false, chain);
    EXPECT_EQ(called(chain), std::vector<Tenant*>{&c.tenant});
    EXPECT_EQ(quota.taken(), 2u);
}

TEST_F(QuotaTest, OneThatIsCalledAlreadyIsNotCalledTwice) {
    quota.take(a.tenant);
    quota.take(a.tenant);
    quota.stand(b.tenant, true);
    TenantChain chain;
    quota.put(false, chain);
    EXPECT_TRUE(quota.take(b.tenant));
    quota.stand(b.tenant, false);
    TenantChain second;
    quota.put(false, second);
    EXPECT_TRUE(second.empty());
    EXPECT_EQ(called(chain), std::vector<Tenant*>{&b.tenant});
    EXPECT_TRUE(quota.take(b.tenant));
}

TEST_F(QuotaTest, ClaimsAsManyAsStandInLineAndNoMore) {
    quota.take(a.tenant);
    quota.take(a.tenant);
    EXPECT_FALSE(quota.is_short());
    EXPECT_FALSE(quota.claim(Otherwise::parked));
    quota.stand(b.tenant, false);
    EXPECT_TRUE(quota.is_short());
    EXPECT_FALSE(quota.claim(Otherwise::served)) << "only for who has none";
    EXPECT_TRUE(quota.claim(Otherwise::parked));
    EXPECT_FALSE(quota.is_short());
    EXPECT_FALSE(quota.claim(Otherwise::parked));
    quota.stand(c.tenant, true);
    EXPECT_TRUE(quota.is_short());
    EXPECT_EQ(put(true), std::vector<Tenant*>{&c.tenant});
    EXPECT_TRUE(quota.is_short());
}

TEST_F(QuotaTest, ClaimsWhatServesSomebodyForWhoHasNone) {
    quota.take(a.tenant);
    quota.take(a.tenant);
    quota.stand(b.tenant, true);
    EXPECT_TRUE(quota.claim(Otherwise::served));
    EXPECT_FALSE(quota.claim(Otherwise::served));
}

TEST_F(QuotaTest, AnExtraOneIsShortOnlyWhenNothingIsFree) {
    EXPECT_FALSE(quota.is_short(true));
    quota.take(a.tenant);
    quota.take(a.tenant);
    EXPECT_TRUE(quota.is_short(true));
    EXPECT_TRUE(quota.claim(Otherwise::parked, true));
    EXPECT_FALSE(quota.is_short(true));
}

TEST_F(QuotaTest, ASmallerTotalIsAShortage) {
    quota.take(a.tenant);
    quota.take(b.tenant);
    TenantChain chain;
    quota.set_total(1, chain);
    EXPECT_TRUE(quota.claim(Otherwise::served));
    EXPECT_FALSE(quota.is_short());
    EXPECT_FALSE(quota.await_fit({}));
    put(true);
    EXPECT_TRUE(quota.await_fit({}));
    EXPECT_FALSE(quota.take(c.tenant));
}

TEST_F(QuotaTest, ALargerTotalGrantsAsManyAsThereIsRoomFor) {
    quota.take(a.tenant);
    quota.take(a.tenant);
    quota.stand(b.tenant, true);
    quota.stand(c.tenant, true);
    TenantChain chain;
    quota.set_total(4, chain);
    EXPECT_EQ(called(chain).size(), 2u);
    EXPECT_TRUE(quota.take(b.tenant) && quota.take(c.tenant));
    EXPECT_FALSE(quota.take(a.tenant));
}

TEST_F(QuotaTest, NothingGoesFromOneToAnotherWhileItIsPinned) {
    quota.take(a.tenant);
    quota.take(a.tenant);
    quota.stand(b.tenant, true);
    quota.pin();
    EXPECT_EQ(put(), std::vector<Tenant*>{});
    EXPECT_FALSE(quota.take(c.tenant));
    EXPECT_FALSE(quota.is_short()) << "one is on its way";
    TenantChain chain;
    quota.unpin(chain);
    EXPECT_EQ(called(chain), std::vector<Tenant*>{&b.tenant});
}

TEST_F(QuotaTest, APlaceThatCameFreeWhileItIsPinnedFits) {
    quota.take(a.tenant);
    quota.take(b.tenant);
    TenantChain chain;
    quota.set_total(1, chain);
    quota.pin();
    put();
    EXPECT_TRUE(quota.await_fit({}));
    quota.unpin(chain);
    EXPECT_TRUE(quota.await_fit({}));
}

TEST_F(QuotaTest, GrantsNothingToOneThatIsGone) {
    quota.take(a.tenant);
    quota.take(a.tenant);
    quota.stand(b.tenant, true);
    quota.stand(c.tenant, true);
    b.core.reset();
    EXPECT_EQ(put(), std::vector<Tenant*>{&c.tenant});
}

TEST_F(QuotaTest, GivesNothingOnceItIsClosed) {
    quota.take(a.tenant);
    quota.take(a.tenant);
    quota.stand(b.tenant, true);
    quota.close();
    EXPECT_EQ(put(), std::vector<Tenant*>{});
    EXPECT_FALSE(quota.take(c.tenant));
    EXPECT_FALSE(quota.claim(Otherwise::parked));
}

}  // namespace
}  // namespace weir::detail
