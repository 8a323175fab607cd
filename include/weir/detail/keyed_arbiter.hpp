#pragma once
// What is asked and told from outside of a core that is one of many.

#include <chrono>
#include <memory>
#include <type_traits>
#include <utility>
#include <weir/detail/arbiter.hpp>

namespace weir::detail {

template <class Conn, class P>
class KeyedArbiter : public Arbiter<Conn, P> {
    using Base = Arbiter<Conn, P>;
    using typename Base::Lock;

public:
    using typename Base::Options;
    using typename Base::time_point;
    using rep = std::chrono::steady_clock::rep;

    using Base::Base;

    /// Makes it one of those that share these. Before anybody else knows it.
    void join(Quota<>& quota, ColdList<>& cold, std::weak_ptr<KeyCore> const& core, void const* key) noexcept {
        auto& t = this->tenancy_;
        t.quota = &quota;
        t.cold = &cold;
        t.self.core = core;
        t.self.key = key;
        this->store_.shut_if_empty();  // it is not listed
    }

    void const* key() const noexcept { return this->tenancy_.self.key; }

    /// Who would have to wait for nothing but a place under the total has one made free first, and opens what he wants
    /// himself if that is done at once. One that is on its way to him he may wait for where nobody else may.
    Answer ask(Waiter& waiter, Manner manner, Told told, Orders& orders) {
        auto& t = this->tenancy_;
        if (!std::exchange(waiter.expected, false)) ++t.expected;
        bool const first = manner != Manner::tries && waiter.room == Waiter::Room::unsought;
        if (first) waiter.room = Waiter::Room::sought;
        Answer answer{};
        try {
            answer = Base::ask(waiter, manner, first ? Told::no : told, orders);
            if (first && answer == Answer::would_wait) {
                if (lacks_only_total()) {
                    orders.tries = true;
                    return come_again(waiter, Answer::ask_again);
                }
                if (told == Told::yes) answer = Base::ask(waiter, manner, told, orders);
            }
            // Refused, and he has not looked everywhere since: once more from the beginning.
            if (answer == Answer::would_wait && waiter.room == Waiter::Room::unsought)
                return come_again(waiter, Answer::ask_again);
        } catch (...) {
            Lock const lock{*this, orders};  // it may have nothing left to be there for
            --t.expected;
            throw;
        }
        if (answer == Answer::ask_again || answer == Answer::would_wait) return come_again(waiter, answer);
        // He may have been served meanwhile, and be gone.
        Lock const lock{*this, orders};
        --t.expected;
        t.yielded = false;
        // Unless one is being opened for whoever tries next.
        if (answer == Answer::exhausted && this->unclaimed() == 0 && may_open()) orders.tries = true;
        if (answer != Answer::closed || !t.vanished) return answer;
        waiter.room = Waiter::Room::unsought;  // he begins anew with another
        return Answer::vanished;
    }

    Answer connect_here_failed(Waiter& waiter, SlotBase& slot, Failure const& failure, ConnectFailure&& note,
                               Orders& orders) noexcept {
        ++this->tenancy_.expected;
        return after_it(waiter, Base::connect_here_failed(slot, failure, std::move(note), orders), orders);
    }
    Answer connected_here(Waiter& waiter, SlotBase& slot, Orders& orders) noexcept {
        ++this->tenancy_.expected;
        return after_it(waiter, Base::connected_here(waiter, slot, orders), orders);
    }
    Answer prepared_here(Waiter& waiter, SlotBase& slot, Failure const& failure, Orders& orders) noexcept {
        ++this->tenancy_.expected;
        return after_it(waiter, Base::prepared_here(waiter, slot, failure, orders), orders);
    }

    /// Whether it has ended because it was empty.
    bool has_vanished() const noexcept {
        std::lock_guard const lock{this->mutex_};
        return this->tenancy_.vanished;
    }

    /// A place under the total may have been granted to it.
    void permitted(Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        auto& t = this->tenancy_;
        if (!t.stands || t.has_permit) return;
        this->open_for_waiters(now, orders);
    }

    /// Closes the coldest idle one, if it was not parked after `limit`: true when it does. Where somebody waits nothing
    /// is idle for others. It was taken out of the cold list, and goes back there if it has something left.
    bool yield(rep limit, bool extra, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        this->tenancy_.is_listed = false;
        this->tenancy_.searched = true;
        if (this->closed_ || !this->queue_.empty() || this->coldest() > limit) return false;
        Chain coldest = this->store_.take_coldest(1, [](SlotBase const&) { return true; });
        SlotBase* const slot = coldest.pop();
        if (!slot) return false;
        if (!this->tenancy_.quota->claim(Otherwise::parked, extra)) {
            this->store_.put_back(*slot);
            return false;
        }
        slot->reclaimed = true;
        this->tenancy_.yielded = true;
        this->begin_close(*slot, Cause::excess, orders);
        return true;
    }

private:
    static Answer come_again(Waiter& waiter, Answer answer) noexcept {
        waiter.expected = true;
        return answer;
    }

    // Who is to ask again is expected: when what he had is closed nothing may be left of it.
    Answer after_it(Waiter& waiter, Answer answer, Orders& orders) noexcept {
        if (answer == Answer::ask_again) return come_again(waiter, answer);
        if (answer == Answer::granted) {
            --this->tenancy_.expected;  // he has one that is open
            return answer;
        }
        Lock const lock{*this, orders};
        --this->tenancy_.expected;
        return answer;
    }

    bool lacks_only_total() const noexcept {
        std::lock_guard const lock{this->mutex_};
        return Base::lacks_only_total(std::chrono::steady_clock::now());
    }

    bool may_open() const noexcept { return this->may_open_but_for_total(std::chrono::steady_clock::now()); }
};

template <class Conn, class P>
using ArbiterOf = std::conditional_t<P::is_keyed, KeyedArbiter<Conn, P>, Arbiter<Conn, P>>;

}  // namespace weir::detail
