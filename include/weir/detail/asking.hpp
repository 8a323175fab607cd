#pragma once
// How an acquirer who has found nothing idle asks, and waits.

#include <boost/asio/error.hpp>
#include <weir/detail/deadline.hpp>
#include <weir/detail/operations.hpp>
#include <weir/detail/sync_waiter.hpp>

namespace weir::detail {

/// Puts acquirers in line, as threads and as handlers, and takes them out again.
template <class Conn, class P>
class Asking : public Operations<Conn, P> {
    using Base = Operations<Conn, P>;

public:
    using typename Base::Resource;
    using typename Base::time_point;

    /// Joins the line as a handler: true, and the waiter belongs to the line and may be gone already, and the core with
    /// it. Or has its outcome at once: false.
    bool join(Waiter& waiter, Wish wish) {
        waiter.wish = wish;
        if constexpr (P::is_observed) waiter.since = std::chrono::steady_clock::now();
        Answer const answer = ask(waiter, Manner::waits, Where::on_worker);
        if (answer != Answer::granted && answer != Answer::in_line) waiter.failure.code = error_of(answer);
        return answer == Answer::in_line;
    }

    /// For a waiter that was delivered to: whether it has its outcome.
    bool visit(Waiter& waiter) noexcept {
        if (!this->arbiter_.has_patience()) return true;
        // One that goes on waiting may be served, and its owner and the pool be gone, before this is carried out.
        auto const self = this->shared_from_this();
        Orders orders;
        bool const done = this->arbiter_.visit(waiter, orders);
        this->carry_out(orders, Where::on_worker);
        return done;
    }

    void cancel(Waiter& waiter) noexcept {
        Orders orders;
        this->arbiter_.leave(waiter, boost::asio::error::operation_aborted, orders);
        this->carry_out(orders, Where::on_worker);
    }

protected:
    using Base::Base;
    ~Asking() = default;

    /// To be kept by a thread that asks now, or nullptr.
    Vigil* vigil() noexcept { return !P::shares && vigil_.pays() ? &vigil_ : nullptr; }

    Answer ask(Waiter& waiter, Manner manner, Where where, Vigil* vigil = nullptr) {
        Told told = P::Trace::is_traced || vigil ? Told::no : Told::yes;
        for (;;) {
            bool const may_join = told == Told::yes && manner != Manner::tries;
            Answer answer = may_join ? this->arbiter_.join_line(waiter) : Answer::ask_again;
            if (answer == Answer::ask_again) answer = ask_once(waiter, manner, told, where);
            if (answer == Answer::would_wait) {
                if (!vigil || !linger(waiter.deadline, *std::exchange(vigil, nullptr))) {
                    if constexpr (P::Trace::is_traced) this->call(this->means_->options.trace.before_enqueue);
                    told = Told::yes;
                }
            } else if (answer != Answer::ask_again) {
                return answer;
            }
        }
    }

    /// Does what is to be done to what was granted.
    Answer prepared(Waiter& waiter) noexcept {
        if constexpr (P::has_chores) {
            auto& slot = static_cast<Resource&>(*waiter.granted);
            if (slot.chores.any()) return this->prepare_here(waiter, slot);
        }
        return Answer::granted;
    }

    /// Waits in line until it has its outcome.
    void await(SyncWaiter& waiter, Vigil* vigil) {
        do {
            if (waiter.wait(waiter.deadline, vigil)) continue;
            Orders orders;
            bool const left = this->arbiter_.leave(waiter, Errc::timed_out, orders);
            this->carry_out(orders, Where::on_worker);
            // Somebody is on his way with a deliver: the waiter must not be gone when he comes.
            if (!left || waiter.summoned) waiter.wait();
            return;
        } while (!visit(waiter));
    }

private:
    [[gnu::noinline]] Answer ask_once(Waiter& waiter, Manner manner, Told told, Where where) {
        Orders orders;
        Answer answer{};
        try {
            answer = this->arbiter_.ask(waiter, manner, told, orders);
        } catch (...) {
            this->carry_out(orders, where);
            throw;
        }
        if (!orders.empty()) this->carry_out(orders, where);
        if (P::is_keyed && orders.in_vain) waiter.room = Waiter::Room::none;
        return answer;
    }

    /// Stays at the door for a moment, as somebody who has yet to come, and so overtakes nobody; true when something
    /// has been parked. Sooner over when somebody joins the line.
    bool linger(time_point deadline, Vigil& vigil) noexcept {
        bool const alone = Vigil::watch(earlier(deadline, std::chrono::steady_clock::now() + Vigil::at_the_door),
                                        Vigil::slow, [this] { return !this->arbiter_.is_quiet(); });
        bool const parked = alone && !this->arbiter_.would_refuse();
        if (parked) vigil.ended(true);
        return parked;
    }

    Vigil vigil_;
};

}  // namespace weir::detail
