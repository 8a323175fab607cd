// rule 38, rule 41, rule 42, rule Z: two closers end a pool in the middle of traffic, over and over. Every acquire
// ends, both closers see the real end, and nothing is left.

#include "support/stress.hpp"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>
#include <weir/pool.hpp>
#include <weir/testing/fake_connector.hpp>

using namespace weir;
using stress::check;

namespace {

/// Acquires until the pool is closed.
void use(Pool<testing::FakeConn>& pool, std::uint64_t seed) {
    stress::Random random{seed};
    for (;;) {
        auto lease =
            pool.try_acquire_for(random.below(8) == 0 ? std::chrono::microseconds{20} : std::chrono::seconds{60});
        if (lease) {
            auto const in_use = (*lease)->use();
            if (random.below(4) == 0) std::this_thread::yield();
        } else if (lease.error() == Errc::closed) {
            return;
        } else {
            check(lease.error() == Errc::timed_out || lease.error() == Errc::too_many_waiters, lease.error().message());
        }
        if (lease && random.below(8) == 0) lease->discard();
        if (random.below(32) == 0) pool.sweep();
        if (random.below(32) == 0) (void)pool.acquire_idle();
    }
}

}  // namespace

int main(int argc, char** argv) {
    stress::Until const until{argc, argv};
    stress::Random random{1};
    std::uint64_t rounds = 0;
    while (!until.over() && stress::failures == 0) {
        testing::FakeConnector connector;
        {
            Pool<testing::FakeConn> pool{connector, {.size = {.high = 2, .max_waiters = 8}}};
            std::vector<std::thread> running;
            for (std::uint64_t i = 0; i != 4; ++i) {
                running.emplace_back([&pool, seed = rounds * 4 + i] { use(pool, seed); });
            }
            std::thread second_closer{[&pool, pause = random.below(1500)] {
                std::this_thread::sleep_for(std::chrono::microseconds{pause});
                check(pool.close(std::chrono::seconds{60}), "the second closer saw no end");
            }};
            std::this_thread::sleep_for(std::chrono::microseconds{random.below(1500)});
            check(pool.close(std::chrono::seconds{60}), "the first closer saw no end");
            auto const stats = pool.stats();
            check(stats.open == 0, "open after a close that drained");
            check(stats.waiting == 0, "waiting after a close");
            second_closer.join();
            for (auto& thread : running) thread.join();
            check(pool.closed(), "a closed pool says it is not");
        }
        check(connector.complaint().empty(), connector.complaint());
        ++rounds;
    }
    return stress::verdict("close_under_load", rounds);
}
