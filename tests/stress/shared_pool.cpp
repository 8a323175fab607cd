// Shares come, go, fail and are refused while connections drain, some before they are lent: never more users than allowed,
// none that came too late, never one closed under them, and an end (rules 11, 36, 42 and Z).

#include "support/stress.hpp"

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <weir/shared_pool.hpp>

using namespace weir;
using namespace std::chrono_literals;
using stress::check;

namespace {

constexpr int streams = 5;
constexpr std::size_t connections = 12;  // more than are looked at one by one

/// What is known of one connection, whoever uses it.
struct Peer {
    std::atomic<int> users{0};
    std::atomic<int> most{streams};
    std::atomic<int> closes{0};
    std::atomic<std::uint64_t> gone_at{0};  // by `World::clock`; 0: others may get it
    Streams handle{};
};

using Conn = std::shared_ptr<Peer>;

struct World {
    std::atomic<int> opened{0};
    std::atomic<int> closed{0};
    std::atomic<unsigned> connects{0};
    std::atomic<std::uint64_t> clock{1};
    std::mutex mutex;
    std::vector<Conn> paused;  // as they connected

    void gone(Peer& peer) { peer.gone_at = ++clock; }

    void resume() {
        std::unique_lock lock{mutex};
        auto const all = std::exchange(paused, {});
        lock.unlock();
        for (auto const& conn : all) {
            conn->most = streams;
            conn->handle.limit(static_cast<std::size_t>(streams));
        }
    }
};

struct Connector {
    World* world;

    Conn connect(ConnectContext const& context) {
        auto const number = world->connects++;
        if (number % 16 == 15) throw std::runtime_error{"refused"};
        auto conn = std::make_shared<Peer>();
        conn->handle = context.streams;
        switch (number % 16) {
            case 3:
            case 11:
                conn->most = 1;
                conn->handle.limit(1);
                break;
            case 5:
                conn->most = 1;  // for one alone
                conn->handle.drain();
                break;
            case 7:
                conn->most = 1;
                context.evictor.evict();
                break;
            case 9: {
                conn->most = 0;
                conn->handle.limit(0);
                std::lock_guard const lock{world->mutex};
                world->paused.push_back(conn);
            }
        }
        ++world->opened;
        return conn;
    }
    bool recycle(Conn& conn) { return conn->users.load() >= 0; }
    void close(Conn& conn) {
        check(conn->users == 0, "closed while it was used");
        check(++conn->closes == 1, "closed twice");
        ++world->closed;
    }
};

using Shared = SharedPool<Conn, Multiplex, IdleCache>;

void use(Lease<Conn> lease, World& world, std::uint64_t asked, stress::Random& random) {
    Conn const conn = *lease;
    check(++conn->users <= conn->most, "more users than streams");
    auto const gone_at = conn->gone_at.load();
    check(gone_at == 0 || gone_at > asked, "lent to somebody who asked when it was to be lent to nobody");
    check(conn->closes == 0, "lent when it was closed");
    for (auto spin = random.below(4); spin != 0; --spin) std::this_thread::yield();
    auto const what = random.below(400);
    if (what == 0) {
        conn->handle.drain();
        world.gone(*conn);
    }
    // More than before, so that those who are being counted are never too many.
    if (what == 1 && conn->most != 1) conn->handle.limit(static_cast<std::size_t>(streams));
    --conn->users;
    if (what == 2) {
        lease.discard();
        world.gone(*conn);
    }
    if (what == 3) {
        Lease<Conn> other = std::move(lease);
        other.release();
    }
}

}  // namespace

int main(int argc, char** argv) {
    constexpr std::size_t users = 6;
    stress::Until const until{argc, argv};
    std::uint64_t rounds = 0;
    std::atomic<std::uint64_t> served{0};
    std::atomic<std::uint64_t> refused{0};
    // Until somebody was refused, which takes a while where a round of so short a time sees few connects.
    while ((!until.over() || refused == 0) && stress::failures == 0) {
        World world;
        boost::asio::thread_pool executor{2};
        {
            auto const ttl = rounds % 2 == 0 ? std::chrono::steady_clock::duration{5min} : 1ms;
            std::size_t const high = rounds % 3 == 0 ? connections : rounds % 3;
            Shared pool{executor.get_executor(), Connector{&world},
                        Shared::Options{.size = {.connections = high, .streams = streams}, .idle = {.ttl = ttl}}};
            std::atomic<bool> stop{false};
            std::atomic<int> pending{0};
            std::vector<std::thread> running;
            for (std::size_t i = 0; i != users; ++i) {
                running.emplace_back([&, i] {
                    stress::Random random{rounds * users + i + 1};
                    while (!stop) {
                        auto const asked = world.clock.load();
                        switch (random.below(4)) {
                            case 0:
                                if (auto lease = pool.try_acquire()) use(std::move(*lease), world, asked, random);
                                break;
                            case 1:
                                ++pending;
                                pool.async_acquire_for(
                                    10s, [&, asked, seed = random.below(1000)](auto ec, Lease<Conn> lease) {
                                        stress::Random mine{seed + 1};
                                        check(!(ec == Errc::timed_out), "a handler waited for ten seconds");
                                        if (!ec) {
                                            ++served;
                                            use(std::move(lease), world, asked, mine);
                                        }
                                        --pending;
                                    });
                                break;
                            default:
                                try {
                                    auto lease = pool.try_acquire_for(10s);
                                    check(lease || lease.error() != Errc::timed_out, "a thread waited for ten seconds");
                                    if (lease) {
                                        ++served;
                                        use(std::move(*lease), world, asked, random);
                                    }
                                } catch (std::runtime_error const&) {
                                    ++refused;
                                }
                        }
                        while (pending > 200 && !stop) std::this_thread::yield();
                    }
                });
            }
            std::thread changer{[&] {
                stress::Random random{rounds + 77};
                auto const end = std::chrono::steady_clock::now() + 60ms;
                while (std::chrono::steady_clock::now() < end) {
                    switch (random.below(6)) {
                        case 0: pool.refresh(); break;
                        case 1: pool.resize(high == 1 ? 1 : 1 + random.below(high)); break;
                        case 2: pool.resize(high); break;
                        case 3: pool.sweep(); break;
                        case 4: {
                            auto const s = pool.stats();
                            check(s.open == s.connecting + s.idle + s.leased + s.closing, "the gauges do not add up");
                            break;
                        }
                        default: std::this_thread::sleep_for(1ms);
                    }
                }
                pool.resize(high);
                stop = true;
            }};
            std::atomic<bool> over{false};
            std::thread resumer{[&] {
                while (!over) {
                    world.resume();
                    std::this_thread::sleep_for(200us);
                }
            }};
            changer.join();
            if (rounds % 4 == 1) pool.close(0ms);  // under those who use it
            for (auto& thread : running) thread.join();
            check(pool.close(30s), "a close that does not end");
            while (pending > 0) std::this_thread::yield();
            over = true;
            resumer.join();
            auto const s = pool.stats();
            check(s.open == 0 && s.waiting == 0, "something is left");
            check(s.acquired >= served.exchange(0), "leases that were not counted");
        }
        executor.join();
        check(world.opened == world.closed, "not closed just once: " + std::to_string(world.opened) + " opened, " +
                                                std::to_string(world.closed) + " closed");
        ++rounds;
    }
    return stress::verdict("shared_pool", rounds);
}
