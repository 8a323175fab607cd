// Coroutines on a multi-threaded context share one pool with plain threads: one queue for both (rule 9), exclusive
// ownership, nothing lost (rule Z). Once with a plain connector, once with one whose every member is awaitable.

#include "support/asio_stress.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <optional>

namespace {

using namespace asio_stress;

std::atomic<long long> rounds{0};

// The pool keeps its resources all the time, so what is discarded has to be replaced for who waits (rule 23).
asio::awaitable<void> coroutine(Pool& pool, std::atomic<bool>& stop, Dice dice) {
    while (!stop) {
        error_code ec;
        Lease lease;
        if (dice.one_in(4)) {
            auto const patience = std::chrono::microseconds{dice.below(300)};
            std::tie(ec, lease) = co_await pool.async_acquire_for(patience, asio::as_tuple(asio::use_awaitable));
        } else {
            std::tie(ec, lease) = co_await pool.async_acquire(asio::as_tuple(asio::use_awaitable));
        }
        if (ec) {
            check(ec == weir::Errc::timed_out, "a coroutine's acquire ends with a lease or its deadline", ec.value());
            co_await asio::post(asio::use_awaitable);
            continue;
        }
        lease->use();
        if (dice.one_in(2)) {
            co_await asio::post(asio::use_awaitable);  // goes on on another thread
            lease->use();
        }
        ++rounds;
        if (dice.one_in(64)) lease.discard();
    }
}

void thread(Pool& pool, std::atomic<bool>& stop, Dice dice) {
    while (!stop) {
        switch (dice.below(4)) {
            case 0:
                if (auto lease = pool.try_acquire()) (*lease)->use();
                break;
            case 1:
                if (auto lease = pool.try_acquire_for(std::chrono::microseconds{dice.below(300)})) (*lease)->use();
                break;
            case 2:
                for (Lease& lease : pool.acquire_idle()) lease->use();
                break;
            default: {
                Lease lease = pool.acquire();
                lease->use();
                if (dice.one_in(64)) lease.discard();
            }
        }
        ++rounds;
    }
}

template <class Opener>
void run(Clock::time_point deadline) {
    Book book;
    std::atomic<bool> stop{false};
    std::atomic<int> alive{0};
    std::optional<asio::io_context> io;
    io.emplace();
    {
        Pool pool{io->get_executor(), Opener{&book}, {.size = {.low = 0, .high = 4}}};
        for (unsigned i = 0; i != 32; ++i) {
            ++alive;
            asio::co_spawn(*io, coroutine(pool, stop, Dice{i + 1}), [&](std::exception_ptr failure) {
                check(failure == nullptr, "no exception leaves a coroutine");
                --alive;
            });
        }
        auto work = std::make_optional(asio::make_work_guard(*io));
        Crew crew{*io, 3};
        std::vector<std::thread> threads;
        for (unsigned i = 0; i != 3; ++i) threads.emplace_back([&, i] { thread(pool, stop, Dice{i + 101}); });

        while (Clock::now() < deadline) {
            auto const stats = pool.stats();
            check(stats.open == stats.connecting + stats.idle + stats.leased + stats.closing, "a snapshot adds up",
                  static_cast<long long>(stats.open));
            check(stats.open <= stats.high, "open never exceeds high", static_cast<long long>(stats.open));
            std::this_thread::sleep_for(1ms);
        }
        stop = true;
        for (std::thread& each : threads) each.join();
        auto const patience = Clock::now() + 60s;
        while (alive != 0 && Clock::now() < patience) std::this_thread::sleep_for(1ms);
        check(alive == 0, "no coroutine sleeps while a resource is idle", alive);
        check(pool.close(60s), "the pool drains");
        check_end(pool, book);
        work.reset();
        crew.join();
    }
    io.reset();
    check(book.settled(), "every resource was closed and destroyed exactly once", book.opened - book.destroyed);
}

}  // namespace

int main(int argc, char** argv) {
    auto const half = running_time(argc, argv, 4) / 2;
    run<PlainOpener>(Clock::now() + half);
    run<WalkingOpener>(Clock::now() + half);
    check(rounds > 0, "somebody got something");
    return verdict("async_threads", rounds);
}
