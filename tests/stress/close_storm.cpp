// At least fifty pools, each closed, asynchronously closed and destroyed in the middle of traffic, in every order.
// Everybody gets an answer, nothing is handed out afterwards, and each ends in rule Z (rule 38, rule 39, rule 41, rule 42, rule 43).

#include "support/asio_stress.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>

#include <optional>

namespace {

using namespace asio_stress;

// Traffic of one round. Whoever is told `closed` asks no more, so the pool may be destroyed once all were told.
struct Round {
    Book book;
    std::atomic<int> coroutines{0};
    std::atomic<int> callbacks{0};
    std::atomic<int> closes{0};
    std::atomic<int> asking{0};  // keepers and handlers inside a call of the pool
    std::atomic<bool> destroyed{false};
    asio::io_context io;
    std::unique_ptr<Pool> pool;

    void ended(error_code ec) {
        check(ec == weir::Errc::closed, "an acquire that fails here fails with closed", ec.value());
    }

    asio::awaitable<void> coroutine(unsigned seed) {
        Dice dice{seed};
        for (;;) {
            auto [ec, lease] = co_await pool->async_acquire(asio::as_tuple(asio::use_awaitable));
            if (ec) {
                ended(ec);
                break;
            }
            lease->use();
            co_await asio::post(asio::use_awaitable);
            lease->use();
            if (dice.one_in(8)) lease.discard();
        }
    }

    void thread() {
        for (;;) {
            auto lease = pool->try_acquire_for(60s);
            if (!lease) {
                ended(lease.error());
                return;
            }
            (*lease)->use();
        }
    }

    // Keeps one lease until the pool is gone, if it can have one.
    void keeper() {
        auto lease = pool->try_acquire_for(60s);
        --asking;
        if (!lease) return ended(lease.error());
        auto const patience = Clock::now() + 60s;
        while (!destroyed && Clock::now() < patience) std::this_thread::yield();
        (*lease)->use();
    }

    void callback() {
        ++callbacks;
        pool->async_acquire([this](error_code ec, Lease lease) {
            if (ec) {
                ended(ec);
            } else {
                lease->use();
            }
            --callbacks;
        });
    }

    void async_close(Clock::duration wait) {
        ++closes;
        pool->async_close_for(wait, [this, wait](error_code ec) {
            check(!ec || (ec == weir::Errc::timed_out && wait < 60s), "an async close ends drained or at its deadline",
                  ec.value());
            --closes;
        });
    }
};

template <class Opener>
void storm(unsigned number) {
    auto const kind = number % 5;
    bool const lease_outlives_pool = kind >= 3;
    Round round;
    round.pool = std::make_unique<Pool>(round.io.get_executor(), Opener{&round.book},
                                        Pool::Options{.size = {.low = 0, .high = 3}});
    for (unsigned i = 0; i != 6; ++i) {
        ++round.coroutines;
        asio::co_spawn(round.io, round.coroutine(number * 7 + i), [&](std::exception_ptr failure) {
            check(failure == nullptr, "no exception leaves a coroutine");
            --round.coroutines;
        });
    }
    auto work = std::make_optional(asio::make_work_guard(round.io));
    Crew crew{round.io, 2};
    std::vector<std::thread> threads;
    std::vector<std::thread> keepers;
    for (int i = 0; i != 2; ++i) threads.emplace_back([&] { round.thread(); });
    for (int i = 0; lease_outlives_pool && i != 2; ++i) {
        ++round.asking;
        keepers.emplace_back([&] { round.keeper(); });
    }
    for (int i = 0; i != 20; ++i) round.callback();
    std::this_thread::sleep_for(std::chrono::microseconds{100 * (number % 20)});

    std::thread rival;
    switch (kind) {
        case 0:  // several at once, all to the end
            rival = std::thread{[&] { check(round.pool->close(60s), "a close of several drains"); }};
            round.async_close(60s);
            check(round.pool->close(60s), "a close of several drains");
            break;
        case 1:  // hasty first, patient later
            round.async_close(0s);
            round.pool->close(0s);
            round.async_close(60s);
            break;
        case 2:  // from inside a handler
            ++round.asking;
            asio::post(round.io, [&] {
                round.pool->close(0s);
                round.async_close(60s);
                --round.asking;
            });
            break;
        case 3:  // closed, then destroyed with leases out
            round.pool->close(0s);
            round.async_close(60s);
            break;
        default:  // destroyed with leases out, while a close reports
            round.async_close(0s);
            break;
    }
    for (std::thread& each : threads) each.join();
    if (rival.joinable()) rival.join();
    auto const patience = Clock::now() + 60s;
    while ((round.coroutines != 0 || round.callbacks != 0) && Clock::now() < patience) std::this_thread::yield();
    check(round.coroutines == 0, "every coroutine was told", round.coroutines);
    check(round.callbacks == 0, "every callback was told", round.callbacks);
    while (round.asking != 0 && Clock::now() < patience) std::this_thread::yield();
    check(round.asking == 0, "every keeper was told or served", round.asking);
    check(!round.pool->try_acquire().has_value(), "nothing is handed out afterwards");
    if (!lease_outlives_pool) {
        check(round.pool->close(60s), "a closed pool without leases drains");
        check_end(*round.pool, round.book);
    }
    round.pool.reset();
    round.destroyed = true;
    for (std::thread& each : keepers) each.join();
    while (!round.book.settled() && Clock::now() < patience) std::this_thread::yield();
    check(round.book.settled(), "every resource was closed and destroyed exactly once",
          round.book.opened - round.book.closed);
    work.reset();
    crew.join();  // rule Z: no work is left, else this never ends
    check(round.closes == 0, "every async close was answered", round.closes);
    check(round.book.intruders == 0, "nobody used what somebody else held", round.book.intruders);
}

}  // namespace

int main(int argc, char** argv) {
    auto const deadline = Clock::now() + running_time(argc, argv, 4);
    unsigned number = 0;
    while (number < 50 || Clock::now() < deadline) {
        storm<PlainOpener>(number);
        storm<WalkingOpener>(number);
        ++number;
    }
    return verdict("close_storm", number);
}
