// Which policy stands in which slot. What does not fit: compile_fail/.

#include "support/invalid.hpp"
#include "support/recorder.hpp"

#include <gtest/gtest.h>
#include <type_traits>
#include <weir/detail/policy_set.hpp>
#include <weir/testing/interleave.hpp>
#include <weir/testing/manual_clock.hpp>

namespace weir::detail {
namespace {

using None = PolicySet<>;
static_assert(std::is_same_v<None::Sizing, Watermark>);
static_assert(std::is_same_v<None::Idle, IdleCache>);
static_assert(std::is_same_v<None::Waiting, Fifo>);
static_assert(std::is_same_v<None::Connecting, ConnectOnce>);
static_assert(std::is_same_v<None::Upkeep, NoUpkeep>);
static_assert(std::is_same_v<None::Drop, ReleaseOnDrop>);
static_assert(std::is_same_v<None::Settings, NoSettings>);
static_assert(std::is_same_v<None::Store, PerCpu<TaggedStack>>);
static_assert(std::is_same_v<None::Observer, Silent>);
static_assert(std::is_same_v<None::Clock, SteadyClock>);
static_assert(std::is_same_v<None::Trace, NoTrace>);
static_assert(!None::is_observed);

using Some = PolicySet<LockedQueue, test::Recorder, DropIdle, weir::testing::ManualClock>;
static_assert(std::is_same_v<Some::Store, LockedQueue>);
static_assert(std::is_same_v<Some::Observer, test::Recorder>);
static_assert(std::is_same_v<Some::Idle, DropIdle>);
static_assert(std::is_same_v<Some::Clock, weir::testing::ManualClock>);
static_assert(std::is_same_v<Some::Sizing, Watermark>, "the other slots keep their defaults");
static_assert(Some::is_observed);

// One of the user's own, for a slot that is open.
struct Eight {
    using policy_slot = slot::Sizing;
    constexpr Limits limits() const noexcept { return {.low = 0, .high = 8}; }
};
static_assert(std::is_same_v<PolicySet<Eight>::Sizing, Eight>);
static_assert(std::is_same_v<PolicySet<Eight>::Options, decltype(PolicySet<Eight>::Options{.size = Eight{}})>);

TEST(PolicySet, AcceptsTheDefaultsOfEveryPolicy) {
    None::validate({});
    Some::validate({});
    PolicySet<Unbounded, KeepIdle, DiscardOnDrop>::validate({});
    PolicySet<Eight, weir::testing::Interleave>::validate({});
}

TEST(PolicySet, ValidatesEverySlotThatHasSomethingToSay) {
    EXPECT_THROW(None::validate({.size = {.low = 2, .high = 1}}), std::invalid_argument);
    EXPECT_THROW(None::validate({.idle = {.ttl = std::chrono::seconds{-1}}}), std::invalid_argument);
    EXPECT_THROW(None::validate({.connect = {.timeout = std::chrono::seconds{-1}}}), std::invalid_argument);
}

}  // namespace
}  // namespace weir::detail
