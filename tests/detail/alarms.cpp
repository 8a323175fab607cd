// The thread that wakes pools: at the right time, in any order, and not once they are gone.

#include "support/eventually.hpp"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <mutex>
#include <semaphore>
#include <utility>
#include <vector>
#include <weir/detail/alarms.hpp>

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using Alarms = detail::Alarms<>;
using std::chrono::steady_clock;

/// Notes when it is rung for.
class Sleeper final : public detail::AlarmUser, public std::enable_shared_from_this<Sleeper> {
public:
    explicit Sleeper(Alarms& alarms) : alarms_{alarms} {}
    ~Sleeper() { alarms_.forget(entry_); }

    void set(steady_clock::time_point at) {
        entry_.user = weak_from_this();
        alarms_.set(entry_, at);
    }
    void forget() { alarms_.forget(entry_); }

    detail::HandOver ring() noexcept override {
        std::lock_guard const lock{mutex_};
        rings_.push_back(steady_clock::now());
        if (on_ring) on_ring();
        rang_.notify_all();
        return {};
    }
    std::vector<steady_clock::time_point> await(std::size_t n) {
        std::unique_lock lock{mutex_};
        rang_.wait(lock, [&] { return rings_.size() >= n; });
        return rings_;
    }
    std::size_t rings() {
        std::lock_guard const lock{mutex_};
        return rings_.size();
    }

    std::function<void()> on_ring;  // to be set before it is

private:
    Alarms& alarms_;
    Alarms::Entry entry_{};
    std::mutex mutex_;  // protects what follows
    std::condition_variable rang_;
    std::vector<steady_clock::time_point> rings_;
};

struct AlarmsTest : ::testing::Test {
    ~AlarmsTest() override {
        one.reset();
        other.reset();
        alarms->stop();
        std::weak_ptr<Alarms> const gone = std::exchange(alarms, nullptr);
        EXPECT_TRUE(eventually([&] { return gone.expired(); })) << "its thread did not go home";
    }

    std::shared_ptr<Alarms> alarms = std::make_shared<Alarms>();
    std::shared_ptr<Sleeper> one = std::make_shared<Sleeper>(*alarms);
    std::shared_ptr<Sleeper> other = std::make_shared<Sleeper>(*alarms);
};

TEST_F(AlarmsTest, RingsAtItsTimeAndNotBefore) {
    auto const at = steady_clock::now() + 5ms;
    one->set(at);
    EXPECT_GE(one->await(1)[0], at);
}

TEST_F(AlarmsTest, RingsAtOnceWhenTheTimeHasCome) {
    one->set(steady_clock::now() - 1h);
    one->await(1);
}

TEST_F(AlarmsTest, AnEarlierTimeComesFirst) {
    one->set(steady_clock::now() + 1h);
    one->set(steady_clock::now() + 2ms);
    one->await(1);
}

TEST_F(AlarmsTest, ALaterTimeDoesNotPutItOff) {
    one->set(steady_clock::now() + 2ms);
    one->set(steady_clock::now() + 1h);
    one->await(1);
}

TEST_F(AlarmsTest, MayBeSetAnewWhileItRings) {
    int left = 3;
    one->on_ring = [&] {
        if (left-- > 0) one->set(steady_clock::now() + 1ms);
    };
    one->set(steady_clock::now());
    auto const rings = one->await(4);
    EXPECT_GE(rings[3] - rings[0], 3ms);
}

TEST_F(AlarmsTest, RingsForEachAtItsOwnTime) {
    auto const now = steady_clock::now();
    one->set(now + 1h);
    other->set(now + 2ms);
    EXPECT_GE(other->await(1)[0], now + 2ms);
    one->set(now + 4ms);
    EXPECT_GE(one->await(1)[0], now + 4ms);
    EXPECT_EQ(other->rings(), 1u);
}

TEST_F(AlarmsTest, ForgetsOneAndRingsForTheOther) {
    // Its time may come before it is forgotten: so the thread is kept busy meanwhile.
    std::binary_semaphore rings{0};
    std::binary_semaphore go_on{0};
    other->on_ring = [&, first = true]() mutable {
        if (!std::exchange(first, false)) return;
        rings.release();
        go_on.acquire();
    };
    other->set(steady_clock::now());
    rings.acquire();
    one->set(steady_clock::now());
    other->set(steady_clock::now() + 1ms);
    one->forget();
    go_on.release();
    other->await(2);
    EXPECT_EQ(one->rings(), 0u);
}

TEST_F(AlarmsTest, DoesNotRingForOneThatHasGone) {
    one->set(steady_clock::now() + 1ms);
    one.reset();
    other->set(steady_clock::now() + 2ms);
    other->await(1);
}

// rule 34
TEST_F(AlarmsTest, Rule34HasNoThreadBeforeItIsSet) { EXPECT_EQ(alarms.use_count(), 1); }

TEST_F(AlarmsTest, IsSilentOnceItIsStopped) {
    one->set(steady_clock::now() + 1h);
    alarms->stop();
    EXPECT_TRUE(eventually([&] { return alarms.use_count() == 1; })) << "it sleeps on";
    EXPECT_EQ(one->rings(), 0u);
}

}  // namespace
}  // namespace weir::test
