// rule 6, rule 12, rule 13: tiny deadlines race returns, discards and detachments. Nothing may be lost: neither a
// resource whose waiter timed out at that moment, nor the slot of one that was closed.

#include "support/stress.hpp"

#include <atomic>
#include <thread>
#include <utility>
#include <vector>
#include <weir/pool.hpp>
#include <weir/testing/fake_connector.hpp>

using namespace weir;
using stress::check;

int main(int argc, char** argv) {
    constexpr std::size_t high = 2;
    stress::Until const until{argc, argv};
    testing::FakeConnector connector;
    std::atomic<std::uint64_t> acquires{0};
    std::atomic<std::uint64_t> lent{0};
    std::atomic<std::uint64_t> timed_out{0};
    std::atomic<std::uint64_t> detached{0};
    {
        Pool<testing::FakeConn> pool{connector, {.size = {.high = high}}};
        std::vector<std::thread> running;
        for (std::uint64_t i = 0; i != 5; ++i) {
            running.emplace_back([&, i] {
                stress::Random random{i + 1};
                while (!until.over()) {
                    ++acquires;
                    auto lease = pool.try_acquire_for(std::chrono::microseconds{random.below(80)});
                    if (!lease) {
                        check(lease.error() == Errc::timed_out, lease.error().message());
                        ++timed_out;
                        continue;
                    }
                    ++lent;
                    {
                        auto const use = (*lease)->use();
                        if (random.below(4) == 0) {
                            std::this_thread::sleep_for(std::chrono::microseconds{random.below(60)});
                        }
                    }
                    switch (random.below(16)) {
                        case 0: lease->discard(); break;
                        case 1: (*lease)->spoil(); break;
                        case 2: {
                            auto conn = lease->detach();
                            connector.close(conn);
                            ++detached;
                            break;
                        }
                        default: break;
                    }
                }
            });
        }
        for (auto& thread : running) thread.join();

        // All are still there, or can be made again.
        {
            std::vector<Lease<testing::FakeConn>> all;
            for (std::size_t i = 0; i != high; ++i) {
                auto lease = pool.try_acquire_for(std::chrono::seconds{60});
                if (check(lease.has_value(), "a slot was lost")) all.push_back(std::move(*lease));
            }
        }
        auto const stats = pool.stats();
        check(stats.waiting == 0, "somebody who is gone still waits");
        check(stats.acquired == lent + high, "acquires are miscounted");
        check(stats.timed_out == timed_out, "timeouts are miscounted");
        check(stats.detached == detached, "detachments are miscounted");
        check(pool.close(std::chrono::seconds{60}), "the pool does not drain");
    }
    check(connector.complaint().empty(), connector.complaint());
    // Both outcomes must have happened for this to mean anything.
    check(lent != 0 && timed_out != 0, "no race: all were served, or none");
    return stress::verdict("mixed_deadlines", acquires);
}
