#pragma once
// A connector that opens nothing, for tests of code that uses a pool.
//
// It hands out `FakeConn`s, does at each callback what its gate says, and keeps a ledger: who was
// opened, closed and destroyed, and whether anybody touched a connection that was not theirs.
// At the end of a test one line checks it all:
// ```
// weir::testing::FakeConnector connector;
// {
//     weir::Pool<weir::testing::FakeConn> pool{connector};
//     connector.gate(weir::testing::Hook::connect, weir::testing::Gate::error);
//     EXPECT_FALSE(pool.try_acquire_for(1s));
// }
// EXPECT_EQ(connector.complaint(), "");
// ```

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <weir/connector.hpp>

namespace weir::testing {

/// The callbacks of a `FakeConnector`; each has a gate of its own.
enum class Hook { connect, recycle, close };

/// What a callback does when the pool calls it.
enum class Gate {
    ok,     ///< succeeds at once
    error,  ///< fails: see FakeConnector::fail
    slow,   ///< succeeds after FakeConnector::delay
    never,  ///< blocks its thread until the gate changes or FakeConnector::pass lets it through
};

namespace detail {

// What a connector and its connections share. The mutex protects every member.
struct Ledger {
    struct Entry {
        Gate gate = Gate::ok;
        std::deque<Gate> passes;
        boost::system::error_code error = make_error_code(boost::system::errc::connection_refused);
        std::exception_ptr exception;
        std::size_t calls = 0;
        std::size_t blocked = 0;
        std::thread::id last_thread;
    };

    std::mutex mutex;
    std::condition_variable changed;
    std::array<Entry, 3> entries;
    std::chrono::steady_clock::duration delay = std::chrono::milliseconds{5};
    std::uint64_t opened = 0;
    std::uint64_t closed = 0;
    std::uint64_t destroyed = 0;
    std::size_t connecting = 0;
    std::size_t max_connecting = 0;
    std::size_t max_alive = 0;
    std::size_t max_open = 0;
    std::vector<std::uint64_t> close_order;
    std::vector<std::string> faults;
    bool close_expected = true;

    Entry& of(Hook hook) { return entries[static_cast<std::size_t>(hook)]; }

    void fault(std::uint64_t id, char const* what) {
        std::lock_guard const lock{mutex};
        faults.push_back("connection " + std::to_string(id) + ": " + what);
    }

    // Called with the mutex held.
    void note_peaks() {
        auto const alive = static_cast<std::size_t>(opened - destroyed);
        max_alive = std::max(max_alive, alive);
        max_connecting = std::max(max_connecting, connecting);
        max_open = std::max(max_open, alive + connecting);
    }
};

struct Record {
    std::shared_ptr<Ledger> ledger;
    std::uint64_t id;
    std::atomic<int> users{0};
    std::atomic<bool> closed{false};
    std::atomic<bool> spoiled{false};
};

}  // namespace detail

class FakeConnector;

/// A connection to nowhere: it has an id, and tells its ledger when it is used by two at once, used
/// after its close, or closed twice. Destroyed twice, it ends the program.
///
/// Move-only; empty when moved from. Distinct objects: safe. Shared objects: `use` finds that out.
class FakeConn {
public:
    /// Marks the connection as in use while it lives. Two at a time are a fault in the ledger.
    class [[nodiscard]] Use {
    public:
        explicit Use(std::shared_ptr<detail::Record> record) : record_{std::move(record)} {
            if (record_->users.fetch_add(1, std::memory_order_acq_rel) != 0) {
                record_->ledger->fault(record_->id, "two owners at once");
            }
            if (record_->closed.load(std::memory_order_acquire)) {
                record_->ledger->fault(record_->id, "used after its close");
            }
        }
        Use(Use const&) = delete;
        Use& operator=(Use const&) = delete;
        ~Use() { record_->users.fetch_sub(1, std::memory_order_acq_rel); }

    private:
        std::shared_ptr<detail::Record> record_;
    };

    FakeConn(FakeConn&& other) noexcept : record_{std::move(other.record_)} {}
    FakeConn& operator=(FakeConn&& other) noexcept {
        if (this != &other) {
            leave();
            record_ = std::move(other.record_);
        }
        return *this;
    }
    ~FakeConn() {
        if (canary_ != living) {
            std::fputs("weir::testing::FakeConn destroyed twice\n", stderr);
            std::abort();
        }
        leave();
        canary_ = dead;
    }

    /// 1 for the first that its connector opened, 2 for the next; 0 when moved from.
    std::uint64_t id() const noexcept { return record_ ? record_->id : 0; }

    Use use() const { return Use{record_}; }

    /// Makes every later `recycle` of it say no: the peer has hung up.
    void spoil() noexcept { record_->spoiled = true; }

private:
    friend class FakeConnector;
    static constexpr std::uint32_t living = 0x600DC0DE;
    static constexpr std::uint32_t dead = 0xDEADC0DE;

    explicit FakeConn(std::shared_ptr<detail::Record> record) noexcept : record_{std::move(record)} {}

    void leave() noexcept {
        if (!record_) return;
        auto& ledger = *record_->ledger;
        if (record_->users.load(std::memory_order_acquire) != 0) ledger.fault(record_->id, "destroyed while in use");
        {
            std::lock_guard const lock{ledger.mutex};
            ++ledger.destroyed;
        }
        ledger.changed.notify_all();
        record_.reset();
    }

    std::shared_ptr<detail::Record> record_;
    // Volatile: a compiler drops what a destructor writes to its own object, and here it is read.
    std::uint32_t volatile canary_ = living;
};

/// Opens `FakeConn`s under a test's control.
///
/// A copyable handle: give one copy to the pool, keep another to steer and to ask.
/// Shared objects: safe.
///
/// The pool calls `connect`, `recycle` and `close`; everything else is for the test. A detached
/// connection is its new owner's to close: call `connector.close(conn)` before dropping it, and the
/// ledger stays balanced.
class FakeConnector {
public:
    FakeConnector() : ledger_{std::make_shared<detail::Ledger>()} {}

    // For the pool.

    boost::system::result<FakeConn> connect() {
        Connecting connecting{*ledger_};
        if (passed(Hook::connect) == Gate::error) return failure(Hook::connect);
        auto record = std::make_shared<detail::Record>();
        record->ledger = ledger_;
        record->id = connecting.succeed();
        return FakeConn{std::move(record)};
    }

    bool recycle(FakeConn& conn) {
        auto const use = conn.use();
        if (passed(Hook::recycle) == Gate::error) return !failure(Hook::recycle);
        return !conn.record_->spoiled;
    }

    void close(FakeConn& conn) {
        {
            auto const use = conn.use();
            if (conn.record_->closed.exchange(true)) ledger_->fault(conn.id(), "closed twice");
            std::lock_guard const lock{ledger_->mutex};
            ++ledger_->closed;
            ledger_->close_order.push_back(conn.id());
        }
        if (passed(Hook::close) == Gate::error) throw boost::system::system_error{failure(Hook::close)};
    }

    /// The same connector without hooks: a callable that only connects. No close is expected then.
    auto only_connect() {
        std::lock_guard const lock{ledger_->mutex};
        ledger_->close_expected = false;
        return [self = *this]() mutable { return self.connect(); };
    }

    // To steer.

    /// Sets what the hook does from now on; those that wait at a `Gate::never` do it, too.
    void gate(Hook hook, Gate gate) {
        change([&] { ledger_->of(hook).gate = gate; });
    }

    /// Decides the next `count` calls of the hook, blocked ones first, whatever its gate is.
    void pass(Hook hook, Gate outcome = Gate::ok, std::size_t count = 1) {
        change([&] { ledger_->of(hook).passes.insert(ledger_->of(hook).passes.end(), count, outcome); });
    }

    /// What a failing hook reports: `connect` returns it, `close` throws it, `recycle` says false.
    /// Sets no gate.
    void fail(Hook hook, boost::system::error_code error) {
        change([&] {
            ledger_->of(hook).error = error;
            ledger_->of(hook).exception = nullptr;
        });
    }

    /// What a failing hook throws. Sets no gate.
    void fail(Hook hook, std::exception_ptr exception) {
        change([&] { ledger_->of(hook).exception = std::move(exception); });
    }

    /// How long `Gate::slow` takes; 5 ms unless told.
    void delay(std::chrono::steady_clock::duration delay) {
        change([&] { ledger_->delay = delay; });
    }

    // To ask.

    std::size_t calls(Hook hook) const { return snapshot(hook).calls; }
    std::size_t blocked(Hook hook) const { return snapshot(hook).blocked; }
    std::thread::id last_thread(Hook hook) const { return snapshot(hook).last_thread; }

    /// Waits until `count` calls of the hook stand at their gate. False when they do not come.
    bool await_blocked(Hook hook, std::size_t count,
                       std::chrono::steady_clock::duration patience = std::chrono::seconds{30}) const {
        std::unique_lock lock{ledger_->mutex};
        return ledger_->changed.wait_for(lock, patience, [&] { return ledger_->of(hook).blocked >= count; });
    }

    std::uint64_t opened() const { return ask(&detail::Ledger::opened); }
    std::uint64_t closed() const { return ask(&detail::Ledger::closed); }
    std::uint64_t destroyed() const { return ask(&detail::Ledger::destroyed); }
    std::uint64_t alive() const { return opened() - destroyed(); }
    std::size_t connecting() const { return ask(&detail::Ledger::connecting); }
    std::size_t max_alive() const { return ask(&detail::Ledger::max_alive); }
    std::size_t max_connecting() const { return ask(&detail::Ledger::max_connecting); }
    /// The most that were being opened or alive at one moment: what a pool's `high` bounds.
    std::size_t max_open() const { return ask(&detail::Ledger::max_open); }
    /// Ids in the order their close was called.
    std::vector<std::uint64_t> close_order() const { return ask(&detail::Ledger::close_order); }
    /// Misuse seen so far, in words.
    std::vector<std::string> faults() const { return ask(&detail::Ledger::faults); }

    /// Empty when all is over and was done properly: every connection opened was closed once,
    /// destroyed once, and had one owner at a time. Otherwise what is wrong, in words.
    std::string complaint() const {
        std::lock_guard const lock{ledger_->mutex};
        std::string text;
        for (auto const& fault : ledger_->faults) text += fault + "; ";
        auto const differs = [&](char const* what, std::uint64_t count, std::uint64_t expected) {
            if (count == expected) return;
            text += std::to_string(count) + what + std::to_string(expected) + "; ";
        };
        differs(" destroyed of ", ledger_->destroyed, ledger_->opened);
        if (ledger_->close_expected) differs(" closed of ", ledger_->closed, ledger_->opened);
        differs(" still connecting, not ", ledger_->connecting, 0);
        return text;
    }

private:
    // Counts a connect as under way until it fails or, in the same step, is a connection alive.
    class Connecting {
    public:
        explicit Connecting(detail::Ledger& ledger) : ledger_{ledger} {
            std::lock_guard const lock{ledger_.mutex};
            ++ledger_.connecting;
            ledger_.note_peaks();
        }
        Connecting(Connecting const&) = delete;
        Connecting& operator=(Connecting const&) = delete;
        ~Connecting() {
            std::lock_guard const lock{ledger_.mutex};
            ledger_.connecting -= under_way_;
        }

        std::uint64_t succeed() {
            std::lock_guard const lock{ledger_.mutex};
            ledger_.connecting -= std::exchange(under_way_, std::size_t{0});
            ++ledger_.opened;
            ledger_.note_peaks();
            return ledger_.opened;
        }

    private:
        detail::Ledger& ledger_;
        std::size_t under_way_ = 1;
    };

    template <class Function>
    void change(Function function) {
        {
            std::lock_guard const lock{ledger_->mutex};
            function();
        }
        ledger_->changed.notify_all();
    }

    template <class Member>
    Member ask(Member detail::Ledger::*member) const {
        std::lock_guard const lock{ledger_->mutex};
        return (*ledger_).*member;
    }

    detail::Ledger::Entry snapshot(Hook hook) const {
        std::lock_guard const lock{ledger_->mutex};
        return ledger_->of(hook);
    }

    // Throws the hook's exception if it has one, else returns its error.
    boost::system::error_code failure(Hook hook) const {
        auto const entry = snapshot(hook);
        if (entry.exception) std::rethrow_exception(entry.exception);
        return entry.error;
    }

    // Goes through the gate: what it says, once it says anything but `never`.
    Gate passed(Hook hook) {
        std::unique_lock lock{ledger_->mutex};
        auto& entry = ledger_->of(hook);
        ++entry.calls;
        entry.last_thread = std::this_thread::get_id();
        ++entry.blocked;
        if (entry.passes.empty() && entry.gate == Gate::never) {
            ledger_->changed.notify_all();
            ledger_->changed.wait(lock, [&] { return !entry.passes.empty() || entry.gate != Gate::never; });
        }
        --entry.blocked;
        auto outcome = entry.gate;
        if (!entry.passes.empty()) {
            outcome = entry.passes.front();
            entry.passes.pop_front();
        }
        if (outcome == Gate::slow) {
            auto const delay = ledger_->delay;
            lock.unlock();
            std::this_thread::sleep_for(delay);
        }
        return outcome;
    }

    std::shared_ptr<detail::Ledger> ledger_;
};

}  // namespace weir::testing
