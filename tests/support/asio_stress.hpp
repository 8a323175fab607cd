#pragma once

// What the stress programs of the asynchronous side share. They are judged by their exit code and meant for
// ThreadSanitizer, so nothing here orders what the pool has to order.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <weir/pool.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace asio_stress {

namespace asio = boost::asio;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

inline std::atomic<int> failures{0};

/// Reports a broken promise; the program goes on and ends with 1.
inline bool check(bool holds, char const* promise, long long detail = 0) {
    if (!holds && failures.fetch_add(1) < 20) std::fprintf(stderr, "broken: %s (%lld)\n", promise, detail);
    return holds;
}

inline int verdict(char const* name, long long amount) {
    std::printf("%s: %lld, %d broken promises\n", name, amount, failures.load());
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/// How long to go on: the first argument in seconds, else the default.
inline Clock::duration running_time(int argc, char** argv, double seconds) {
    if (argc > 1) seconds = std::atof(argv[1]);
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>{seconds});
}

/// All resources of one pool together.
struct Book {
    std::atomic<long long> opened{0};
    std::atomic<long long> closed{0};
    std::atomic<long long> destroyed{0};
    std::atomic<long long> intruders{0};

    bool settled() const { return opened == closed && opened == destroyed; }
};

/// A resource that notices a second owner. Its counter is not atomic and its flag orders nothing, so a hand-over that
/// the pool does not order is a race that ThreadSanitizer reports.
class Owned {
public:
    explicit Owned(Book& book) : state_{std::make_unique<State>()}, book_{&book} { ++book.opened; }
    Owned(Owned&&) noexcept = default;
    Owned& operator=(Owned&&) = delete;
    ~Owned() {
        if (state_) ++book_->destroyed;
    }

    void use() {
        if (state_->used.exchange(true, std::memory_order_relaxed)) ++book_->intruders;
        ++state_->uses;
        state_->used.store(false, std::memory_order_relaxed);
    }
    void closed() {
        if (state_->closed) ++book_->intruders;
        state_->closed = true;
        ++book_->closed;
    }

private:
    struct State {
        std::atomic<bool> used{false};
        long long uses = 0;
        bool closed = false;
    };
    std::unique_ptr<State> state_;
    Book* book_;
};

using Pool = weir::Pool<Owned>;
using Lease = weir::Lease<Owned>;

/// Opens and closes at once.
struct PlainOpener {
    Book* book;
    Owned connect() { return Owned{*book}; }
    void close(Owned& owned) { owned.closed(); }
};

/// Opens, recycles and closes in several steps of the pool's executor.
struct WalkingOpener {
    Book* book;
    asio::awaitable<Owned> connect() {
        co_await asio::post(asio::use_awaitable);
        co_return Owned{*book};
    }
    asio::awaitable<bool> recycle(Owned& owned) {
        owned.use();
        co_await asio::post(asio::use_awaitable);
        owned.use();
        co_return true;
    }
    asio::awaitable<void> close(Owned& owned) {
        co_await asio::post(asio::use_awaitable);
        owned.closed();
    }
};

/// Rule Z for a pool whose leases are gone and whose close has been reported.
inline void check_end(Pool const& pool, Book const& book) {
    auto const stats = pool.stats();
    check(stats.open == 0, "a drained pool has nothing open", static_cast<long long>(stats.open));
    check(stats.waiting == 0, "a closed pool has no waiters", static_cast<long long>(stats.waiting));
    check(book.intruders == 0, "nobody used what somebody else held", book.intruders);
    check(book.settled(), "every resource was closed and destroyed exactly once", book.opened - book.closed);
}

/// A cheap generator of its own for every client.
class Dice {
public:
    explicit Dice(unsigned seed) : engine_{seed} {}
    bool one_in(unsigned n) { return engine_() % n == 0; }
    unsigned below(unsigned n) { return static_cast<unsigned>(engine_() % n); }

private:
    std::minstd_rand engine_;
};

/// Threads that run one context until it has no work.
class Crew {
public:
    Crew(asio::io_context& io, int size) {
        for (int i = 0; i != size; ++i) threads_.emplace_back([&io] { io.run(); });
    }
    Crew(Crew const&) = delete;
    Crew& operator=(Crew const&) = delete;
    ~Crew() { join(); }
    void join() {
        for (std::thread& thread : threads_) {
            if (thread.joinable()) thread.join();
        }
    }

private:
    std::vector<std::thread> threads_;
};

}  // namespace asio_stress
