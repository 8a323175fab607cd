// rule 9, rule 12, rule 13: a hundred thousand wait for one resource. Some are cancelled, in any order, some run out of
// time, in any order, and the others are served in the order in which they asked. Each hears once, and none too many.

#include "support/stress.hpp"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>
#include <weir/pool.hpp>
#include <weir/testing/fake_connector.hpp>

using namespace weir;
using stress::check;

namespace {

enum class Lot : unsigned char { served, cancelled, timed_out };

struct Asker {
    Lot lot = Lot::served;
    int heard = 0;
    boost::asio::cancellation_signal signal;
};

}  // namespace

int main(int argc, char** argv) {
    constexpr std::size_t count = 100'000;
    stress::Until const until{argc, argv};
    stress::Random random{1};
    testing::FakeConnector connector;
    std::uint64_t rounds = 0;
    do {
        boost::asio::io_context io;
        Pool<testing::FakeConn> pool{io.get_executor(), connector, {.size = {.high = 1}}};
        auto held = pool.acquire();
        std::vector<Asker> askers(count);
        std::vector<std::size_t> cancelled;
        std::size_t next = 0;  // none before it is to be served any more
        std::size_t timed_out = 0;
        for (std::size_t i = 0; i != count; ++i) {
            Asker& asker = askers[i];
            asker.lot = static_cast<Lot>(random.below(3));
            if (asker.lot == Lot::cancelled) cancelled.push_back(i);
            auto const handler = [&, i](boost::system::error_code failed, Lease<testing::FakeConn> const& lease) {
                Asker& self = askers[i];
                ++self.heard;
                check(failed.failed() != static_cast<bool>(lease), "neither a lease nor an error, or both");
                switch (self.lot) {
                    case Lot::served:
                        check(!failed, "one who had all the time was not served: " + failed.message());
                        check(i >= next, "one was served before another who had asked before him");
                        next = i;
                        break;
                    case Lot::cancelled:
                        check(failed == boost::asio::error::operation_aborted,
                              "cancelled, he heard " + failed.message());
                        break;
                    case Lot::timed_out:
                        check(failed == Errc::timed_out, "out of time, he heard " + failed.message());
                        ++timed_out;
                        break;
                }
            };
            auto const wait = asker.lot == Lot::timed_out ? std::chrono::microseconds{1 + random.below(50'000)}
                                                          : std::chrono::microseconds{std::chrono::minutes{10}};
            pool.async_acquire_for(
                wait, boost::asio::bind_cancellation_slot(asker.signal.slot(),
                                                          boost::asio::bind_executor(io.get_executor(), handler)));
        }
        for (std::size_t left = cancelled.size(); left > 1; --left)
            std::swap(cancelled[left - 1], cancelled[random.below(left)]);
        for (std::size_t const i : cancelled) askers[i].signal.emit(boost::asio::cancellation_type::terminal);
        auto const all = static_cast<std::size_t>(
            std::count_if(askers.begin(), askers.end(), [](Asker const& a) { return a.lot == Lot::timed_out; }));
        while (timed_out != all) io.run_one_for(std::chrono::seconds{1});
        check(pool.stats().waiting == count - all - cancelled.size(), "who is gone still waits, or who waits is gone");

        held.release();
        io.restart();
        io.run();
        check(std::all_of(askers.begin(), askers.end(), [](Asker const& a) { return a.heard == 1; }),
              "one did not hear exactly once");
        auto const stats = pool.stats();
        check(stats.waiting == 0 && stats.idle == 1 && stats.open == 1, "not all has come back");
        check(stats.cancelled == cancelled.size() && stats.timed_out == all, "the lots are miscounted");
        check(stats.waited == count, "the waits are miscounted");
        ++rounds;
    } while (!until.over());
    check(connector.complaint().empty(), connector.complaint());
    return stress::verdict("many_waiters", rounds * count);
}
