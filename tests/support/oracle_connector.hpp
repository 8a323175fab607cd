#pragma once

// Connectors that tell their oracle all that they are asked to do, and fail, throw, dawdle and overrun at random.

#include "oracle.hpp"

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <memory>
#include <stdexcept>
#include <thread>

namespace oracle {

namespace asio = boost::asio;

/// How long connects and hooks are given where they may overrun.
inline constexpr std::chrono::milliseconds short_timeout{15};

[[noreturn]] inline void fail(Oracle& oracle) {
    if (oracle.below(2) == 0) throw std::runtime_error{"nobody expects this"};
    throw boost::system::system_error{make_error_code(boost::system::errc::connection_refused)};
}

/// A connect while it lasts.
class Attempt {
public:
    explicit Attempt(Oracle& oracle) : oracle_{oracle}, refreshes_{oracle.refreshes_begun()} {
        oracle_.connect_begins();
    }
    Attempt(Attempt const&) = delete;
    Attempt& operator=(Attempt const&) = delete;
    ~Attempt() {
        if (!succeeded_) oracle_.connect_fails();
    }

    Conn succeed() {
        if (oracle_.unlucky(7)) fail(oracle_);
        succeeded_ = true;
        return oracle_.connect_succeeds(refreshes_);
    }

private:
    Oracle& oracle_;
    std::uint64_t refreshes_;
    bool succeeded_ = false;
};

/// A hook while it lasts: the resource is its own.
class Hook {
public:
    Hook(Oracle& oracle, Conn& conn) : oracle_{oracle}, record{conn.record()} {
        record.pass(Owner::pool, Owner::hook);
        check(!record.closed && !record.detached, "no hook is called with what is closed");
        record.grow_older();
        check(!record.spoiled, "no hook is called with what is to be closed");
    }
    Hook(Hook const&) = delete;
    Hook& operator=(Hook const&) = delete;
    ~Hook() {
        record.spoiled = !passed_;
        record.pass(Owner::hook, Owner::pool);
    }

    /// Whether it goes well; half of those that do not, throw.
    bool passes(std::uint64_t one_in) {
        if (oracle_.unlucky(one_in)) {
            if (oracle_.below(2) == 0) return false;
            fail(oracle_);
        }
        return passed_ = true;
    }
    /// The pool counts its idle time anew, or may do so.
    void forget_idle() { record.idle_since.reset(); }

private:
    Oracle& oracle_;
    bool passed_ = false;

public:
    Record& record;
};

/// What hooks do, however they are called.
class Deeds {
public:
    explicit Deeds(Oracle& oracle) : oracle_{&oracle} {}

protected:
    bool checked(Hook& hook) const {
        hook.forget_idle();
        return hook.passes(20);
    }
    void applied(Hook& hook, int setting) const {
        check(hook.record.setting == 0, "what is applied to has no other setting", hook.record.setting);
        hook.forget_idle();
        hook.record.setting = setting;
        if (!hook.passes(15)) fail(*oracle_);
        ++oracle_->applied;
    }
    void was_reset(Hook& hook) const {
        check(hook.record.setting != 0, "only what has a setting is reset");
        hook.forget_idle();
        hook.record.setting = 0;
        if (!hook.passes(15)) fail(*oracle_);
        ++oracle_->resets;
    }
    void closed(Conn& conn) const {
        Record& record = conn.record();
        record.pass(Owner::pool, Owner::hook);
        oracle_->close(record);
        record.pass(Owner::hook, Owner::pool);
    }

    void dawdle(std::uint64_t one_in) const {
        if (oracle_->overruns())
            std::this_thread::sleep_for(short_timeout + short_timeout / 2);
        else if (oracle_->unlucky(one_in))
            std::this_thread::sleep_for(std::chrono::microseconds{oracle_->below(1500)});
    }
    // In several steps of the executor; half of those that overrun ignore that they are told to stop.
    asio::awaitable<void> stroll(std::uint64_t one_in) const {
        asio::steady_timer timer{co_await asio::this_coro::executor};
        if (oracle_->overruns()) {
            if (oracle_->below(2) == 0)
                co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
            timer.expires_after(short_timeout + short_timeout / 2);
            co_await timer.async_wait(asio::use_awaitable);
        } else if (oracle_->unlucky(one_in)) {
            timer.expires_after(std::chrono::microseconds{oracle_->below(1500)});
            co_await timer.async_wait(asio::use_awaitable);
        }
    }

    Oracle* oracle_;
    // One share for each copy of the connector: the last goes with the pool's core.
    std::shared_ptr<int> const share_ = std::make_shared<int>();

public:
    std::weak_ptr<int> share() const { return share_; }
};

/// Connects and closes, both plain.
struct BareConnector : Deeds {
    using Deeds::Deeds;

    Conn connect() const {
        Attempt attempt{*oracle_};
        dawdle(4);
        return attempt.succeed();
    }
    void close(Conn& conn) const {
        closed(conn);
        if (oracle_->unlucky(10)) fail(*oracle_);
    }
};

/// Every hook there is, plain.
struct PlainConnector : BareConnector {
    using BareConnector::BareConnector;

    bool check(Conn& conn) const {
        Hook hook{*oracle_, conn};
        dawdle(20);
        return checked(hook);
    }
    void apply(Conn& conn, int setting) const {
        Hook hook{*oracle_, conn};
        dawdle(20);
        applied(hook, setting);
    }
    void reset(Conn& conn) const {
        Hook hook{*oracle_, conn};
        dawdle(20);
        was_reset(hook);
    }
    bool recycle(Conn& conn) const {
        Hook hook{*oracle_, conn};
        return hook.passes(40);
    }
};

/// Every hook there is, awaitable.
struct AwaitableConnector : Deeds {
    using Deeds::Deeds;

    asio::awaitable<Conn> connect(weir::ConnectContext const& context) const {
        Attempt attempt{*oracle_};
        co_await stroll(4);
        if (context.lifetime.stopped()) fail(*oracle_);
        co_return attempt.succeed();
    }
    asio::awaitable<bool> check(Conn& conn) const {
        Hook hook{*oracle_, conn};
        co_await stroll(20);
        co_return checked(hook);
    }
    asio::awaitable<void> apply(Conn& conn, int const& setting) const {
        Hook hook{*oracle_, conn};
        co_await stroll(20);
        applied(hook, setting);
    }
    asio::awaitable<void> reset(Conn& conn) const {
        Hook hook{*oracle_, conn};
        co_await stroll(20);
        was_reset(hook);
    }
    asio::awaitable<bool> recycle(Conn& conn) const {
        Hook hook{*oracle_, conn};
        hook.forget_idle();
        co_await stroll(20);
        co_return hook.passes(40);
    }
    asio::awaitable<void> close(Conn& conn) const {
        closed(conn);
        co_await stroll(20);
    }
};

/// Connects as a coroutine; its hooks are plain.
struct MixedConnector : PlainConnector {
    using PlainConnector::PlainConnector;

    asio::awaitable<boost::system::result<Conn>> connect() const {
        Attempt attempt{*oracle_};
        co_await stroll(4);
        if (oracle_->unlucky(10)) co_return make_error_code(boost::system::errc::connection_refused);
        co_return attempt.succeed();
    }
};

}  // namespace oracle
