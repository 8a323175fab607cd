// rule 24, rule 43, rule Z: the pool is destroyed while its leases come back on other threads, over and over.

#include "support/eventually.hpp"
#include "support/stress.hpp"

#include <atomic>
#include <barrier>
#include <memory>
#include <thread>
#include <utility>
#include <vector>
#include <weir/pool.hpp>
#include <weir/testing/fake_connector.hpp>

using namespace weir;
using stress::check;

int main(int argc, char** argv) {
    constexpr std::size_t holders = 3;
    stress::Until const until{argc, argv};
    std::atomic<bool> stop{false};
    std::vector<Lease<testing::FakeConn>> leases(holders);
    testing::FakeConnector connector;
    std::barrier ready{holders + 1};
    std::barrier done{holders + 1};
    std::vector<std::thread> running;
    for (std::size_t i = 0; i != holders; ++i) {
        running.emplace_back([&, i] {
            stress::Random random{i + 1};
            for (;;) {
                ready.arrive_and_wait();
                if (stop) return;
                auto lease = std::move(leases[i]);
                for (auto spin = random.below(20); spin != 0; --spin) std::this_thread::yield();
                { auto const use = lease->use(); }
                switch (random.below(4)) {
                    case 0: lease.release(); break;
                    case 1: lease.discard(); break;
                    case 2: {
                        auto conn = lease.detach();
                        connector.close(conn);
                        break;
                    }
                    default: break;  // dropped
                }
                lease = {};
                done.arrive_and_wait();
            }
        });
    }

    std::uint64_t rounds = 0;
    stress::Random random{holders + 1};
    while (!until.over() && stress::failures == 0) {
        auto pool = std::make_unique<Pool<testing::FakeConn>>(
            connector, Pool<testing::FakeConn>::Options{.size = {.high = holders + 1}});
        for (auto& lease : leases) lease = pool->acquire();
        pool->acquire().release();  // an idle one as well
        ready.arrive_and_wait();
        for (auto spin = random.below(10); spin != 0; --spin) std::this_thread::yield();
        pool.reset();
        done.arrive_and_wait();
        check(test::eventually([&] { return connector.complaint().empty(); }), connector.complaint());
        ++rounds;
    }
    stop = true;
    ready.arrive_and_wait();
    for (auto& thread : running) thread.join();
    return stress::verdict("destroy_with_leases", rounds);
}
