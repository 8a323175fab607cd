#pragma once
// An open database as the threads see it that may end what it is doing.

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <stop_token>
#include <utility>
#include <weir/adapters/error.hpp>
#include <weir/adapters/sqlite_error.hpp>

namespace weir::sqlite {

class Connection;

namespace detail {

/// A database handle, closed with its last owner: whoever may interrupt it is one.
///
/// `sqlite3_interrupt` does nothing to a statement that has not begun, so one that is stopped just before its first
/// step would run to its end. That is why every statement looks at the tokens once more as it begins, which SQLite
/// tells its trace hook. And SQLite's own way to wait for a lock hears no interrupt; this one does.
class Session {
public:
    /// Somebody's wish to have statements ended.
    struct Stop {
        std::stop_token token;
        Stop* below = nullptr;
    };

    explicit Session(sqlite3* db) noexcept : db_{db} {
        sqlite3_extended_result_codes(db, 1);
        sqlite3_busy_handler(db, &on_busy, this);
        sqlite3_trace_v2(db, SQLITE_TRACE_STMT, &on_begin, this);
    }
    Session(Session const&) = delete;
    Session& operator=(Session const&) = delete;
    ~Session() { sqlite3_close_v2(db_); }

    sqlite3* db() const noexcept { return db_; }

    std::chrono::milliseconds busy_timeout() const noexcept { return busy_timeout_; }
    void busy_timeout(std::chrono::milliseconds time) noexcept { busy_timeout_ = time; }

    void add(Stop& stop) {
        std::lock_guard const lock{mutex_};
        stop.below = std::exchange(stops_, &stop);
    }
    void remove(Stop const& stop) noexcept {
        std::lock_guard const lock{mutex_};
        for (Stop** place = &stops_; *place; place = &(*place)->below)
            if (*place == &stop) return static_cast<void>(*place = stop.below);
    }
    void forget_stops() noexcept {
        std::lock_guard const lock{mutex_};
        stops_ = nullptr;
    }

    bool stopped() const noexcept {
        std::lock_guard const lock{mutex_};
        return is_stopped();
    }

    /// From any thread: ends what runs, unless `stop` has been removed.
    void interrupt(Stop const& stop) noexcept {
        std::lock_guard const lock{mutex_};
        for (Stop const* each = stops_; each; each = each->below)
            if (each == &stop) sqlite3_interrupt(db_);
        changed_.notify_all();
    }

    void check(int result) const {
        if (result != SQLITE_OK) fail(result);
    }

    /// Throws what SQLite says about its latest call.
    [[noreturn]] void fail(int result) const {
        // It takes a wait that was ended for one that was too long.
        if (make_error_code(result) == condition(SQLITE_BUSY) && stopped())
            throw adapters::Error{make_error_code(SQLITE_INTERRUPT), sqlite3_errstr(SQLITE_INTERRUPT)};
        throw adapters::Error{make_error_code(result), sqlite3_errmsg(db_)};
    }

private:
    using Clock = std::chrono::steady_clock;
    using milliseconds = std::chrono::milliseconds;

    bool is_stopped() const noexcept {
        for (Stop const* each = stops_; each; each = each->below)
            if (each->token.stop_requested()) return true;
        return false;
    }

    static int on_begin(unsigned, void* self, void*, void* sql) noexcept {
        auto const& session = *static_cast<Session*>(self);
        bool const is_the_end = sqlite3_strnicmp(static_cast<char const*>(sql), "ROLLBACK", 8) == 0;
        if (session.stopped() && !is_the_end) sqlite3_interrupt(session.db_);
        return 0;
    }

    static int on_busy(void* self, int tries) noexcept {
        return static_cast<Session*>(self)->wait(static_cast<std::size_t>(tries)) ? 1 : 0;
    }

    /// Whether to try again for a lock that somebody else has.
    bool wait(std::size_t tries) noexcept {
        static constexpr std::array delays{1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100};  // as in SQLite's main.c
        auto const now = Clock::now();
        if (tries == 0) busy_since_ = now;
        auto const left = busy_since_ + busy_timeout_ - now;
        if (left <= Clock::duration::zero()) return false;
        milliseconds const delay{delays[std::min(tries, delays.size() - 1)]};
        std::unique_lock lock{mutex_};
        return !changed_.wait_for(lock, std::min<Clock::duration>(delay, left), [this] { return is_stopped(); });
    }

    sqlite3* const db_;
    milliseconds busy_timeout_{};
    Clock::time_point busy_since_{};

    std::mutex mutable mutex_;  // protects the list of those who may stop it
    std::condition_variable changed_;
    Stop* stops_ = nullptr;
};

}  // namespace detail

/// While it lives, the connection's statements end with SQLITE_INTERRUPT once a stop is requested: the one that runs, a
/// wait for a lock, and all that are begun later. From any thread, and however close the connection is to its end.
///
/// An interrupted statement has done nothing. If it was one that writes in a transaction, SQLite rolls back all of the
/// transaction; else that is left to a ROLLBACK, the one statement that may still be begun.
///
/// Lives on the thread that uses the connection. It ends with the lease: what a later holder does is not interrupted.
class InterruptOn {
public:
    InterruptOn(Connection& conn, std::stop_token token);
    InterruptOn(InterruptOn const&) = delete;
    InterruptOn& operator=(InterruptOn const&) = delete;

private:
    // Added before the callback is there, and removed after it has gone.
    struct Added {
        Added(std::shared_ptr<detail::Session> to, std::stop_token token)
            : session{std::move(to)}, stop{std::move(token)} {
            session->add(stop);
        }
        Added(Added const&) = delete;
        Added& operator=(Added const&) = delete;
        ~Added() { session->remove(stop); }

        std::shared_ptr<detail::Session> session;
        detail::Session::Stop stop;
    };
    struct Interrupt {
        Added& added;
        void operator()() const noexcept { added.session->interrupt(added.stop); }
    };

    Added added_;
    std::stop_callback<Interrupt> callback_;
};

}  // namespace weir::sqlite
