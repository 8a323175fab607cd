#pragma once

// What the tests that speak Asio share: a resource that accounts for itself, a recorder of completions, ways to run a
// context until something holds, and the end every test comes to (rule Z).

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/error_code.hpp>

#include <gtest/gtest.h>

#include <weir/pool.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace asio_test {

namespace asio = boost::asio;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

// Long enough for a sanitizer under an emulator; only a failing test ever waits this long.
inline constexpr std::chrono::seconds patience{60};

/// Every resource of one test: how often each was closed by the hook and destroyed. Thread-safe.
class Ledger {
public:
    int open() {
        std::lock_guard lock{mutex_};
        entries_.emplace_back();
        return static_cast<int>(entries_.size()) - 1;
    }

    void close(int number) {
        std::lock_guard lock{mutex_};
        Entry& entry = entries_.at(static_cast<std::size_t>(number));
        ++entry.closes;
        entry.closed_when_dead = entry.closed_when_dead || entry.deaths != 0;
        entry.closed_on = std::this_thread::get_id();
    }

    void die(int number) {
        std::lock_guard lock{mutex_};
        ++entries_.at(static_cast<std::size_t>(number)).deaths;
    }

    int opened() const {
        std::lock_guard lock{mutex_};
        return static_cast<int>(entries_.size());
    }

    int closed() const {
        return count([](Entry const& entry) { return entry.closes != 0; });
    }

    int alive() const {
        return count([](Entry const& entry) { return entry.deaths == 0; });
    }

    std::thread::id closed_on(int number) const {
        std::lock_guard lock{mutex_};
        return entries_.at(static_cast<std::size_t>(number)).closed_on;
    }

    /// Rule Z without a close hook: every resource that was opened was destroyed exactly once.
    testing::AssertionResult all_gone() const {
        return every([](Entry const& entry) { return entry.deaths == 1; });
    }

    /// Rule Z with a close hook: closed exactly once, while alive, then destroyed exactly once.
    testing::AssertionResult all_closed_once() const {
        return every(
            [](Entry const& entry) { return entry.deaths == 1 && entry.closes == 1 && !entry.closed_when_dead; });
    }

private:
    struct Entry {
        int closes = 0;
        int deaths = 0;
        bool closed_when_dead = false;
        std::thread::id closed_on{};
    };

    template <class Predicate>
    int count(Predicate predicate) const {
        std::lock_guard lock{mutex_};
        int n = 0;
        for (Entry const& entry : entries_) n += predicate(entry) ? 1 : 0;
        return n;
    }

    template <class Predicate>
    testing::AssertionResult every(Predicate predicate) const {
        std::lock_guard lock{mutex_};
        for (std::size_t i = 0; i != entries_.size(); ++i) {
            if (predicate(entries_[i])) continue;
            return testing::AssertionFailure() << "resource " << i << " of " << entries_.size() << ": closed "
                                               << entries_[i].closes << " times, destroyed " << entries_[i].deaths
                                               << (entries_[i].closed_when_dead ? ", closed after its end" : "");
        }
        return testing::AssertionSuccess();
    }

    mutable std::mutex mutex_;
    std::vector<Entry> entries_;
};

/// A move-only resource, entered in its ledger once however often it moves.
class Conn {
public:
    explicit Conn(Ledger& ledger) : ledger_{&ledger}, number_{ledger.open()} {}
    Conn(Conn&& other) noexcept
        : payload{other.payload}, ledger_{std::exchange(other.ledger_, nullptr)}, number_{other.number_} {}
    Conn& operator=(Conn&&) = delete;
    ~Conn() {
        if (ledger_ != nullptr) ledger_->die(number_);
    }

    int number() const noexcept { return number_; }
    void closed() const {
        if (ledger_ != nullptr) ledger_->close(number_);
    }

    // Not atomic: two holders at once, or a hand-over without an order, is a race that ThreadSanitizer sees.
    std::int64_t payload = 0;

private:
    Ledger* ledger_;
    int number_;
};

using Lease = weir::Lease<Conn>;

/// Where one acquire ended: hand out `handler()` once, then look at the fields.
struct Got {
    int calls = 0;
    error_code ec{};
    Lease lease{};
    std::thread::id on{};

    auto handler() {
        return [this](error_code e, Lease l) {
            ++calls;
            ec = e;
            lease = std::move(l);
            on = std::this_thread::get_id();
        };
    }

    bool done() const noexcept { return calls != 0; }
    bool succeeded() const { return calls == 1 && !ec && static_cast<bool>(lease); }
    bool failed_with(error_code expected) const { return calls == 1 && ec == expected && !lease; }
};

/// Whether handlers still exist: each keeps a share.
struct Alive {
    std::shared_ptr<int> share = std::make_shared<int>();
    int calls = 0;

    auto handler() {
        return [this, keep = share](error_code, Lease) { ++calls; };
    }
    long handlers() const { return share.use_count() - 1; }
};

/// Where one async_close ended.
struct Ended {
    int calls = 0;
    error_code ec{};

    auto handler() {
        return [this](error_code e) {
            ++calls;
            ec = e;
        };
    }

    bool done() const noexcept { return calls != 0; }
};

/// Waits for another thread's progress; false after `patience`.
template <class Predicate>
bool wait_until(Predicate predicate) {
    auto const deadline = Clock::now() + patience;
    while (!predicate()) {
        if (Clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::microseconds{200});
    }
    return true;
}

/// Runs what is ready now, also on a context that has run dry before.
inline std::size_t poll(asio::io_context& io) {
    io.restart();
    return io.poll();
}

/// Runs the context on this thread until the predicate holds; false after `patience`.
template <class Predicate>
bool run_until(asio::io_context& io, Predicate predicate) {
    auto const deadline = Clock::now() + patience;
    while (!predicate()) {
        if (Clock::now() > deadline) return false;
        io.restart();
        if (io.run_one_for(std::chrono::milliseconds{1}) == 0) std::this_thread::yield();
    }
    return true;
}

/// Runs the context until it has no work left; false when work is still there after `patience`.
inline bool run_dry(asio::io_context& io) {
    io.restart();
    io.run_for(patience);
    return io.stopped();
}

/// Whether something keeps `io.run()` from returning at this moment. Runs what is ready.
inline bool has_work(asio::io_context& io) {
    poll(io);
    return !io.stopped();
}

/// A thread that runs a context until this object ends.
class Runner {
public:
    explicit Runner(asio::io_context& io, int threads = 1) : work_{io.get_executor()} {
        for (int i = 0; i != threads; ++i) threads_.emplace_back([&io] { io.run(); });
    }
    Runner(Runner const&) = delete;
    Runner& operator=(Runner const&) = delete;
    ~Runner() {
        work_.reset();
        for (std::thread& thread : threads_) thread.join();
    }

    std::thread::id id() const { return threads_.front().get_id(); }

private:
    asio::executor_work_guard<asio::io_context::executor_type> work_;
    std::vector<std::thread> threads_;
};

/// Rule Z: the pool closes and drains, nothing is open, nothing waits, the context has nothing left to do.
template <class Pool>
void expect_clean_end(Pool& pool, asio::io_context& io) {
    Ended ended;
    pool.async_close_for(patience, ended.handler());
    EXPECT_TRUE(run_until(io, [&] { return ended.done(); })) << "async_close never completed";
    EXPECT_EQ(ended.ec, error_code{}) << ended.ec.message();
    EXPECT_TRUE(run_dry(io)) << "a closed and drained pool left work on its executor";
    EXPECT_EQ(poll(io), 0u);
    EXPECT_TRUE(pool.closed());
    auto const stats = pool.stats();
    EXPECT_EQ(stats.open, 0u);
    EXPECT_EQ(stats.connecting + stats.idle + stats.leased + stats.closing, 0u);
    EXPECT_EQ(stats.waiting, 0u);
}

}  // namespace asio_test
