// The clients of one side: coroutines and plain threads that send requests until their source is closed.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>
#include <weir/error.hpp>
#include <weir/lifetime.hpp>

#include "report.hpp"
#include "workload.hpp"

namespace query_service {

/// Counts those who are still at work.
class Attendance {
public:
    explicit Attendance(std::size_t present) : present_(present) {}

    void leave() {
        std::lock_guard const lock{mutex_};
        --present_;
        // Under the lock, because whoever waits may destroy this as soon as it has seen the last one leave.
        last_one_left_.notify_all();
    }

    bool wait_until(Clock::time_point deadline) {
        std::unique_lock lock{mutex_};
        return last_one_left_.wait_until(lock, deadline, [this] { return present_ == 0; });
    }

private:
    std::mutex mutex_;  // protects present_
    std::condition_variable last_one_left_;
    std::size_t present_;
};

/// While a database is away, its clients do not hammer at it.
inline constexpr std::chrono::milliseconds pause_after_error{50};

enum class Next : std::uint8_t { pause, end };

/// Called where a request has failed, with the exception in flight.
inline Next note_failure(Recorder& recorder) {
    try {
        throw;
    } catch (boost::system::system_error const& error) {
        if (error.code() == weir::Errc::closed) {
            return Next::end;
        }
        recorder.error(error.what());
    } catch (std::exception const& error) {
        recorder.error(error.what());
    }
    return Next::pause;
}

template <class Source, class Backend>
boost::asio::awaitable<void> run_client(Source& source, Backend& backend, Client client, Recorder& recorder,
                                        [[maybe_unused]] weir::Lifetime lifetime) {
    boost::asio::steady_timer pause{co_await boost::asio::this_coro::executor};
    for (;;) {
        try {
            auto const asked = Clock::now();
            auto handle = co_await source.async_get(client.tenant());
            auto const got = Clock::now();
            Operation operation = client.next();
            co_await backend.async_run(*handle, operation);
            recorder.request(got - asked, Clock::now() - got);
            co_await source.async_put(std::move(handle));
            continue;
        } catch (...) {
            if (note_failure(recorder) == Next::end) {
                co_return;
            }
        }
        pause.expires_after(pause_after_error);
        co_await pause.async_wait(boost::asio::use_awaitable);
    }
}

template <class Source, class Backend>
void run_plain_client(Source& source, Backend& backend, Client client, Recorder& recorder,
                      [[maybe_unused]] weir::Lifetime lifetime) {
    for (;;) {
        try {
            auto const asked = Clock::now();
            auto handle = source.get(client.tenant());
            auto const got = Clock::now();
            Operation operation = client.next();
            backend.run(*handle, operation);
            recorder.request(got - asked, Clock::now() - got);
            source.put(std::move(handle));
            continue;
        } catch (...) {
            if (note_failure(recorder) == Next::end) {
                return;
            }
        }
        std::this_thread::sleep_for(pause_after_error);
    }
}

/// All clients of one side. Destroyed only when every one of them has ended.
class Crew {
public:
    Crew(std::size_t coroutines, std::size_t threads)
        : coroutines_(coroutines), recorders_(coroutines + threads), attendance_(coroutines + threads) {}

    template <class Source, class Backend, class MakeClient>
    void start(boost::asio::io_context& io, Source& source, Backend& backend, MakeClient make_client) {
        for (std::size_t i = 0; i < recorders_.size(); ++i) {
            if (i < coroutines_) {
                boost::asio::co_spawn(io, run_client(source, backend, make_client(i), recorders_[i], source.lifetime()),
                                      [this](std::exception_ptr const&) { attendance_.leave(); });
            } else {
                threads_.emplace_back([&, client = make_client(i), lifetime = source.lifetime(), i]() mutable {
                    run_plain_client(source, backend, std::move(client), recorders_[i], std::move(lifetime));
                    attendance_.leave();
                });
            }
        }
    }

    bool wait_until_ended(Clock::time_point deadline) { return attendance_.wait_until(deadline); }

    Recorder::Counts counts() const {
        Recorder::Counts sum;
        for (Recorder const& each : recorders_) {
            auto const counts = each.counts();
            sum.requests += counts.requests;
            sum.errors += counts.errors;
        }
        return sum;
    }

    void add_to(Summary& summary) const {
        for (Recorder const& each : recorders_) {
            each.add_to(summary);
        }
    }

private:
    std::size_t coroutines_;
    std::vector<Recorder> recorders_;
    Attendance attendance_;
    std::vector<std::jthread> threads_;
};

}  // namespace query_service
