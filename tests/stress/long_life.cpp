// A pool with every policy that a long life needs, and everything that may happen to it at once: acquires with and
// without settings, returns, discards, cancelled and expired waiters, resizes down to nothing and up again, refreshes,
// sweeps, warm-ups, an opener, checks and hooks that fail; and a close in the middle of it. A hundred times (rule 42,
// rule Z, rule 35, rule 36, rule 37, rule 2).

#include "support/asio_stress.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/executor_work_guard.hpp>

#include <array>
#include <mutex>

namespace {

using namespace asio_stress;

struct Conn {
    struct Book {
        std::atomic<long> opened{0};
        std::atomic<long> closed{0};
        std::atomic<long> alive{0};
    };
    Book* book;
    int setting = 0;  // what was applied; guarded by the lease
    std::atomic<int> users{0};

    explicit Conn(Book& b) : book{&b} {
        ++book->opened;
        ++book->alive;
    }
    ~Conn() { --book->alive; }

    void use(int wanted) {
        check(users.fetch_add(1) == 0, "one owner at a time");
        check(setting == wanted, "a lease has the setting that was asked for", setting * 100 + wanted);
        users.fetch_sub(1);
    }
};
using ConnPtr = std::unique_ptr<Conn>;

// Fails one time in so many.
struct Connector {
    Conn::Book* book;
    std::shared_ptr<std::atomic<unsigned>> count = std::make_shared<std::atomic<unsigned>>(0);

    bool unlucky(unsigned one_in) const { return (count->fetch_add(1) * 2654435761u >> 16) % one_in == 0; }

    ConnPtr connect() const {
        if (unlucky(5)) throw boost::system::system_error{make_error_code(boost::system::errc::connection_refused)};
        return std::make_unique<Conn>(*book);
    }
    bool check(ConnPtr& conn) const {
        asio_stress::check(conn->users.fetch_add(1) == 0, "one owner at a time");
        conn->users.fetch_sub(1);
        return !unlucky(10);
    }
    void apply(ConnPtr& conn, int setting) const {
        asio_stress::check(conn->setting == 0, "what is applied to has been reset");
        if (unlucky(12)) throw std::runtime_error{"no such role"};
        conn->setting = setting;
    }
    void reset(ConnPtr& conn) const {
        if (unlucky(12)) throw std::runtime_error{"the session is gone"};
        conn->setting = 0;
    }
    void close(ConnPtr& conn) const {
        ++book->closed;
        asio_stress::check(conn->users == 0, "nobody uses what is closed");
    }
};

template <class Store>
struct Life {
    using Pool = weir::Pool<ConnPtr, weir::SettingBuckets<int, 2>, weir::Upkeep, weir::Backoff, Store>;
    using Lease = weir::Lease<ConnPtr>;

    Conn::Book book;
    asio::io_context io;
    Pool pool;
    std::atomic<bool> over{false};
    std::atomic<int> outstanding{0};

    explicit Life(unsigned number)
        : pool{io.get_executor(), Connector{&book},
               typename Pool::Options{
                   .size = {.low = number % 3, .high = 4, .eager = number % 2 == 0},
                   .idle = {.ttl = 3ms},
                   .connect = {.first = std::chrono::microseconds{100}, .max = 1ms},
                   .upkeep = {.max_age = 4ms, .max_uses = 20, .check_after_idle = 1ms, .check_every = 1ms}}} {}

    static bool expected(error_code ec) {
        return ec == weir::Errc::closed || ec == weir::Errc::timed_out || ec == weir::Errc::connect_failed ||
               ec == asio::error::operation_aborted || ec == boost::system::errc::connection_refused;
    }

    void thread(unsigned seed) {
        Dice dice{seed};
        while (!over) {
            int const wanted = static_cast<int>(seed++ % 4);
            try {
                auto got = wanted == 0 ? pool.try_acquire_for(5ms) : pool.try_acquire_for(5ms, wanted);
                if (!got) {
                    check(expected(got.error()), "an acquire fails with something expected", got.error().value());
                    if (got.error() == weir::Errc::closed) return;
                    continue;
                }
                (*got)->get()->use(wanted);
                if (dice.one_in(8)) std::this_thread::yield();
                if (dice.one_in(9)) got->discard();
            } catch (std::runtime_error const&) {
                // An apply that failed.
            }
        }
    }

    void handler(unsigned seed) {
        if (over) return;
        ++outstanding;
        int const wanted = static_cast<int>(seed % 4);
        auto done = [this, seed, wanted](error_code ec, Lease lease) {
            if (ec)
                check(expected(ec), "a handler fails with something expected", ec.value());
            else
                lease->get()->use(wanted);
            lease.release();
            if (ec != weir::Errc::closed) handler(seed + 1);
            --outstanding;
        };
        if (seed % 5 == 0) {
            auto signal = std::make_shared<asio::cancellation_signal>();
            auto cancelled = asio::bind_cancellation_slot(
                signal->slot(), [signal, done](error_code ec, Lease lease) mutable { done(ec, std::move(lease)); });
            // Launched and cancelled where the signal is not used by anybody else: on the loop.
            asio::post(io, [this, wanted, signal, cancelled = std::move(cancelled)]() mutable {
                if (wanted == 0)
                    pool.async_acquire_for(5ms, std::move(cancelled));
                else
                    pool.async_acquire_for(5ms, wanted, std::move(cancelled));
                signal->emit(asio::cancellation_type::terminal);
            });
        } else if (wanted == 0) {
            pool.async_acquire_for(5ms, done);
        } else {
            pool.async_acquire_for(5ms, wanted, done);
        }
    }

    void operator_of_the_pool(unsigned seed) {
        Dice dice{seed};
        while (!over) {
            try {
                switch (seed++ % 7) {
                    case 0: pool.resize(0); break;
                    case 1: pool.resize(1 + seed % 5, 1ms); break;
                    case 2: pool.refresh(); break;
                    case 3: pool.sweep(); break;
                    case 4: pool.resize(6); break;
                    case 5: pool.warm_up(2); break;
                    default: {
                        auto const stats = pool.stats();
                        check(stats.open == stats.connecting + stats.idle + stats.leased + stats.closing,
                              "the gauges add up");
                    }
                }
            } catch (boost::system::system_error const& error) {
                check(error.code() == weir::Errc::closed, "only a closed pool refuses", error.code().value());
            }
            std::this_thread::sleep_for(std::chrono::microseconds{200});
        }
    }

    void run(unsigned number) {
        auto work = std::make_unique<asio::executor_work_guard<asio::io_context::executor_type>>(io.get_executor());
        {
            Crew crew{io, 1};
            std::vector<std::thread> threads;
            for (unsigned i = 0; i != 3; ++i) threads.emplace_back([&, i] { thread(number + i); });
            for (unsigned i = 0; i != 2; ++i)
                threads.emplace_back([&, i] { operator_of_the_pool(number * 3 + i * 4); });
            for (unsigned i = 0; i != 4; ++i) handler(number + i);
            std::this_thread::sleep_for(10ms);
            if (number % 2 == 0) over = true;  // else the close comes into the midst of it
            check(pool.close(60s), "a close drains");
            over = true;
            for (auto& each : threads) each.join();
            while (outstanding > 0) std::this_thread::yield();
            work.reset();
        }
        auto const stats = pool.stats();
        check(stats.open == 0 && stats.waiting == 0, "nothing is left");
        check(book.alive == 0, "everything was destroyed", book.alive);
        check(book.opened == book.closed, "everything opened was closed once", book.opened - book.closed);
        check(stats.connected == static_cast<std::uint64_t>(book.opened.load()), "every connect is counted");
        check(stats.connected == stats.closed_idle + stats.closed_age + stats.closed_unhealthy +
                                     stats.closed_discarded + stats.closed_excess + stats.closed_stale +
                                     stats.closed_drained,
              "every close has one cause");
    }
};

template <class Store>
void live(unsigned number) {
    Life<Store> life{number};
    life.run(number);
}

}  // namespace

int main() {
    constexpr unsigned cycles = 100;
    for (unsigned number = 0; number != cycles; ++number) {
        switch (number % 4) {
            case 0: live<weir::LockedStack>(number); break;
            case 1: live<weir::LockedQueue>(number); break;
            default: live<weir::TaggedStack>(number);
        }
    }
    return verdict("long_life", cycles);
}
