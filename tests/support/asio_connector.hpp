#pragma once

// Connectors for the tests that speak Asio. Every one can be told how the next connect shall go:
// ok, error, slow (waits at a gate, leaves it when cancelled) or never (waits there whatever it is told).

#include "asio.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/channel_error.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <weir/connector.hpp>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace asio_test {

enum class Mode { ok, error, slow, never };

inline error_code refused() { return asio::error::connection_refused; }

/// A gate coroutines wait at. Thread-safe. Ends before its context does.
class Gate {
public:
    explicit Gate(asio::any_io_executor executor) : channel_{std::move(executor), 1u << 20} {}

    /// Lets one through, now or when it comes.
    void let_one() { channel_.try_send(error_code{}); }
    /// Lets everybody through from now on.
    void open() { channel_.close(); }

    asio::awaitable<void> pass() {
        auto [ec] = co_await channel_.async_receive(asio::as_tuple(asio::use_awaitable));
        if (ec && ec != asio::experimental::error::channel_closed)
            throw boost::system::system_error{asio::error::operation_aborted};
    }

private:
    asio::experimental::concurrent_channel<void(error_code)> channel_;
};

/// What all copies of a connector share: how to behave, and what happened.
struct Script {
    explicit Script(Ledger& book) : ledger{book} {}

    Ledger& ledger;
    std::atomic<Mode> mode{Mode::ok};
    std::atomic<int> begun{0};
    std::atomic<int> ended{0};
    std::atomic<int> cancelled{0};

    int in_flight() const { return begun - ended; }

    // Counts one connect from its beginning to its end, whatever the end.
    class Visit {
    public:
        explicit Visit(Script& script) : script_{script} { ++script_.begun; }
        Visit(Visit const&) = delete;
        Visit& operator=(Visit const&) = delete;
        ~Visit() { ++script_.ended; }

    private:
        Script& script_;
    };
};

/// Opens at once; the pool's executor does the work, so a test that polls one context sees every step.
class Opener {
public:
    explicit Opener(Ledger& ledger) : ledger_{&ledger} {}
    asio::awaitable<Conn> connect() { co_return Conn{*ledger_}; }
    void close(Conn& conn) { conn.closed(); }

private:
    Ledger* ledger_;
};

/// The same as plain code.
class PlainOpener {
public:
    explicit PlainOpener(Ledger& ledger) : ledger_{&ledger} {}
    Conn connect() { return Conn{*ledger_}; }
    void close(Conn& conn) { conn.closed(); }

private:
    Ledger* ledger_;
};

/// An awaitable connector under a script and a gate.
class GatedOpener {
public:
    struct State : Script {
        State(Ledger& book, asio::any_io_executor executor) : Script{book}, gate{std::move(executor)} {}
        Gate gate;
    };

    explicit GatedOpener(State& state) : state_{&state} {}

    asio::awaitable<Conn> connect(weir::ConnectContext const&) {
        Script::Visit visit{*state_};
        Mode const mode = state_->mode;
        if (mode == Mode::error) throw boost::system::system_error{refused()};
        if (mode == Mode::never) {
            co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
            co_await asio::this_coro::throw_if_cancelled(false);
        }
        if (mode != Mode::ok) co_await pass();
        co_return Conn{state_->ledger};
    }
    void close(Conn& conn) { conn.closed(); }

private:
    asio::awaitable<void> pass() {
        bool passed = false;
        try {
            co_await state_->gate.pass();
            passed = true;
        } catch (boost::system::system_error const&) {
            ++state_->cancelled;
        }
        if (!passed) throw boost::system::system_error{asio::error::operation_aborted};
    }

    State* state_;
};

/// A plain connector under a script and a gate: it blocks the thread it runs on.
class BlockingOpener {
public:
    struct State : Script {
        using Script::Script;

        std::mutex mutex;
        std::condition_variable_any changed;
        bool open = false;
        std::thread::id on{};

        void open_gate() {
            {
                std::lock_guard lock{mutex};
                open = true;
            }
            changed.notify_all();
        }
    };

    explicit BlockingOpener(std::shared_ptr<State> state) : state_{std::move(state)} {}

    Conn connect(weir::ConnectContext const& context) {
        Script::Visit visit{*state_};
        Mode const mode = state_->mode;
        if (mode == Mode::error) throw boost::system::system_error{refused()};
        std::unique_lock lock{state_->mutex};
        state_->on = std::this_thread::get_id();
        if (mode == Mode::never) state_->changed.wait(lock, [&] { return state_->open; });
        if (mode == Mode::slow) {
            auto const stop = context.lifetime.stop_token();
            if (!state_->changed.wait(lock, stop, [&] { return state_->open; })) {
                ++state_->cancelled;
                throw boost::system::system_error{asio::error::operation_aborted};
            }
        }
        return Conn{state_->ledger};
    }
    void close(Conn& conn) { conn.closed(); }

private:
    std::shared_ptr<State> state_;
};

/// One context, one pool on it, one ledger, destroyed in the right order.
template <class Connector, class... Policies>
struct World {
    using Pool = weir::Pool<Conn, Policies...>;
    using Options = typename Pool::Options;

    explicit World(Options options = {}) : pool{io.get_executor(), Connector{ledger}, std::move(options)} {}

    /// Leases one, running the context as far as that needs.
    Lease take() {
        Got got;
        pool.async_acquire(got.handler());
        EXPECT_TRUE(run_until(io, [&] { return got.done(); }));
        EXPECT_TRUE(got.succeeded()) << got.ec.message();
        return std::move(got.lease);
    }

    /// Rule Z.
    void end() {
        expect_clean_end(pool, io);
        EXPECT_TRUE(ledger.all_closed_once());
    }

    Ledger ledger;
    asio::io_context io;
    Pool pool;
};

/// Everything happens on the test's own context.
template <class... Policies>
using Loop = World<Opener, Policies...>;

/// The same with a connector that the test scripts.
template <class... Policies>
struct Gated {
    using Pool = weir::Pool<Conn, Policies...>;
    using Options = typename Pool::Options;

    explicit Gated(Options options = {})
        : script{ledger, io.get_executor()}, pool{io.get_executor(), GatedOpener{script}, std::move(options)} {}
    // A test that failed half-way leaves connects behind; they end before what they refer to.
    ~Gated() {
        script.gate.open();
        if (script.in_flight() != 0) run_until(io, [this] { return script.in_flight() == 0; });
    }

    void end() {
        script.gate.open();
        expect_clean_end(pool, io);
        EXPECT_EQ(script.in_flight(), 0);
        EXPECT_TRUE(ledger.all_closed_once());
    }

    Ledger ledger;
    asio::io_context io;
    GatedOpener::State script;
    Pool pool;
};

}  // namespace asio_test
