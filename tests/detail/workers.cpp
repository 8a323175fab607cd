// The pool's own threads.

#include "support/eventually.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <gtest/gtest.h>
#include <latch>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>
#include <weir/detail/workers.hpp>

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using detail::Job;
using Workers = detail::Workers<>;

/// Blocks jobs until it is opened, and counts those that stand before it.
class Gate {
public:
    void pass() {
        std::unique_lock lock{mutex_};
        most_ = std::max(most_, ++inside_);
        changed_.notify_all();
        changed_.wait(lock, [this] { return open_; });
        --inside_;
        ++passed_;
        changed_.notify_all();
    }
    void open() {
        std::lock_guard const lock{mutex_};
        open_ = true;
        changed_.notify_all();
    }
    void await_inside(std::size_t n) {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [&] { return inside_ >= n; });
    }
    void await_passed(std::size_t n) {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [&] { return passed_ >= n; });
    }
    std::size_t most() {
        std::lock_guard const lock{mutex_};
        return most_;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
    std::size_t inside_ = 0;
    std::size_t most_ = 0;
    std::size_t passed_ = 0;
};

/// Jobs that are functions; they live as long as this.
class Jobs {
public:
    explicit Jobs(Workers& workers) : workers_{workers} {}

    bool submit(std::function<void()> work) {
        auto& [job, function] = all_.emplace_back(Job{}, std::move(work));
        job = {[](void* f) noexcept { (*static_cast<std::function<void()>*>(f))(); }, &function};
        return workers_.submit(job);
    }

private:
    Workers& workers_;
    std::deque<std::pair<Job, std::function<void()>>> all_;
};

struct WorkersTest : ::testing::Test {
    ~WorkersTest() override {
        workers->stop();
        std::weak_ptr<Workers> const gone = std::exchange(workers, nullptr);
        EXPECT_TRUE(eventually([&] { return gone.expired(); })) << "a thread did not go home";
    }

    std::shared_ptr<Workers> workers = std::make_shared<Workers>();
    Jobs jobs{*workers};
};

TEST_F(WorkersTest, DoEachJobOnce) {
    constexpr std::ptrdiff_t count = 200;
    std::latch all_done{count};
    std::atomic<int> runs{0};
    for (int i = 0; i != count; ++i) {
        ASSERT_TRUE(jobs.submit([&] {
            ++runs;
            all_done.count_down();
        }));
    }
    all_done.wait();
    EXPECT_EQ(runs, count);
}

TEST_F(WorkersTest, AreAsManyAsAreBlockedAndAtMost32) {
    Gate gate;
    for (std::size_t i = 0; i != Workers::most + 8; ++i) {
        ASSERT_TRUE(jobs.submit([&] { gate.pass(); }));
        gate.await_inside(std::min(i + 1, Workers::most));
    }
    gate.open();
    gate.await_passed(Workers::most + 8);
    EXPECT_EQ(gate.most(), 32u);
}

TEST_F(WorkersTest, ABlockedOneHoldsUpNobody) {
    Gate gate;
    ASSERT_TRUE(jobs.submit([&] { gate.pass(); }));
    gate.await_inside(1);
    for (int i = 0; i != 20; ++i) {
        std::latch done{1};
        ASSERT_TRUE(jobs.submit([&] { done.count_down(); }));
        done.wait();
    }
    gate.open();
    gate.await_passed(1);
}

TEST_F(WorkersTest, AJobMaySubmitAnother) {
    std::latch done{1};
    ASSERT_TRUE(jobs.submit([&] { jobs.submit([&] { done.count_down(); }); }));
    done.wait();
}

TEST_F(WorkersTest, WhatWasSubmittedBeforeTheStopIsDone) {
    Gate gate;
    std::latch done{3};
    for (std::size_t i = 0; i != Workers::most; ++i) ASSERT_TRUE(jobs.submit([&] { gate.pass(); }));
    for (int i = 0; i != 3; ++i) ASSERT_TRUE(jobs.submit([&] { done.count_down(); }));
    workers->stop();
    gate.open();
    done.wait();
    gate.await_passed(Workers::most);
}

// The pool may end on a thread of its own, and the last that knows of the workers be one of them.
TEST(Workers, MayBeForgottenByTheirOwnJob) {
    auto workers = std::make_shared<Workers>();
    std::weak_ptr<Workers> const seen = workers;
    std::latch submitted{1};
    std::latch done{1};
    Jobs jobs{*workers};
    ASSERT_TRUE(jobs.submit([&] {
        submitted.wait();
        workers->stop();
        workers.reset();
        done.count_down();
    }));
    submitted.count_down();
    done.wait();
    EXPECT_TRUE(eventually([&] { return seen.expired(); }));
}

}  // namespace
}  // namespace weir::test
