#pragma once
// Clients that ask a server through a pool, and account for every answer.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include <weir/error.hpp>
#include <weir/pool.hpp>

#include "support/asio.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace weir::test {

namespace asio = boost::asio;

/// Runs a coroutine, and cancels it when its time is up. For coroutines that run on a strand.
template <class T>
asio::awaitable<T> within(std::chrono::milliseconds limit, asio::awaitable<T> work) {
    auto const executor = co_await asio::this_coro::executor;
    auto const signal = std::make_shared<asio::cancellation_signal>();
    asio::steady_timer timer{executor, limit};
    timer.async_wait([signal](boost::system::error_code ec) {
        if (!ec) signal->emit(asio::cancellation_type::terminal);
    });
    co_return co_await asio::co_spawn(executor, std::move(work),
                                      asio::bind_cancellation_slot(signal->slot(), asio::use_awaitable));
}

/// Why a request failed: what the client was told, and where that is that the pool could not open one in time, why.
struct Reason {
    boost::system::error_code told{};
    boost::system::error_code behind{};

    std::string text() const {
        auto const name = [](boost::system::error_code code) {
            return code == Errc::timed_out ? std::string{"timed out"} : code.message();
        };
        return behind ? name(told) + " (" + name(behind) + ")" : name(told);
    }
    bool operator<(Reason const& other) const { return std::tie(told, behind) < std::tie(other.told, other.behind); }
};

/// What clients have met with.
struct Tally {
    std::size_t succeeded = 0;
    std::size_t wrong = 0;  ///< answers to another question
    std::map<Reason, std::size_t> failures{};
    std::optional<std::chrono::steady_clock::time_point> first_success_since_mark{};

    std::size_t failed() const {
        std::size_t sum = 0;
        for (auto const& [reason, times] : failures) sum += times;
        return sum;
    }
    std::size_t tried() const { return succeeded + wrong + failed(); }
    bool shows(std::string const& cause) const {
        return std::any_of(failures.begin(), failures.end(), [&](auto const& each) {
            return each.first.told.message() == cause || each.first.behind.message() == cause;
        });
    }
    /// Each reason, and how often.
    std::string reasons() const {
        std::string text;
        for (auto const& [reason, times] : failures)
            (text += text.empty() ? "" : ", ") += std::to_string(times) + " " + reason.text();
        return text;
    }
};

/// How hard a pool is driven.
struct LoadOptions {
    std::size_t high = 8;
    std::size_t coroutines = 12;
    std::size_t threads = 2;
    std::chrono::milliseconds request_limit{1000};
    std::chrono::milliseconds connect_limit{1000};
};

/// Coroutines and threads that ask questions, each of which has one answer, until this is stopped.
///
/// `Backend` has `Connection`, `Drop` (a policy), `connector(name)`, `async_ask(conn, question)`, `ask(conn, question)`
/// and `answer(question)`.
template <class Backend>
class Load {
public:
    using Pool = weir::Pool<typename Backend::Connection, weir::Backoff, weir::Upkeep, typename Backend::Drop>;
    using Clock = std::chrono::steady_clock;

    Load(Backend& backend, std::string const& name, LoadOptions options = {})
        : options_{options}, pool_{io_.get_executor(), backend.connector(name), settings(options)}, runner_{io_, 2} {
        for (std::size_t i = 0; i != options.coroutines; ++i)
            clients_.push_back(asio::co_spawn(
                asio::make_strand(io_), [this] { return ask_on(); }, asio::use_future));
        for (std::size_t i = 0; i != options.threads; ++i) threads_.emplace_back([this] { ask_blocking_on(); });
    }
    Load(Load const&) = delete;
    Load& operator=(Load const&) = delete;
    ~Load() { stop(); }

    /// Ends the clients; their last requests are answered, or time out.
    void stop() {
        stopping_ = true;
        for (auto& each : std::exchange(clients_, {})) each.get();
        for (auto& each : threads_) each.join();
        threads_.clear();
    }

    Pool& pool() noexcept { return pool_; }

    Tally tally() const {
        std::lock_guard const lock{mutex_};
        return tally_;
    }
    /// Starts to count anew.
    void mark() {
        std::lock_guard const lock{mutex_};
        tally_ = {};
    }
    /// From now on the first success is looked for.
    void mark_recovery() {
        std::lock_guard const lock{mutex_};
        tally_.first_success_since_mark.reset();
    }
    bool wait_for_successes(std::size_t more) const {
        auto const before = tally().succeeded;
        return asio_test::wait_until([&] { return tally().succeeded >= before + more; });
    }
    bool wait_for_failures(std::size_t some, std::string const& cause, std::function<void()> const& meanwhile) const {
        return asio_test::wait_until([&] {
            auto const now = tally();
            if (now.failed() >= some && now.shows(cause)) return true;
            if (meanwhile) meanwhile();
            return false;
        });
    }

private:
    static typename Pool::Options settings(LoadOptions const& options) {
        using namespace std::chrono_literals;
        return {.size = {.high = options.high},
                .wait = {.timeout = options.request_limit},
                .connect = {.timeout = options.connect_limit, .max = 200ms},
                .upkeep = {.check_after_idle = 50ms}};
    }

    asio::awaitable<void> ask_on() {
        asio::steady_timer pause{co_await asio::this_coro::executor};
        while (!stopping_) {
            co_await ask_once();
            pause.expires_after(std::chrono::milliseconds{1});
            co_await pause.async_wait(asio::use_awaitable);
        }
    }

    asio::awaitable<void> ask_once() {
        auto const question = ++question_;
        try {
            auto lease = co_await pool_.async_acquire(asio::use_awaitable);
            auto const answer = co_await within(options_.request_limit, Backend::async_ask(*lease, question));
            end(answer == Backend::answer(question));
        } catch (boost::system::system_error const& error) {
            fail(error.code());
        }
    }

    void ask_blocking_on() {
        while (!stopping_) {
            auto const question = ++question_;
            try {
                auto lease = pool_.acquire();
                end(Backend::ask(*lease, question) == Backend::answer(question));
            } catch (boost::system::system_error const& error) {
                fail(error.code());
            }
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
    }

    void end(bool right) {
        std::lock_guard const lock{mutex_};
        ++(right ? tally_.succeeded : tally_.wrong);
        if (!tally_.first_success_since_mark) tally_.first_success_since_mark = Clock::now();
    }
    void fail(boost::system::error_code told) {
        Reason reason{.told = told};
        auto const failure = pool_.last_connect_failure();
        bool const fresh = failure && Clock::now() - failure->when < options_.request_limit;
        if (fresh && told == make_error_code(Errc::timed_out)) reason.behind = failure->error;
        std::lock_guard const lock{mutex_};
        ++tally_.failures[reason];
    }

    LoadOptions options_;
    asio::io_context io_;
    Pool pool_;
    asio_test::Runner runner_;
    std::atomic<bool> stopping_ = false;
    std::atomic<std::int64_t> question_ = 0;
    mutable std::mutex mutex_;  // protects the tally
    Tally tally_;
    std::vector<std::future<void>> clients_;
    std::vector<std::thread> threads_;
};

}  // namespace weir::test
