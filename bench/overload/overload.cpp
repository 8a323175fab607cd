// More is asked for than can be served: who waits how long, and how much of the work is done for somebody who still
// wants it?

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>
#include <contenders/weir.hpp>
#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <weir/policy/waiting.hpp>
#include <work.hpp>

namespace {

namespace asio = boost::asio;
using bench::Clock;
using bench::Resource;
using namespace std::chrono_literals;

constexpr std::size_t resources = 16;
constexpr auto work_time = 5ms;
constexpr auto run_time = 2s;
constexpr auto client_patience = 100ms;  // who has waited longer for a resource has gone away, or asked again elsewhere

template <class Waiting>
using Pool = bench::Weir<Resource, Waiting>;

/// An `io_context` and a pool on it, whose users each work as long.
template <class Waiting>
class Server {
public:
    Server() : shared_{io_.get_executor(), resources} {}

    /// Requests a second, where there is never nobody to be served.
    double capacity() {
        auto const end = Clock::now() + 300ms;
        std::uint64_t served = 0;
        auto const client = [&]() -> asio::awaitable<void> {
            while (Clock::now() < end) {
                auto const held = co_await shared_.pool().async_acquire(asio::use_awaitable);
                co_await work(*held);
                ++served;
            }
        };
        auto const start = Clock::now();
        for (std::size_t i = 0; i < 2 * resources; ++i) asio::co_spawn(io_, client, asio::detached);
        io_.run();
        io_.restart();
        return static_cast<double>(served) / bench::seconds(Clock::now() - start);
    }

    /// Requests come at random, so many a second, whether or not those before them have been served.
    void serve(double per_second) {
        auto const arrivals = [this, per_second]() -> asio::awaitable<void> {
            std::mt19937_64 random{1};
            std::exponential_distribution<double> gap{per_second};
            asio::steady_timer timer{io_};
            auto const end = Clock::now() + run_time;
            for (auto next = Clock::now(); next < end;) {
                asio::co_spawn(io_, request(), asio::detached);
                next += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>{gap(random)});
                if (next <= Clock::now()) continue;  // late already
                timer.expires_at(next);
                co_await timer.async_wait(asio::use_awaitable);
            }
        };
        asio::co_spawn(io_, arrivals, asio::detached);
        // Until every client that came in time has been served, or has gone.
        io_.run_for(run_time + client_patience);
        shared_.pool().get().close(0s);
        io_.run();
    }

    void report(benchmark::State& state, double capacity) {
        state.counters["p50_us"] = waits_.percentile(0.5);
        state.counters["p99_us"] = waits_.percentile(0.99);
        auto const rate = static_cast<double>(in_time_) / bench::seconds(run_time);
        state.counters["goodput_pct"] = 100 * rate / capacity;
        state.counters["refused_pct"] = 100 * static_cast<double>(refused_) / static_cast<double>(asked_);
        shared_.check(state, uses_, resources);
    }

private:
    asio::awaitable<void> work(Resource& resource) {
        resource.use();
        ++uses_;
        asio::steady_timer timer{io_, work_time};
        co_await timer.async_wait(asio::use_awaitable);
    }

    asio::awaitable<void> request() {
        ++asked_;
        auto const asked = Clock::now();
        boost::system::error_code error;
        auto const held = co_await shared_.pool().async_acquire(asio::redirect_error(asio::use_awaitable, error));
        if (error) {
            if (error == weir::Errc::shed) ++refused_;
            co_return;
        }
        auto const waited = Clock::now() - asked;
        waits_.add(waited);
        if (waited <= client_patience) ++in_time_;
        co_await work(*held);
    }

    asio::io_context io_{1};
    bench::Shared<Pool<Waiting>> shared_;
    bench::Histogram waits_;
    std::uint64_t asked_ = 0;
    std::uint64_t in_time_ = 0;
    std::uint64_t refused_ = 0;
    std::uint64_t uses_ = 0;
};

// The argument: what is asked for, in percent of what can be served.
template <class Waiting>
void overload(benchmark::State& state) {
    for (auto _ : state) {
        Server<Waiting> server;
        auto const capacity = server.capacity();
        server.serve(capacity * static_cast<double>(state.range(0)) / 100);
        server.report(state, capacity);
        state.SetIterationTime(bench::seconds(run_time));
    }
}

void loads(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgName("load_pct")->UseManualTime()->Iterations(1);
    for (int const load : {50, 90, 110, 200, 500}) benchmark->Arg(load);
}

BENCHMARK(overload<weir::Fifo>)->Name("overload/fifo")->Apply(loads);
BENCHMARK(overload<weir::Codel>)->Name("overload/codel")->Apply(loads);

}  // namespace
