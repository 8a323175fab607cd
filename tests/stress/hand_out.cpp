// rule Z, rule 11, rule 15: more threads than resources, and every resource has one owner at a time.

#include "support/stress.hpp"

#include <atomic>
#include <thread>
#include <vector>
#include <weir/pool.hpp>
#include <weir/testing/fake_connector.hpp>

namespace {

using namespace weir;
using stress::check;
using testing::FakeConn;

template <class Store>
std::uint64_t run(stress::Until const& until) {
    constexpr std::size_t high = 3;
    constexpr int threads = 6;
    testing::FakeConnector connector;
    std::atomic<std::uint64_t> rounds{0};
    {
        Pool<FakeConn, Store> pool{connector.only_connect(), {.size = {.high = high}}};
        std::vector<std::thread> running;
        for (int i = 0; i != threads; ++i) {
            running.emplace_back([&, i] {
                stress::Random random{static_cast<std::uint64_t>(i) + 1};
                std::uint64_t lent = 0;
                while (!until.over()) {
                    auto lease = pool.try_acquire_for(std::chrono::seconds{60});
                    if (!check(lease.has_value(), "a waiter slept beside an idle one")) break;
                    {
                        auto const use = (*lease)->use();
                        if (random.below(64) == 0) std::this_thread::yield();
                    }
                    ++lent;
                    if (random.below(256) == 0) lease->discard();
                }
                rounds += lent;
            });
        }
        for (auto& thread : running) thread.join();
        auto const stats = pool.stats();
        check(stats.acquired == rounds,
              "acquired is " + std::to_string(stats.acquired) + " of " + std::to_string(rounds));
        check(stats.leased == 0 && stats.waiting == 0, "something is left lent or waiting");
        check(pool.close(std::chrono::seconds{60}), "the pool does not drain");
    }
    check(connector.max_open() <= high, "more than high were open");
    check(connector.complaint().empty(), connector.complaint());
    return rounds;
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<std::uint64_t> rounds;
    rounds.push_back(run<TaggedStack>(stress::Until{argc, argv}));
    rounds.push_back(run<LockedQueue>(stress::Until{argc, argv}));
    return stress::verdict("hand_out", rounds[0] != 0 && rounds[1] != 0 ? rounds[0] + rounds[1] : 0);
}
