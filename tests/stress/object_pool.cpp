// Object pools with more threads than cores, some of which end: one owner of an object at a time; nothing is lost and
// nothing leaks, whoever trims, robs, drops, or ends the pool at the same time; never more idle than may be.

#include "support/stress.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <weir/object_pool.hpp>

namespace {

using namespace weir;
using stress::check;

struct Object {
    static inline std::atomic<std::int64_t> living{0};

    std::atomic<unsigned> owner{0};  // relaxed: it must not synchronise anybody

    // Plain, and written by every owner: ThreadSanitizer proves from them that one owner's end is the next one's
    // beginning, and without it an object with two owners shows in their difference.
    std::uint64_t count = 0;
    std::uint64_t again = 0;

    Object() { ++living; }
    Object(Object&& other) noexcept : count{other.count}, again{other.again} { ++living; }
    Object& operator=(Object&&) = delete;
    ~Object() {
        check(owner == 0 && count == again, "an object is destroyed that somebody has");
        --living;
    }

    void own(unsigned me) {
        check(owner.exchange(me, std::memory_order_relaxed) == 0, "two owners of one object");
        check(count == again, "the next owner does not see what the last one wrote");
        ++count;
    }
    void disown(unsigned me) {
        ++again;
        check(owner.exchange(0, std::memory_order_relaxed) == me, "the owner of an object was replaced");
    }
};

using Pool = ObjectPool<Object>;

/// Leases that one thread leaves for another.
class Mailbox {
public:
    void put(Pool::Lease lease) {
        std::lock_guard const lock{mutex_};
        leases_.push_back(std::move(lease));
    }
    Pool::Lease take() {
        std::lock_guard const lock{mutex_};
        if (leases_.empty()) return {};
        auto lease = std::move(leases_.back());
        leases_.pop_back();
        return lease;
    }
    void clear() {
        std::lock_guard const lock{mutex_};
        leases_.clear();
    }

private:
    std::mutex mutex_;
    std::vector<Pool::Lease> leases_;
};

/// Holds up to 20 at a time, mostly one, and parts with them in any way there is.
std::uint64_t work(Pool& pool, Mailbox& mail, unsigned me, std::uint64_t seed, int rounds) {
    stress::Random random{seed};
    std::vector<Pool::Lease> mine;
    std::uint64_t acquired = 0;
    for (int round = 0; round != rounds; ++round) {
        std::size_t const wanted = random.below(8) == 0 ? random.below(20) : 1;
        for (std::size_t i = 0; i != wanted; ++i) {
            mine.push_back(pool.acquire());
            mine.back()->own(me);
            ++acquired;
        }
        if (random.below(64) == 0) std::this_thread::yield();
        while (!mine.empty()) {
            std::swap(mine[random.below(mine.size())], mine.back());
            auto lease = std::move(mine.back());
            mine.pop_back();
            lease->disown(me);
            switch (random.below(64)) {
                case 0: lease.discard(); break;
                case 1: (void)lease.detach(); break;
                case 2: mail.put(std::move(lease)); break;
                default: break;
            }
        }
        if (random.below(16) == 0) mail.take().release();
    }
    return acquired;
}

/// Threads that use it and threads that end, and one that trims; then everything is counted.
std::uint64_t run(std::optional<std::size_t> max_idle, unsigned threads, stress::Until const& until) {
    Pool pool{[] { return Object{}; }, [](Object& object) { check(object.owner == 0, "reset while it is owned"); },
              Pool::Options{.max_idle = max_idle}};
    Pool plain{Pool::Options{.max_idle = max_idle}};
    Mailbox mail;
    Mailbox plain_mail;
    std::uint64_t rounds = 0;
    std::uint64_t acquired = 0;
    std::uint64_t trimmed = 0;
    // Once at least, and until there was something to trim: who trims may come late in a round, and in some not at all.
    auto const seen_all = [&] { return trimmed != 0 || max_idle; };
    for (std::uint64_t seed = 1; rounds == 0 || !until.over() || !seen_all(); ++rounds) {
        std::atomic<std::uint64_t> in_round{0};
        std::atomic<bool> stop{false};
        std::vector<std::thread> all;
        for (unsigned me = 1; me <= threads; ++me) {
            all.emplace_back([&, me, seed = seed++] {
                in_round += work(plain, plain_mail, me, seed, 300);
                if (me % 2 == 0) work(pool, mail, me, seed, 50);
            });
        }
        std::thread trimmer{[&] {
            while (!stop) {
                trimmed += plain.trim();
                pool.trim();
                auto const stats = plain.stats();
                check(stats.made == stats.dropped + stats.detached + stats.idle + stats.leased,
                      "the books do not balance");
                std::this_thread::yield();
            }
        }};
        for (auto& thread : all) thread.join();
        stop = true;
        trimmer.join();
        acquired += in_round;

        mail.clear();
        plain_mail.clear();
        for (auto const* one : {&pool, &plain}) {
            auto const stats = one->stats();
            check(stats.leased == 0, std::to_string(stats.leased) + " are lent, says the pool, and none is");
            check(!max_idle || stats.idle <= *max_idle, std::to_string(stats.idle) + " are idle");
        }
        auto const living = static_cast<std::uint64_t>(Object::living.load());
        check(living == pool.stats().idle + plain.stats().idle, "objects have been lost");
        check(plain.stats().made + plain.stats().reused == acquired, "acquires are not counted right");
    }
    return rounds;
}

/// Leases come back at the moment at which their pool ends.
std::uint64_t end(unsigned threads, stress::Until const& until) {
    std::uint64_t rounds = 0;
    std::optional<Pool> pool;
    std::barrier at_once{static_cast<std::ptrdiff_t>(threads) + 1};
    std::atomic<bool> over{false};
    std::vector<std::thread> all;
    for (unsigned me = 1; me <= threads; ++me) {
        all.emplace_back([&, me] {
            stress::Random random{me};
            while (true) {
                at_once.arrive_and_wait();  // a new pool
                if (over) return;
                std::vector<Pool::Lease> leases;
                for (std::size_t i = 0; i <= random.below(20); ++i) leases.push_back(pool->acquire());
                leases.erase(leases.begin(), leases.begin() + static_cast<std::ptrdiff_t>(random.below(leases.size())));
                at_once.arrive_and_wait();  // it ends
                for (auto i = random.below(100); i != 0; --i) detail::relax();
                leases.clear();
                at_once.arrive_and_wait();  // it has ended
            }
        });
    }
    for (stress::Random random{99}; rounds == 0 || !until.over(); ++rounds) {
        pool.emplace(Pool::Options{.max_idle = random.below(2) ? std::optional<std::size_t>{5} : std::nullopt});
        at_once.arrive_and_wait();
        at_once.arrive_and_wait();
        for (auto i = random.below(400); i != 0; --i) detail::relax();
        pool.reset();
        at_once.arrive_and_wait();
        check(Object::living == 0, std::to_string(Object::living) + " objects have outlived their pool and leases");
    }
    over = true;
    at_once.arrive_and_wait();
    for (auto& thread : all) thread.join();
    return rounds;
}

}  // namespace

int main(int argc, char** argv) {
    std::string seconds = std::to_string((argc > 1 ? std::atof(argv[1]) : 3.0) / 4);
    std::array<char*, 2> part{argv[0], seconds.data()};
    auto const until = [&] { return stress::Until{2, part.data()}; };
    std::uint64_t least = run(std::nullopt, 8, until());
    least = std::min(least, run(6, 8, until()));
    least = std::min(least, run(100, 4, until()));
    check(Object::living == 0, "objects have outlived their pool");
    least = std::min(least, end(3, until()));
    return stress::verdict("object_pool", least);
}
