#pragma once
// Who gets what: every decision of a pool.

#include <weir/detail/answer.hpp>
#include <weir/detail/ending.hpp>
#include <weir/detail/report.hpp>

namespace weir::detail {

/// Decides under the mutex and acts never: it opens nothing, closes nothing and calls nobody. What is to be done
/// stands in `Orders`, for the core to carry out when the mutex is free.
template <class Conn, class P>
class Arbiter : public Ending<Conn, P> {
    using Base = Ending<Conn, P>;

protected:
    using typename Base::Lock;

public:
    using typename Base::time_point;
    using Options = typename P::Options;

    Arbiter(Home<Conn>& home, Options const& options) : Base{home, options} {}

    using Base::lend;

    // ---- The fast paths: no lock, no allocation, no shared counter. ------------------------------------------------

    /// An idle one, or nullptr. It may be over its time: `is_fresh` tells.
    SlotBase* pop(Wish wish) noexcept {
        if constexpr (P::has_settings)
            return this->store_.pop(wish.bucket);
        else
            return this->store_.pop();
    }

    /// Whether that is what is wished for: others may share its bucket.
    bool suits(SlotBase const& slot, Wish wish) const {
        if constexpr (P::has_settings) return !wish.setting || this->has_setting(slot, wish);
        return true;
    }

    bool is_fresh(SlotBase const& slot) const noexcept {
        if constexpr (P::has_upkeep)
            return this->clock_.is_fresh_and_young(slot);
        else
            return this->clock_.is_fresh(slot);
    }

    /// Parks what has come back, if the first try succeeds: then the slot, and the core, may be gone.
    bool park_at_once(SlotBase& slot) noexcept { return stamp(slot) && this->store_.try_push(slot); }

    /// Parks what has come back. Returns the slot that there is more to do for, mostly that one; after nullptr the slot,
    /// and the core, may be gone.
    SlotBase* park(SlotBase& slot) noexcept { return stamp(slot) ? this->store_.push(slot) : &slot; }

    /// The same for one that was taken and not lent: it has been idle all the time.
    SlotBase* park_unused(SlotBase& slot) noexcept {
        SlotBase* const refused = this->store_.push(slot);
        if (refused == &slot) slot.in_place = true;
        return refused;
    }

    /// Where there is upkeep: a lease is watched from here,
    void begin_lease(SlotBase& slot) const noexcept { this->clock_.begin_lease(slot); }

    /// to here: whether it was reported as overdue.
    bool end_lease(SlotBase& slot) const noexcept {
        if constexpr (P::is_observed) return this->clock_.end_lease(slot);
        this->clock_.end_unwatched_lease(slot);
        return false;
    }

    /// Whether somebody or something is to be seen to. A hint: `park` finds out by itself.
    bool would_refuse() const noexcept { return this->store_.shut(); }

    /// Nothing is idle and nobody is in line.
    bool is_quiet() const noexcept { return this->store_.size() == 0 && !this->store_.shut(); }

    bool closed() const noexcept { return this->closed_.load(std::memory_order_acquire); }

    // ---- Acquiring -------------------------------------------------------------------------------------------------

    /// Looks at an idle one that may be over its time, or may have to be checked: lends it, has it closed, or leaves it
    /// to `ask`.
    bool accept_stale(SlotBase& slot, Wish wish, Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        if constexpr (P::shares) this->store_.uncount(slot);
        if (this->closed_) {
            this->begin_close(slot, Cause::drained, orders);
        } else if (this->accept(slot, now, orders)) {
            if (!slot.chores.any() && this->has_just(slot, wish)) {
                this->lend_here(slot);
                return true;
            }
            put_back(slot, now, orders);
        }
        return false;
    }

    /// Answers an acquirer who has found nothing idle. Throws `std::bad_alloc`, and then has done nothing. Who is in line
    /// may be served and gone, and the core with him, once the mutex is free: the orders keep it where they need it.
    Answer ask(Waiter& waiter, Manner manner, Told told, Orders& orders) {
        auto const asked = std::exchange(waiter.asked, {});
        auto const now = asked == time_point{} ? std::chrono::steady_clock::now() : asked;
        Lock const lock{*this, orders, Base::Held::node};
        auto& ledger = this->ledger_;
        auto& queue = this->queue_;
        waiter.summoned = false;  // he may come again, from having been told
        waiter.is_late = waiter.deadline <= now;
        for (;;) {
            if (this->closed_) return Answer::closed;
            bool const may_open = queue.waiting() == 0 && this->has_room(now);
            bool const opens_rather = may_open && manner != Manner::tries && !(P::shares && waiter.is_late);
            auto const search = opens_rather ? Search::suitable : Search::any;
            if (SlotBase* const slot = this->may_be_idle() ? this->pop_for(waiter, search, now, orders) : nullptr) {
                if constexpr (P::shares) start_connect_beside(*slot, may_open, now, orders);
                return lend_idle(waiter, *slot, manner, now, orders);
            }
            if (!orders.close.empty()) return Answer::ask_again;  // there may be room when they are closed
            // One over its time that others use makes room as it drains.
            if (P::shares && !may_open && queue.waiting() == 0 && this->has_room(now)) continue;
            if (manner == Manner::tries) {
                // One at a time: a connect in flight that nobody has claimed is for whoever tries next.
                if (may_open && this->unclaimed() == 0)
                    start_connect_for(waiter.wish, this->arena_.take(this->home_), now, orders);
                return Answer::exhausted;
            }
            if (waiter.deadline <= now) {
                ++ledger.counts.timed_out;
                return Answer::timed_out;
            }
            bool const refused = !may_open && !waiter.owed && !ledger.may_wait(queue.waiting());
            if (!may_open && told == Told::no && (P::is_keyed || !refused)) return Answer::would_wait;
            if (refused) {
                if constexpr (P::is_keyed) {
                    if (this->closes_with_others()) return Answer::closed;
                    // For one place that is on its way to nobody else he may wait all the same. It may have come
                    // since we looked.
                    waiter.owed = this->is_promised(now);
                    if (!waiter.owed && queue.waiting() == 0 && this->has_room(now)) continue;
                    // What was made for him others may have taken.
                    if (!waiter.owed && waiter.room != Waiter::Room::none && this->lacks_only_total(now)) {
                        waiter.room = Waiter::Room::unsought;
                        return Answer::would_wait;
                    }
                }
                if (!waiter.owed) {
                    ++ledger.counts.rejected;
                    return Answer::rejected;
                }
            }

            // Rather than reset what has another setting, or crowd what is in use, one is opened, and he stands outside
            // the line meanwhile.
            bool const others_there = has_others();
            // A connect that nobody has claimed is under way: he stands as one whose connect was started, and gets one of
            // his own should that one fail.
            bool const adopts = manner == Manner::waits && may_open && !others_there && this->unclaimed() > 0;
            SlotBase* const place = may_open && !adopts ? &this->arena_.take(this->home_) : nullptr;
            waiter.since = now;
            if (place && manner == Manner::connects_here) {
                this->reserve(*place, now);
                this->aim(*place, waiter.wish);
                queue.number(waiter);
                waiter.granted = place;
                return Answer::connect_here;
            }
            bool const aside = place && others_there;
            if (!aside && queue.empty() && !this->store_.shut_if_empty()) {
                if (place) this->arena_.put(*place);
                continue;  // something was parked since we looked
            }
            using Place = Waiter::Place;
            if (P::sheds && queue.waiting() == 0) this->overload_.begin(now);
            bool const opens = may_open || waiter.owed;
            queue.join(waiter, aside ? Place::preparing : opens ? Place::connecting : Place::waiting);
            if (place) {
                this->start_connect(&waiter, *place, now, orders);
            } else if (!opens) {
                this->note_wait(waiter, now);
            }
            return Answer::in_line;
        }
    }

    /// Whether a waiter that is delivered to may have been summoned only to try.
    bool has_patience() const noexcept { return this->patience_ > this->patience_.zero(); }

    /// For a waiter that was delivered to, with patience: true when it has its outcome. One that was summoned to try
    /// goes on waiting where it stands when somebody was faster.
    bool visit(Waiter& waiter, Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        waiter.summoned = false;
        if (waiter.place == Waiter::Place::nowhere) return true;
        if (waiter.place == Waiter::Place::preparing) return false;  // he has been given one meanwhile
        SlotBase* const slot = this->pop_for(waiter, Search::any, now, orders);
        if (!slot) {
            this->open_for_waiters(now, orders);  // what was parked for him may have been what he was owed
            return false;
        }
        if (slot->chores.any() && !waiter.prepares_here) {
            this->queue_.move(waiter, Waiter::Place::preparing);
            this->start_preparation(&waiter, *slot, now, orders);
            return false;
        }
        this->take_out(waiter, now);
        this->grant(waiter, *slot);
        return true;
    }

    /// Takes a waiter out of line, with that error for its outcome; false when it has one already. A handler is
    /// delivered to. A thread is here itself, but when it was `summoned` it has yet to take that deliver.
    bool leave(Waiter& waiter, boost::system::error_code why, Orders& orders) noexcept {
        Lock const lock{*this, orders};
        if (waiter.place == Waiter::Place::nowhere) return false;
        this->end_early(waiter, why, std::chrono::steady_clock::now());
        if (waiter.kind == Waiter::Kind::handler) this->summon(waiter, orders);
        return true;
    }

    /// Everything idle, lent at once, the next to be lent first.
    Chain take_all(Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        Lock const lock{*this, orders};
        Chain all = this->store_.pop_all();
        Chain fresh;
        while (SlotBase* const slot = all.pop()) {
            if (!this->accept(*slot, now, orders)) continue;
            slot->chores = {};  // who asks for all takes them as they are
            lend(*slot);
            fresh.push(*slot);
        }
        return fresh.reversed();
    }

    // ---- Looking ---------------------------------------------------------------------------------------------------

    Stats stats() const {
        std::lock_guard const lock{this->mutex_};
        std::uint64_t acquired = 0;
        this->arena_.for_each([&](SlotBase const& slot) { acquired += this->leases(slot); });
        return this->ledger_.snapshot(this->store_.size(), this->queue_.waiting(), acquired);
    }

    /// For an operator. Allocates, and walks all slots.
    Late<P, Report<>> report() const {
        Late<P, Report<>> report{.stats = stats()};
        report.now = std::chrono::steady_clock::now();
        std::lock_guard const lock{this->mutex_};
        report.low = this->ledger_.low();
        report.max_waiters = this->ledger_.max_waiters();
        report.max_concurrent = this->ledger_.max_concurrent();
        if (auto const since = this->queue_.oldest_wait()) report.oldest_wait = report.now - *since;
        report.lists_leases = P::has_upkeep;
        report.knows_ages = this->clock_.knows_leases();
        auto const at = this->clock_.read(report.now);
        this->arena_.for_each([&](SlotBase const& slot) {
            if (auto const age = this->clock_.held(slot, at); age >= age.zero()) report.note({slot.id, age});
        });
        report.outdated = this->outdated_;
        report.failure = this->last_failure_;
        if (this->retry_.failing()) report.next_attempt = this->retry_.next() - report.now;
        report.closed = this->closed_;
        report.ended = this->ended_;
        return report;
    }

    std::optional<ConnectFailure> last_failure() const {
        std::lock_guard const lock{this->mutex_};
        return this->last_failure_;
    }

    void set_self(std::weak_ptr<void> const& self) noexcept { this->self_ = self; }

private:
    // What there is besides an idle one that suits.
    bool has_others() const noexcept {
        if constexpr (P::shares)
            return this->store_.has_room();
        else
            return P::has_settings && this->store_.size() > 0;
    }

    // Somebody who would not wait shares what is in use: for those after him there is to be another.
    void start_connect_beside(SlotBase& slot, bool may_open, time_point now, Orders& orders) noexcept {
        if (!may_open || this->is_only_holder(slot) || this->unclaimed() > 0) return;
        if (SlotBase* const place = this->take_place()) this->start_connect(nullptr, *place, now, orders);
    }

    // False when it is too old or worn.
    bool stamp(SlotBase& slot) const noexcept {
        if constexpr (P::shares) return this->clock_.stamp_shared(slot);
        if constexpr (P::has_upkeep) return this->clock_.stamp_young(slot);
        this->clock_.stamp(slot);
        return true;
    }

    // One that was taken without the mutex and did not suit: since then the line may have formed, or the bound or the
    // generation changed.
    void put_back(SlotBase& slot, time_point now, Orders& orders) noexcept {
        if (slot.generation != this->generation_) return this->begin_close(slot, Cause::stale, orders);
        if (this->ledger_.surplus() > 0) return this->begin_close(slot, Cause::excess, orders);
        if (!this->queue_.empty() && !has_patience()) return this->serve_next(slot, now, orders);
        slot.chores = {};
        if constexpr (P::shares) {
            if (!this->store_.push_behind_gate(slot)) this->begin_close(slot, Cause::excess, orders);
        } else {
            this->store_.put_first(slot);
        }
    }

    // For nobody in particular who wishes that.
    void start_connect_for(Wish wish, SlotBase& place, time_point now, Orders& orders) noexcept {
        this->start_connect(nullptr, place, now, orders);
        this->aim(place, wish);
    }

    Answer lend_idle(Waiter& waiter, SlotBase& slot, Manner manner, time_point now, Orders& orders) noexcept {
        if (!slot.chores.any() || waiter.prepares_here) {
            this->grant(waiter, slot);
            return Answer::granted;
        }
        if (manner == Manner::tries) {
            this->start_preparation(nullptr, slot, now, orders);
            return Answer::exhausted;
        }
        waiter.since = now;
        this->queue_.join(waiter, Waiter::Place::preparing);
        this->start_preparation(&waiter, slot, now, orders);
        return Answer::in_line;
    }
};

}  // namespace weir::detail
