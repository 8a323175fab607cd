#pragma once

// One pool from its beginning to its end, used by everybody at once in all ways there are, and watched by an oracle.

#include "oracle_kinds.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/strand.hpp>

#include <condition_variable>
#include <functional>
#include <iostream>
#include <sstream>

namespace oracle {

using asio_stress::Crew;
using boost::system::error_code;
using Lease = weir::Lease<Conn>;
using End = Oracle::End;

/// Ends the program when one life takes too long: nobody waits for ever.
class Watchdog {
public:
    Watchdog(char const* what, std::uint64_t seed, std::function<void(std::ostream&)> report)
        : thread_{[=, this] {
              std::unique_lock lock{mutex_};
              if (ended_.wait_for(lock, 120s, [this] { return over_; })) return;
              std::cerr << "broken: it never ends: WEIR_ORACLE_SEED=" << seed << " stress_oracle " << what << '\n';
              report(std::cerr);
              std::_Exit(EXIT_FAILURE);
          }} {}
    ~Watchdog() {
        {
            std::lock_guard const lock{mutex_};
            over_ = true;
        }
        ended_.notify_one();
        thread_.join();
    }

private:
    std::mutex mutex_;
    std::condition_variable ended_;
    bool over_ = false;
    std::thread thread_;
};

/// Leases on their way from who was given them to who gives them back.
class Bag {
public:
    void put(Lease lease) {
        std::lock_guard const lock{mutex_};
        leases_.push_back(std::move(lease));
    }
    std::vector<Lease> take() {
        std::lock_guard const lock{mutex_};
        return std::exchange(leases_, {});
    }

private:
    std::mutex mutex_;
    std::vector<Lease> leases_;
};

/// `run` is the whole of it.
template <class Kind>
class Life {
    using Pool = typename Kind::Pool;
    static constexpr bool has_settings = !std::is_same_v<typename Pool::Setting, weir::NoSetting>;

public:
    explicit Life(std::uint64_t seed)
        : dice_{static_cast<unsigned>(seed)},
          options_{Kind::options(dice_)},
          rules_{Kind::rules(options_)},
          oracle_{rules_, seed, dice_.below(3)},
          watchdog_{Kind::name, seed, [this](std::ostream& out) { pool_ ? pool_->dump(out) : void(); }} {
        typename Kind::Connector connector{oracle_};
        core_ = connector.share();
        pool_.emplace(io_.get_executor(), std::move(connector), options_);
    }

    void run() {
        auto work = asio::make_work_guard(io_);
        Crew crew{io_, 1 + static_cast<int>(dice_.below(2))};
        std::vector<std::thread> threads;
        for (unsigned i = 0; i != 3; ++i) threads.emplace_back([this, s = dice_.below(1u << 30)] { acquirer(s); });
        threads.emplace_back([this, s = dice_.below(1u << 30)] { overseer(s); });
        for (unsigned i = 0; i != 4; ++i) launch(dice_.below(1u << 30));

        auto const end = Clock::now() + 5ms + 1ms * dice_.below(120);
        wait_for([&] { return Clock::now() >= end; });
        unsigned const way = dice_.below(4);
        if (way == 0) close_in_the_midst();
        over_ = true;
        wait_for([&] { return gone_ == threads.size() && launching_ == 0; });
        for (auto& thread : threads) thread.join();
        if (way == 1)
            pool_.reset();  // with waiters and leases out
        else
            end_in_order(way == 2);
        wait_for([this] { return outstanding_ == 0; });
        work.reset();
        crew.join();
        wait_for([this] { return core_.expired(); });
        check(oracle_.settled(), "what was opened has ended");
    }

private:
    /// Gives back meanwhile what lies in the bag, somebody may be waiting for just that, and in the end what is left.
    template <class Condition>
    void wait_for(Condition condition) {
        for (bool over = false; !over;) {
            over = condition();
            for (auto& lease : bag_.take()) oracle_.give_back(std::move(lease), End::release);
            if (!over) std::this_thread::sleep_for(100us);
        }
    }

    // ---- Acquiring -------------------------------------------------------------------------------------------------

    void refused(error_code ec, Expectation const& expectation) {
        check(ec == weir::Errc::closed || ec == weir::Errc::timed_out || ec == weir::Errc::too_many_waiters ||
                  ec == weir::Errc::exhausted || ec == weir::Errc::shed || ec == weir::Errc::connect_failed ||
                  ec == asio::error::operation_aborted || ec == boost::system::errc::connection_refused,
              "an acquire fails with something expected", ec.value());
        check(!expectation.after_close || ec == weir::Errc::closed, "a closed pool says so", ec.value());
        check(!expectation.patient || ec != weir::Errc::timed_out || rules_.overruns, "nobody waits in vain");
        auto& answers = oracle_.answers;
        if (ec == weir::Errc::timed_out) ++answers.timed_out;
        if (ec == asio::error::operation_aborted) ++answers.cancelled;
        if (ec == weir::Errc::too_many_waiters) ++answers.rejected;
        if (ec == weir::Errc::shed) ++answers.shed;
    }

    /// Gives back, now or later.
    void pass_on(Lease lease, Dice& dice) {
        oracle_.use(lease);
        Lease moved{std::move(lease)};
        lease.release();  // nothing any more
        unsigned const way = dice.below(16);
        if (way < 3) return bag_.put(std::move(moved));
        oracle_.give_back(std::move(moved), way == 3   ? End::discard
                                            : way == 4 ? End::detach
                                            : way < 8  ? End::drop
                                                       : End::release);
    }

    boost::system::result<Lease> call(unsigned way, Clock::duration wait, int setting) {
        if constexpr (has_settings) {
            if (setting != 0 && way < 2) return pool_->try_acquire(setting);
            if (setting != 0 && way < 5) return pool_->try_acquire_for(wait, setting);
            if (setting != 0) return pool_->acquire(setting);
        }
        if (way < 2) return pool_->try_acquire();
        if (way < 5) return pool_->try_acquire_for(wait);
        return pool_->acquire();
    }

    /// Who holds something already is not patient: all might wait for each other.
    Lease acquire(Dice& dice, bool patient) {
        int const setting = any_setting(dice);
        unsigned const way = dice.below(patient ? 6 : 5);
        auto const wait = way == 4 ? -1ms : std::chrono::milliseconds{dice.below(6)};
        auto const expectation = oracle_.expect(setting, way == 5);
        try {
            auto got = call(way, wait, setting);
            if (got) {
                oracle_.lent(*got, expectation);
                return std::move(*got);
            }
            refused(got.error(), expectation);
        } catch (boost::system::system_error const& error) {
            refused(error.code(), expectation);
        } catch (std::runtime_error const&) {
            // The connector's, or a hook's.
        }
        return {};
    }

    void acquirer(unsigned seed) {
        for (Dice dice{seed}; !over_;) {
            std::vector<Lease> held;
            for (unsigned i = 1 + dice.below(3); i > 0; --i) {
                if (auto lease = acquire(dice, held.empty())) held.push_back(std::move(lease));
                if (dice.one_in(4)) std::this_thread::sleep_for(std::chrono::microseconds{dice.below(400)});
            }
            if (dice.one_in(30)) {
                auto const expectation = oracle_.expect(-1);
                for (auto& lease : pool_->acquire_idle()) {
                    oracle_.lent(lease, expectation);
                    held.push_back(std::move(lease));
                }
            }
            for (auto& lease : held) pass_on(std::move(lease), dice);
        }
        ++gone_;
    }

    int any_setting(Dice& dice) { return has_settings ? static_cast<int>(dice.below(6)) : 0; }

    /// One asynchronous acquire, and after it the next, until it is over.
    void launch(unsigned seed) {
        ++launching_;
        if (!over_) {
            ++outstanding_;
            Dice dice{seed};
            start(dice);
        }
        --launching_;
    }

    void start(Dice& dice) {
        bool const patient = dice.one_in(3);
        auto const expectation = std::make_shared<Expectation>(oracle_.expect(any_setting(dice), patient));
        auto const wait = patient ? Clock::duration{ample} : std::chrono::milliseconds{dice.below(6)};
        auto done = [this, expectation, seed = dice.below(1u << 30)](error_code ec, Lease lease) {
            Dice next{seed};
            if (lease) {
                oracle_.lent(lease, *expectation);
                pass_on(std::move(lease), next);
            } else {
                refused(ec, *expectation);
            }
            launch(next.below(1u << 30));
            --outstanding_;
        };
        if (dice.one_in(2)) return async_acquire(*expectation, wait, std::move(done));
        // The signal, which the handler keeps, is touched on one strand only.
        auto const strand = asio::make_strand(io_);
        auto const signal = std::make_shared<asio::cancellation_signal>();
        auto const timer = std::make_shared<asio::steady_timer>(strand);
        timer->expires_after(std::chrono::microseconds{dice.below(3000)});
        auto keeping = [signal, done](error_code ec, Lease lease) { done(ec, std::move(lease)); };
        ++launching_;
        asio::post(strand, [=, this] {
            auto const slot = signal->slot();
            async_acquire(*expectation, wait, asio::bind_executor(strand, asio::bind_cancellation_slot(slot, keeping)));
            timer->async_wait([timer, signal](error_code) { signal->emit(asio::cancellation_type::terminal); });
            --launching_;
        });
    }

    template <class Handler>
    void async_acquire(Expectation const& expectation, Clock::duration wait, Handler handler) {
        if constexpr (has_settings)
            if (expectation.setting != 0)
                return pool_->async_acquire_for(wait, expectation.setting, std::move(handler));
        pool_->async_acquire_for(wait, std::move(handler));
    }

    // ---- Everything else -------------------------------------------------------------------------------------------

    void overseer(unsigned seed) {
        weir::Stats before{};
        for (Dice dice{seed}; !over_;) {
            try {
                operate(dice, before);
            } catch (boost::system::system_error const& error) {
                check(error.code() == weir::Errc::closed, "only a closed pool refuses", error.code().value());
            }
            std::this_thread::sleep_for(std::chrono::microseconds{dice.below(500)});
        }
        if (!pool_->closed()) resize(options_.size.high, 0ms);
        ++gone_;
    }

    void operate(Dice& dice, weir::Stats& before) {
        switch (dice.below(12)) {
            case 0: return oracle_.refresh(*pool_);
            case 1: return pool_->sweep();
            case 2: return static_cast<void>(pool_->warm_up(dice.below(6)));
            case 3: return resize(1 + dice.below(6), 1ms * dice.below(4));
            case 4: return async_resize(1 + dice.below(6));
            case 5: {  // a pause
                resize(0, 1ms);
                std::this_thread::sleep_for(std::chrono::microseconds{dice.below(1000)});
                return resize(options_.size.high, 0ms);
            }
            case 6: {
                auto const lifetime = pool_->lifetime();
                check(!lifetime.stopped() || pool_->closed(), "a lifetime stops with the pool's");
                return std::this_thread::sleep_for(std::chrono::microseconds{dice.below(300)});
            }
            case 7: {
                std::ostringstream out;
                pool_->dump(out);
                return static_cast<void>(check(!out.str().empty(), "a dump says something"));
            }
            case 8: return Kind::is_manual ? oracle_.advance(1ms * dice.below(12)) : void();
            default: {
                auto const stats = pool_->stats();
                oracle_.look(stats, before);
                before = stats;
            }
        }
    }

    void resize(std::size_t high, Clock::duration wait) {
        auto const number = oracle_.resize_begins(high);
        bool drained = false;
        try {
            drained = pool_->resize(high, wait);
        } catch (...) {
            oracle_.resize_returned();
            throw;
        }
        oracle_.resize_returned();
        if (drained) oracle_.resize_drained(number, high);
    }

    void async_resize(std::size_t high) {
        auto const number = oracle_.resize_begins(high);
        ++outstanding_;
        pool_->async_resize_for(high, 20ms, [this, number, high](error_code ec) {
            check(!ec || ec == weir::Errc::closed || ec == weir::Errc::timed_out, "a resize ends", ec.value());
            if (!ec) oracle_.resize_drained(number, high);
            --outstanding_;
        });
        oracle_.resize_returned();
    }

    // ---- The end ---------------------------------------------------------------------------------------------------

    void close_in_the_midst() {
        if (dice_.one_in(2)) {
            pool_->close(0ms);
        } else {
            ++outstanding_;
            pool_->async_close_for(ample, [this](error_code ec) {
                check(!ec, "an async close drains", ec.value());
                --outstanding_;
            });
        }
        oracle_.close_returned();
        std::this_thread::sleep_for(std::chrono::microseconds{dice_.below(2000)});
    }

    void end_in_order(bool when_quiet) {
        wait_for([this] { return outstanding_ == 0; });
        if (when_quiet) check_quiet();
        check(pool_->close(ample), "a close drains");
        oracle_.check_end(pool_->stats());
        pool_.reset();
    }

    /// When all is back, and nothing fails, all that may be open can be had at once.
    void check_quiet() {
        oracle_.calm();
        std::size_t const high = options_.size.high;
        resize(high, 0ms);
        wait_for([this] { return !options_.size.eager || pool_->stats().idle >= options_.size.low; });
        Dice dice{1};
        std::vector<Lease> held;
        while (held.size() < high)
            if (auto lease = acquire(dice, true)) held.push_back(std::move(lease));
        for (auto& lease : held) oracle_.give_back(std::move(lease), End::release);
    }

    Dice dice_;
    typename Pool::Options const options_;
    Rules const rules_;
    Oracle oracle_;
    asio::io_context io_;
    Bag bag_;
    std::optional<Pool> pool_;
    std::weak_ptr<int> core_;
    std::atomic<bool> over_{false};
    std::atomic<std::size_t> gone_{0};       // threads that are done
    std::atomic<int> launching_{0};          // threads that may be about to use the pool
    std::atomic<long long> outstanding_{0};  // handlers that are to be called yet
    Watchdog watchdog_;
};

}  // namespace oracle
