// Cancellation against hand-off. Clients on strands of a multi-threaded context ask and cancel; plain threads give back
// at the same moment. Exactly one of the two wins, every time (rule 13), and nothing is lost (rule Z).

#include "support/asio_stress.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/strand.hpp>

#include <deque>

namespace {

using namespace asio_stress;

struct Totals {
    std::atomic<long long> launched{0};
    std::atomic<long long> granted{0};
    std::atomic<long long> aborted{0};
    std::atomic<long long> expired{0};
};

class Client {
public:
    Client(asio::io_context& io, Pool& pool, Totals& totals, std::atomic<bool>& stop, unsigned seed)
        : strand_{asio::make_strand(io)}, pool_{pool}, totals_{totals}, stop_{stop}, dice_{seed} {}

    void start() {
        asio::post(strand_, [this] { next(); });
    }

private:
    void next() {
        if (stop_) return;
        ++totals_.launched;
        auto const round = ++round_;
        pending_ = true;
        auto handler = asio::bind_cancellation_slot(
            signal_.slot(),
            asio::bind_executor(strand_, [this](error_code ec, Lease lease) { finish(ec, std::move(lease)); }));
        if (dice_.one_in(8)) {
            pool_.async_acquire_for(std::chrono::microseconds{dice_.below(200)}, std::move(handler));
        } else {
            pool_.async_acquire(std::move(handler));
        }
        static constexpr asio::cancellation_type types[] = {
            asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total,
            asio::cancellation_type::all};
        auto const type = types[dice_.below(4)];
        if (dice_.one_in(8)) {
            signal_.emit(type);
        } else if (!dice_.one_in(4)) {
            asio::post(strand_, [this, round, type] {
                if (pending_ && round == round_) signal_.emit(type);
            });
        }
    }

    void finish(error_code ec, Lease lease) {
        check(strand_.running_in_this_thread(), "a handler runs on its own strand");
        check(pending_, "a handler is called exactly once", round_);
        pending_ = false;
        check(static_cast<bool>(lease) == !ec, "a lease or an error, never both");
        if (!ec) {
            ++totals_.granted;
            lease->use();
            if (dice_.one_in(3)) {
                asio::post(strand_, [this, held = std::move(lease)]() mutable {
                    held->use();
                    held.release();
                    next();
                });
                return;
            }
            lease.release();
        } else if (ec == asio::error::operation_aborted) {
            ++totals_.aborted;
        } else if (ec == weir::Errc::timed_out) {
            ++totals_.expired;
        } else {
            check(false, "an acquire ends with a lease, an abort or its deadline", ec.value());
        }
        asio::post(strand_, [this] { next(); });
    }

    asio::strand<asio::io_context::executor_type> strand_;
    asio::cancellation_signal signal_;
    Pool& pool_;
    Totals& totals_;
    std::atomic<bool>& stop_;
    Dice dice_;
    long long round_ = 0;
    bool pending_ = false;
};

}  // namespace

int main(int argc, char** argv) {
    auto const deadline = Clock::now() + running_time(argc, argv, 3);
    Book book;
    Totals totals;
    std::atomic<bool> stop{false};
    long long plain = 0;
    {
        asio::io_context io;
        Pool pool{io.get_executor(), PlainOpener{&book}, {.size = {.low = 0, .high = 2}}};
        std::deque<Client> clients;
        for (unsigned i = 0; i != 8; ++i) clients.emplace_back(io, pool, totals, stop, i + 1).start();
        auto work = asio::make_work_guard(io);
        Crew crew{io, 3};

        // This thread gives back whenever it can, against the strands' cancellations.
        while (Clock::now() < deadline) {
            if (auto lease = pool.try_acquire_for(1s)) {
                (*lease)->use();
                ++plain;
            }
        }
        stop = true;
        work.reset();
        crew.join();

        check(totals.launched == totals.granted + totals.aborted + totals.expired, "every acquire is answered once",
              totals.launched - totals.granted - totals.aborted - totals.expired);
        auto const stats = pool.stats();
        check(static_cast<long long>(stats.acquired) == totals.granted + plain, "acquired counts leases",
              static_cast<long long>(stats.acquired) - totals.granted - plain);
        check(static_cast<long long>(stats.cancelled) == totals.aborted, "cancelled counts aborts",
              static_cast<long long>(stats.cancelled) - totals.aborted);
        check(stats.leased == 0 && stats.waiting == 0, "nothing was lost", static_cast<long long>(stats.leased));
        check(stats.idle == stats.open, "what is open is idle when nobody asks", static_cast<long long>(stats.open));
        check(pool.close(30s), "the pool drains");
        check_end(pool, book);
    }
    check(totals.aborted > 0 && totals.granted > 0, "both sides of the race were seen", totals.aborted);
    return verdict("async_cancel", totals.launched);
}
