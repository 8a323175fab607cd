#pragma once
// What may be opened and closed, and what is under way.

#include <algorithm>
#include <weir/detail/deadline.hpp>
#include <weir/detail/permits.hpp>
#include <weir/detail/state.hpp>

namespace weir::detail {

/// The steps that concern slots.
template <class Conn, class P>
class Opening : protected StateOf<Conn, P> {
    using Base = StateOf<Conn, P>;

protected:
    using Base::Base;
    using Base::closed_;
    using Base::in_flight_;
    using Base::ledger_;
    using Base::queue_;
    using Base::retry_;
    using Base::serving_;
    using Base::store_;
    using Base::timeout_;
    using typename Base::Options;
    using typename Base::time_point;

    ~Opening() = default;

    /// Whether one more may be opened now. Where there is one to share, another is not tried for again and again.
    bool has_room(time_point now) noexcept {
        bool heeds_failures = P::retries;
        if constexpr (P::shares) heeds_failures = P::retries || !store_.empty();
        if (!ledger_.has_room() || (heeds_failures && !retry_.allows(ledger_.connecting(), now))) return false;
        if constexpr (P::is_keyed) return this->has_permit();
        return true;
    }

    void reserve(SlotBase& slot, time_point now) noexcept {
        ledger_.reserve();
        if constexpr (P::is_keyed) this->use_permit();
        if (ledger_.live() >= ledger_.low()) this->to_replace_ = 0;
        slot.refill = false;
        slot.chores = {};
        if constexpr (P::has_upkeep) this->clock_.conceive(slot);
        if constexpr (P::shares) store_.begin(slot, this->sharing_.streams);
        if constexpr (P::has_settings) {
            store_.assign(slot, 0);
            setting_of(slot).setting.reset();
            setting_of(slot).target.reset();
        }
        slot.keep = this->self_.lock();
        if constexpr (P::is_keyed)
            slot.id = this->next_id();
        else
            slot.id = ++this->last_id_;
        slot.generation = this->generation_;
        slot.started = now;
        slot.deadline = after(now, timeout_);
    }

    /// Opens a slot in the background, for `owner` if there is one.
    void start_connect(Waiter* owner, SlotBase& slot, time_point now, Orders& orders) noexcept {
        reserve(slot, now);
        assign(slot, owner);
        if (owner) aim(slot, owner->wish);
        begin_operation(slot, Operation::connecting, now);
        if (!owner || owner->place != Waiter::Place::preparing) count_on(slot);
        orders.connect.push(slot);
    }

    /// What is being opened is for the line, or for whoever comes.
    void count_on(SlotBase& slot) noexcept {
        slot.in_line = true;
        ++serving_;
    }

    using SlotType = typename Base::SlotType;
    using Setting = typename Base::Setting;

    static SlotType& setting_of(SlotBase& slot) noexcept { return static_cast<SlotType&>(slot); }
    static SlotType const& setting_of(SlotBase const& slot) noexcept { return static_cast<SlotType const&>(slot); }

    static bool has_just(SlotBase const& slot, Wish wish) {
        if constexpr (P::has_settings) {
            return slot.bucket == wish.bucket && (!wish.setting || has_setting(slot, wish));
        }
        return true;
    }

    /// The same for one that lies in the bucket for that.
    static bool has_setting(SlotBase const& slot, Wish wish) {
        return *setting_of(slot).setting == *static_cast<Setting const*>(wish.setting);
    }

    /// Notes what is to be done to a slot for one who wishes that.
    static void aim(SlotBase& slot, Wish wish) noexcept {
        if constexpr (P::has_settings) {
            slot.chores.reset = slot.chores.apply = false;
            if (has_just(slot, wish)) return;
            slot.chores.reset = slot.bucket != 0;
            slot.chores.apply = wish.setting != nullptr;
            set_target(setting_of(slot), static_cast<Setting const*>(wish.setting), wish.bucket);
        }
    }

    static void set_target(SlotType& slot, Setting const* setting, std::size_t bucket) noexcept {
        slot.target_bucket = static_cast<std::uint8_t>(bucket);
        try {
            slot.target.reset();
            if (setting) slot.target = *setting;
        } catch (...) {
            // No memory for a copy: what cannot be applied fails when its turn comes.
        }
    }

    /// What is done to the slot is done for this one, if for anybody. What was under way for him is for whoever comes.
    static void assign(SlotBase& slot, Waiter* owner) noexcept {
        slot.owner = owner;
        if (!owner) return;
        if (owner->attempt) owner->attempt->owner = nullptr;
        owner->attempt = &slot;
    }

    /// How many are idle that somebody in line could have.
    std::size_t ready() const noexcept {
        if constexpr (P::shares)
            return store_.ready();
        else
            return store_.size();
    }

    /// Whether somebody in line has no connect any more although one was started for him.
    bool is_owed() const noexcept { return serving_ + ready() < queue_.connecting(); }

    /// Whether somebody in line should have a connect. With patience what is parked is for whoever is in front.
    bool lacks_one() const noexcept { return is_owed() || (queue_.waiting() > 0 && ready() == 0); }

    /// Starts a connect for each in line who should have one, as far as there is room.
    void open_for_waiters(time_point now, Orders& orders) noexcept {
        while (!closed_ && lacks_one() && has_room(now)) {
            SlotBase* const place = take_place();
            if (!place) return;
            bool const owed = is_owed();
            Waiter& waiter = owed ? *queue_.first_without_attempt() : queue_.front_waiting();
            if (!owed) queue_.promote();
            start_connect(&waiter, *place, now, orders);
        }
    }

    /// How many connects are in flight that may yet yield something.
    std::size_t connecting_in_time() const noexcept {
        auto const late = std::count_if(this->overrun_.begin(), this->overrun_.end(),
                                        [](SlotBase const& slot) { return slot.operation == Operation::connecting; });
        return ledger_.connecting() - static_cast<std::size_t>(late);
    }

    /// Connects in flight that nobody has claimed.
    std::size_t unclaimed() const noexcept {
        return serving_ > queue_.connecting() ? serving_ - queue_.connecting() : 0;
    }

    /// Whether something is to be opened though nobody asks for it.
    bool wants_refill() const noexcept {
        // A key that has nothing any more vanishes rather than open for nobody.
        if (P::is_keyed && ledger_.open() == 0 && queue_.empty()) return false;
        // Nor does one take back the place that was made free for another.
        if constexpr (P::is_keyed)
            if (this->tenancy_.yielded) return false;
        return (ledger_.eager() || this->to_replace_ > 0) && !closed_ && ledger_.live() < ledger_.low() &&
               ledger_.has_room();
    }

    /// Opens in the background what `low` asks for; in place of one that is closed, to be set as that one was.
    void refill(SlotBase const* like, time_point now, Orders& orders) noexcept {
        while (wants_refill() && retry_.allows(ledger_.connecting(), now)) {
            if constexpr (P::is_keyed)
                if (!this->has_permit()) return;
            Late<P, std::optional<Setting>> again;  // `like` may be the place itself
            std::size_t bucket = 0;
            if constexpr (P::has_settings) {
                try {
                    if (like && like->bucket != 0) {
                        again = setting_of(*like).setting;
                        bucket = like->bucket;
                    } else if (like && setting_of(*like).target) {
                        again = setting_of(*like).target;
                        bucket = setting_of(*like).target_bucket;
                    }
                } catch (...) {
                    // It cannot be copied: then one without it must do.
                }
                like = nullptr;
            }
            SlotBase* const place = take_place();
            if (!place) return;
            start_connect(nullptr, *place, now, orders);
            place->refill = true;
            if constexpr (P::has_settings) {
                place->chores.apply = again.has_value();
                if (again) set_target(setting_of(*place), &*again, bucket);
            }
            if (this->to_replace_ > 0) --this->to_replace_;
        }
    }

    /// For whoever holds it. Where others do, too, it goes when they are done with it.
    void begin_close(SlotBase& slot, Cause cause, Orders& orders) noexcept {
        bool last = true;
        if constexpr (P::shares) last = store_.leave(slot);
        if (slot.drains) {
            slot.drains = !last;
            if (last) ledger_.end_drain();
        } else {
            strike(slot);
            bool const evicted = slot.dies_at.load(std::memory_order_relaxed) == SlotBase::evicted;
            if (cause == Cause::age && evicted) cause = Cause::unhealthy;
            slot.cause = closed_ ? Cause::drained : cause;
            slot.drains = !last;
            last ? ledger_.begin_close() : ledger_.begin_drain();
            this->to_replace_ =
                ledger_.live() >= ledger_.low() ? 0 : this->to_replace_ + (slot.cause == Cause::age ? 1 : 0);
        }
        if (last) orders.close.push(slot);
        if constexpr (P::is_keyed)
            if (slot.reclaimed) begin_operation(slot, Operation::closing, std::chrono::steady_clock::now());
        if (wants_refill()) refill(&slot, std::chrono::steady_clock::now(), orders);
    }

    /// Of what is idle those that are one too many go, the coldest first.
    void trim(Orders& orders) noexcept {
        while (ledger_.surplus() > 0 && store_.size() > 0) {
            close_all(store_.take_coldest(ledger_.surplus(), [](SlotBase const&) { return true; }), Cause::excess,
                      orders);
        }
        if constexpr (P::shares) {
            while (ledger_.surplus() > 0) {
                SlotBase* const least = store_.take_least();
                if (!least) return;
                begin_close(*least, Cause::excess, orders);
            }
        }
    }

    /// In the order of the chain, as a last in, first out `orders.close` has it.
    void close_all(Chain const& chain, Cause cause, Orders& orders) noexcept {
        for (Chain rest = chain.reversed(); SlotBase* const slot = rest.pop();) begin_close(*slot, cause, orders);
    }

    /// What is not lent yet is treated as if the pool had been refreshed: it goes, or is for one alone.
    void outdate(SlotBase& slot) noexcept {
        if (slot.drains || slot.generation != this->generation_) return;
        --slot.generation;
        ++this->outdated_;
    }

    /// What was being opened when the pool was refreshed is for one alone, and another may be open in its place.
    void drain_when_lent(SlotBase& slot) noexcept {
        strike(slot);
        slot.cause = Cause::stale;
        slot.drains = true;
        ledger_.begin_drain();
    }

    /// The resource, or the attempt, is none of those to look out for any more.
    void strike(SlotBase const& slot) noexcept {
        if (slot.generation != this->generation_) --this->outdated_;
    }

    /// The slot is open no more. Its core lives on at least as long as the caller holds it.
    void free(SlotBase& slot, Orders& orders) noexcept {
        auto const now = std::chrono::steady_clock::now();
        slot.keep.reset();
        slot.id = 0;
        if constexpr (P::is_keyed) this->return_permit(slot, orders);
        this->arena_.put(slot);
        open_for_waiters(now, orders);
        if (wants_refill()) refill(&slot, now, orders);
    }

    void begin_operation(SlotBase& slot, Operation operation, time_point now) noexcept {
        slot.operation = operation;
        slot.deadline = after(now, timeout_);
        in_flight_.push_back(slot);
    }

    /// True when it ended in time.
    bool end_operation(SlotBase& slot, Orders& orders) noexcept {
        slot.operation = Operation::none;
        slot.in_flight.unlink();
        orders.ended = std::move(slot.task);
        return !std::exchange(slot.overrun, false);
    }

    /// An attempt is no longer one that the line counts on.
    void end_attempt(SlotBase& slot) noexcept {
        if (std::exchange(slot.in_line, false)) --serving_;
        if (slot.owner) std::exchange(slot.owner, nullptr)->attempt = nullptr;
    }

    void note_overrun(SlotBase const& slot, time_point now) noexcept {
        ConnectFailure failure{Errc::timed_out, {}, now};
        try {
            failure.text = "the connector took longer than its timeout";
        } catch (...) {
            // No memory for the text: the code says it too.
        }
        note_failure(slot, std::move(failure));
    }

    void note_failure(SlotBase const& slot, ConnectFailure&& failure) noexcept {
        ++ledger_.counts.connect_failed;
        if (slot.refill) ++this->to_replace_;
        retry_.failed(slot.started, failure.when, this->random_);
        this->last_failure_ = std::move(failure);
    }

    /// What was opened is of use: attempts do not fail any more.
    void refilled(SlotBase& slot) noexcept {
        slot.refill = false;
        retry_.succeeded();
    }

    /// What was opened to have enough is of no use: opening the next has no hurry.
    void refill_failed(SlotBase& slot, time_point now) noexcept {
        if (std::exchange(slot.refill, false)) retry_.failed(slot.started, now, this->random_);
    }

    void note_connected(SlotBase& slot, time_point now) noexcept {
        ledger_.connected(now - slot.started);
        if (!slot.refill) retry_.succeeded();
        if constexpr (P::has_upkeep) this->clock_.born(slot, now, this->random_);
    }

    /// A slot nobody uses, if there is memory for one.
    SlotBase* take_place() noexcept {
        try {
            return &this->arena_.take(this->home_);
        } catch (...) {
            return nullptr;  // no memory for a slot: who waits goes on waiting for one that is there
        }
    }
};

}  // namespace weir::detail
