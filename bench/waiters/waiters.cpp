// A line of up to 100,000 handlers for one resource: what does each of them cost, however many there are?

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/channel_error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <contenders/channel.hpp>
#include <contenders/weir.hpp>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <random>
#include <string>
#include <utility>
#include <vector>
#include <work.hpp>

namespace {

namespace asio = boost::asio;
using bench::Clock;
using bench::Resource;
using boost::system::error_code;
using namespace std::chrono_literals;

/// Of all threads: sleeping costs nothing, and other programs disturb it less.
double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// One resource, which is lent, and so many handlers who come for it.
template <class Pool>
class Line {
    using Held = decltype(std::declval<Pool&>().hold({}));

public:
    explicit Line(benchmark::State& state) : size{static_cast<std::size_t>(state.range(0))}, state_{state} {
        pool().async_acquire([this](error_code, auto item) { held_ = pool().hold(std::move(item)); });
        run();
    }

    std::size_t const size;

    Pool& pool() noexcept { return shared_.pool(); }

    /// Until nobody waits any more.
    void run() {
        io_.restart();
        io_.run();
    }

    void give_back() { held_ = {}; }

    /// The handler of who is to be the next one served when so many have been.
    auto served_as(std::size_t number) {
        return [this, number](error_code error, auto item) {
            auto const held = pool().hold(std::move(item));
            if (error || !held || served_ != number) return;
            held->use();
            ++served_;
        };
    }

    /// The handler of who is to be told that.
    auto told(error_code expected) {
        return [this, expected](error_code error, auto) { told_ += error == expected ? 1 : 0; };
    }

    /// What one of them took.
    void report(double seconds) const { state_.SetIterationTime(seconds / static_cast<double>(size)); }

    /// At the end nobody is left, and the resource has come back.
    void check(std::size_t served, std::size_t told) {
        if (served_ != served) state_.SkipWithError("somebody was not served in his turn");
        if (told_ != told) state_.SkipWithError("somebody was not told what he should have been");
        give_back();
        shared_.check(state_, served, 1);
    }

private:
    benchmark::State& state_;
    asio::io_context io_{1};
    bench::Shared<Pool> shared_{io_.get_executor(), 1};
    Held held_{};
    std::size_t served_ = 0;
    std::size_t told_ = 0;
};

template <class Pool>
void join(benchmark::State& state) {
    for (auto _ : state) {
        Line<Pool> line{state};
        auto const start = processor_seconds();
        for (std::size_t i = 0; i < line.size; ++i) line.pool().async_acquire(line.served_as(i));
        line.report(processor_seconds() - start);
        line.give_back();
        line.run();
        line.check(line.size, 0);
    }
}

// Each is given what the one before him returns.
template <class Pool>
void serve(benchmark::State& state) {
    for (auto _ : state) {
        Line<Pool> line{state};
        for (std::size_t i = 0; i < line.size; ++i) line.pool().async_acquire(line.served_as(i));
        auto const start = processor_seconds();
        line.give_back();
        line.run();
        line.report(processor_seconds() - start);
        line.check(line.size, 0);
    }
}

// In random order.
template <class Pool>
void cancel(benchmark::State& state, error_code expected) {
    for (auto _ : state) {
        Line<Pool> line{state};
        std::vector<asio::cancellation_signal> signals(line.size);
        for (auto& signal : signals)
            line.pool().async_acquire(asio::bind_cancellation_slot(signal.slot(), line.told(expected)));
        std::vector<asio::cancellation_signal*> order;
        for (auto& signal : signals) order.push_back(&signal);
        std::shuffle(order.begin(), order.end(), std::mt19937_64{1});
        auto const start = processor_seconds();
        for (auto* const signal : order) signal->emit(asio::cancellation_type::terminal);
        line.run();
        line.report(processor_seconds() - start);
        line.check(0, line.size);
    }
}

// Time enough for all to join, also on a slow machine.
Clock::duration joining(std::size_t size) { return 10ms + size * 5us; }

// In random order, two in each microsecond.
template <class Pool>
void time_out(benchmark::State& state) {
    for (auto _ : state) {
        Line<Pool> line{state};
        auto const first = Clock::now() + joining(line.size);
        std::mt19937_64 random{1};
        std::uniform_int_distribution<Clock::rep> spread{0, Clock::duration{line.size * 500ns}.count()};
        for (std::size_t i = 0; i < line.size; ++i) {
            auto const deadline = first + Clock::duration{spread(random)};
            auto const handler = [told = line.told(weir::Errc::timed_out), deadline, i](error_code error, auto lease) {
                bool const early = i % 64 == 0 && Clock::now() < deadline;  // to look each time would cost too much
                told(early ? error_code{} : error, std::move(lease));
            };
            line.pool().get().async_acquire_for(deadline - Clock::now(), handler);
        }
        auto const start = processor_seconds();
        line.run();
        line.report(processor_seconds() - start);
        line.check(0, line.size);
    }
}

// The resource comes back in the moment in which the time of all in line is up but that of the last: how long is it
// until he is served, and how long is who returns it held up?
template <class Pool>
void convoy(benchmark::State& state) {
    double returning = 0;
    for (auto _ : state) {
        Line<Pool> line{state};
        auto& pool = line.pool().get();
        auto const deadline = Clock::now() + joining(line.size);
        auto last = deadline;  // as the time of some counts from a little later
        for (std::size_t i = 0; i < line.size; ++i) {
            auto const wait = deadline - Clock::now();
            pool.async_acquire_for(wait, line.told(weir::Errc::timed_out));
            last = std::max(last, Clock::now() + wait);
        }
        Clock::time_point served{};
        pool.async_acquire_for(1min, [&served, serve = line.served_as(0)](error_code error, auto lease) {
            served = Clock::now();
            serve(error, std::move(lease));
        });
        while (Clock::now() <= last) {
        }
        auto const start = Clock::now();
        line.give_back();
        returning += bench::seconds(Clock::now() - start);
        line.run();
        state.SetIterationTime(bench::seconds(served - start));
        line.check(1, line.size);
    }
    state.counters["return_us"] = returning * 1e6 / static_cast<double>(state.iterations());
}

void few(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgName("waiters")->Arg(1'000)->UseManualTime()->Iterations(20);
}
void many(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgName("waiters")->Arg(100'000)->UseManualTime()->Iterations(2);
}

template <class Function>
void sizes(std::string const& name, Function function) {
    few(benchmark::RegisterBenchmark(name.c_str(), function));
    many(benchmark::RegisterBenchmark(name.c_str(), function));
}

bool const registered = [] {
    using Weir = bench::Weir<Resource>;
    using Channel = bench::Channel<Resource>;
    sizes("waiters_join/weir", join<Weir>);
    sizes("waiters_join/channel", join<Channel>);
    sizes("waiters_serve/weir", serve<Weir>);
    sizes("waiters_serve/channel", serve<Channel>);
    sizes("waiters_cancel/weir", [](benchmark::State& state) { cancel<Weir>(state, asio::error::operation_aborted); });
    // It goes through the whole line for each.
    few(benchmark::RegisterBenchmark("waiters_cancel/channel", [](benchmark::State& state) {
        cancel<Channel>(state, asio::experimental::error::channel_cancelled);
    }));
    sizes("waiters_time_out/weir", time_out<Weir>);
    sizes("waiters_convoy/weir", convoy<Weir>);
    return true;
}();

}  // namespace
