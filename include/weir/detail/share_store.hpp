#pragma once
// Connections that many use at once.

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <weir/detail/random.hpp>
#include <weir/detail/slot.hpp>

namespace weir::detail {

/// How one connection is shared: `SlotBase::shares`, so that every step is one exchange.
///
/// From the lowest bit: whether it `lends`, whether its gate is `shut`, how many shares are out, how many may be, and how
/// many have been lent since they were last added to `SlotBase::leases`.
struct Shares {
    static constexpr std::uint64_t lends = 1;
    static constexpr std::uint64_t shut = 2;
    static constexpr std::uint64_t most_shares = (std::uint64_t{1} << 23) - 1;
    static constexpr std::uint64_t one = std::uint64_t{1} << 2;
    static constexpr std::uint64_t one_of_most = std::uint64_t{1} << 25;
    static constexpr std::uint64_t one_lease = std::uint64_t{1} << 48;
    static constexpr std::uint64_t carry = std::uint64_t{1} << 63;

    std::uint64_t word;

    static Shares of(SlotBase const& slot) noexcept { return {slot.shares.load(std::memory_order_acquire)}; }

    /// Held by one, and lending none.
    static constexpr Shares held(std::size_t most) noexcept { return Shares{one}.with_most(most); }

    constexpr std::uint64_t out() const noexcept { return word / one & most_shares; }
    constexpr std::uint64_t most() const noexcept { return word / one_of_most & most_shares; }
    constexpr std::uint64_t leases() const noexcept { return word / one_lease; }
    constexpr bool has_room() const noexcept { return (word & lends) != 0 && out() < most(); }

    /// Whether shares are lent and taken back by exchanges alone: else there is more to be done, under the mutex.
    constexpr bool is_plain() const noexcept { return (word & (lends | shut | carry)) == lends; }

    constexpr Shares with_most(std::size_t n) const noexcept {
        std::uint64_t const most = n < most_shares ? n : most_shares;
        return {(word & ~(most_shares * one_of_most)) | most * one_of_most};
    }
};

/// The connections that lend shares, and the choice among them: the one with the fewest out; of more than eight, the
/// better of two at random, which comes close to it (M. Mitzenmacher, The Power of Two Choices in Randomized Load
/// Balancing, IEEE TPDS 12, 2001).
///
/// A store of slots in which what is lent stays: `pop` adds a share, `push` takes one back. A slot is listed exactly as
/// long as it lends, and whoever else has to do with it holds one share: the connect that fills it, the check, and the
/// close, which is begun with the last. List and flags change under the core's mutex; shares come and go without, each
/// by an exchange of the slot's word that fails when a flag or the limit has changed. So nobody gets a share of a
/// connection that has stopped lending, no gate is passed that was shut before, and no more are out than may be.
///
/// Acquirers look at the list without the mutex: one that is being changed may show a slot twice or not at all. They look
/// again with the mutex before they open or wait. Slots are type-stable, and what is read from one that has left the list
/// is its word.
class ShareStore {
public:
    static constexpr bool is_stack = false;

    ShareStore() = default;
    ShareStore(ShareStore const&) = delete;
    ShareStore& operator=(ShareStore const&) = delete;
    ~ShareStore() {
        for (auto& block : blocks_) delete[] block.load(std::memory_order_relaxed);
    }

    // ---- For any thread. -------------------------------------------------------------------------------------------

    /// A share, or nullptr: none is idle, and none that is in use has room, or might be opened beside it.
    SlotBase* pop() noexcept {
        bool const crowds = crowds_.load(std::memory_order_relaxed);
        return lend(Shares::one_lease, [crowds](Shares shares) {
            return shares.is_plain() && (crowds ? shares.has_room() : shares.out() == 0 && shares.most() > 0);
        });
    }

    /// Takes a share back. Returns the slot when it did not, and otherwise nullptr: then the slot, and the core, may be
    /// gone.
    SlotBase* push(SlotBase& slot) noexcept { return try_push(slot) ? nullptr : &slot; }

    bool try_push(SlotBase& slot) noexcept {
        return exchange(
            slot, [](Shares shares) { return shares.is_plain(); },
            [](Shares shares) { return Shares{shares.word - Shares::one}; });
    }

    bool shut() const noexcept { return shut_.load(std::memory_order_acquire); }

    /// How many lend and are in nobody's use.
    std::size_t size() const noexcept {
        std::size_t idle = 0;
        for_each([&](SlotBase const& slot) { idle += Shares::of(slot).out() == 0 ? 1 : 0; });
        return idle;
    }

    /// The same without those of which none may be had.
    std::size_t ready() const noexcept {
        std::size_t ready = 0;
        for_each([&](SlotBase const& slot) {
            Shares const shares = Shares::of(slot);
            ready += shares.out() == 0 && shares.has_room() ? 1 : 0;
        });
        return ready;
    }

    /// Whether none lends.
    bool empty() const noexcept { return listed_.load(std::memory_order_acquire) == 0; }

    /// How often shares of it have been lent.
    static std::uint64_t leases(SlotBase const& slot) noexcept {
        // In this order: to miss those that are being carried over is to retire it late, to see them twice far too early.
        auto const before = slot.leases.load(std::memory_order_acquire);
        return before + Shares::of(slot).leases();
    }

    // ---- Under the core's mutex. -----------------------------------------------------------------------------------

    /// For a slot that is about to be opened: held by one.
    static void begin(SlotBase& slot, std::size_t most) noexcept {
        carry_over(slot);
        slot.shares.store(Shares::held(most).word, std::memory_order_relaxed);
    }

    /// A share, whatever the gate; of an idle one, or of any. To be counted when it is lent.
    SlotBase* pop_behind_gate(bool only_idle) noexcept {
        return lend(0, [only_idle](Shares shares) { return shares.has_room() && (!only_idle || shares.out() == 0); });
    }

    /// One that was popped before the gate is not lent yet.
    static void uncount(SlotBase& slot) noexcept {
        slot.leases.store(slot.leases.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    }

    /// Whether somebody could have one.
    bool has_room() const noexcept {
        bool found = false;
        for_each([&](SlotBase const& slot) { found = found || Shares::of(slot).has_room(); });
        return found;
    }

    /// Has one that is held by one lend, beside that. False when there is no memory to list it: then it stays his.
    bool publish(SlotBase& slot) noexcept {
        if ((Shares::of(slot).word & Shares::lends) != 0) return true;
        if (!list(slot)) return false;
        // Release: whoever gets a share sees what its connect, or its check, has done.
        slot.shares.fetch_or(Shares::lends | (shut() ? Shares::shut : 0), std::memory_order_release);
        return true;
    }

    /// Has one lend, and takes its share back. False when there is no memory to list it.
    bool push_behind_gate(SlotBase& slot) noexcept {
        carry_over(slot);
        if (!publish(slot)) return false;
        slot.shares.fetch_sub(Shares::one, std::memory_order_acq_rel);
        return true;
    }

    /// Stops lending one of which the caller has a share, and takes that back; true when it was the last.
    bool leave(SlotBase& slot) noexcept {
        stop(slot);
        auto const before = slot.shares.fetch_sub(Shares::one, std::memory_order_acq_rel);
        return Shares{before}.out() == 1;
    }

    /// Stops lending one of which the caller has the only share. False, and nothing has changed, when he has not.
    bool take_alone(SlotBase& slot) noexcept { return take(slot, 1, 0); }

    /// From now on so many shares of it may be out; those that are stay.
    static void limit(SlotBase& slot, std::size_t most) noexcept {
        exchange(
            slot, [](Shares) { return true; }, [most](Shares shares) { return shares.with_most(most); });
    }

    /// While none may be opened, those in use are lent, too.
    void crowd(bool crowds) noexcept { crowds_.store(crowds, std::memory_order_relaxed); }
    bool crowds() const noexcept { return crowds_.load(std::memory_order_relaxed); }

    void open() noexcept {
        shut_.store(false, std::memory_order_release);
        for_each([](SlotBase& slot) { slot.shares.fetch_and(~Shares::shut, std::memory_order_acq_rel); });
    }

    /// From now on shares are lent and taken back under the mutex.
    void shut_now() noexcept {
        shut_.store(true, std::memory_order_release);
        for_each([](SlotBase& slot) { slot.shares.fetch_or(Shares::shut, std::memory_order_acq_rel); });
    }

    /// Shuts the gate, unless somebody could have a share. One that comes back meanwhile is found here, or refused.
    bool shut_if_empty() noexcept {
        bool const was_open = !shut();
        shut_now();
        if (!has_room()) return true;
        if (was_open) open();
        return false;
    }

    /// Shuts the gate; all stop lending, and the caller has a share of each.
    Chain seal() noexcept {
        shut_.store(true, std::memory_order_release);
        Chain all;
        while (!empty()) {
            SlotBase& last = *place(listed_.load(std::memory_order_relaxed) - 1).load(std::memory_order_relaxed);
            all.push(hold(last));
        }
        return all;
    }

    /// The same of the first that `matches`.
    template <class Matches>
    SlotBase* take_first(Matches matches) noexcept {
        SlotBase* found = nullptr;
        for_each([&](SlotBase& slot) {
            if (!found && matches(slot)) found = &slot;
        });
        return found ? &hold(*found) : nullptr;
    }

    /// The same of the one with the fewest out.
    SlotBase* take_least() noexcept {
        SlotBase* const least = choose_among_all([](Shares) { return true; });
        return least ? &hold(*least) : nullptr;
    }

    /// Takes up to `most` of the idle ones that `matches`, the coldest first.
    template <class Matches>
    Chain take_coldest(std::size_t most, Matches matches) {
        Chain taken;
        while (taken.size < most) {
            SlotBase* coldest = nullptr;
            for_each([&](SlotBase& slot) {
                if (Shares::of(slot).out() == 0 && matches(slot) && (!coldest || parked_at(&slot) < parked_at(coldest)))
                    coldest = &slot;
            });
            if (!coldest) break;
            if (take(*coldest, 0, Shares::one)) taken.push(*coldest);
        }
        return taken.reversed();
    }

    /// The same, of those for one round of maintenance: at most half of what is idle.
    template <class Matches>
    Chain take_round(std::size_t most, Matches matches) {
        std::size_t const half = size() / 2 > 0 ? size() / 2 : 1;
        return take_coldest(most < half ? most : half, matches);
    }

private:
    using Place = std::atomic<SlotBase*>;

    // Changes a slot's word, if and when `may`.
    template <class May, class Change>
    static bool exchange(SlotBase& slot, May may, Change change) noexcept {
        Shares seen = Shares::of(slot);
        do {
            if (!may(seen)) return false;
            // Release and acquire: who stops lending it has to see what those did who gave their shares back.
        } while (!slot.shares.compare_exchange_weak(seen.word, change(seen).word, std::memory_order_acq_rel,
                                                    std::memory_order_acquire));
        return true;
    }

    // A share of one that `may` be lent, and what else is to be added to its word.
    template <class May>
    SlotBase* lend(std::uint64_t more, May may) noexcept {
        for (;;) {
            SlotBase* const slot = choose(may);
            if (!slot) return nullptr;
            if (exchange(*slot, may, [more](Shares shares) { return Shares{shares.word + Shares::one + more}; }))
                return slot;
        }
    }

    template <class May>
    SlotBase* choose(May may) const noexcept {
        std::size_t const n = listed_.load(std::memory_order_acquire);
        if (n > few) {
            SlotBase* const one = place(random_below(n)).load(std::memory_order_acquire);
            SlotBase* const other = place(random_below(n)).load(std::memory_order_acquire);
            Shares const first = Shares::of(*one);
            Shares const second = Shares::of(*other);
            bool const better = may(first) && (!may(second) || first.out() <= second.out());
            if (better || may(second)) return better ? one : other;
        }
        return choose_among_all(may);
    }

    template <class May>
    SlotBase* choose_among_all(May may) const noexcept {
        SlotBase* best = nullptr;
        std::uint64_t least = 0;
        for_each([&](SlotBase& slot) {
            Shares const shares = Shares::of(slot);
            if (!may(shares) || (best && shares.out() >= least)) return;
            best = &slot;
            least = shares.out();
        });
        return best;
    }

    // Adds to `leases` what has been counted beside the shares.
    static void carry_over(SlotBase& slot) noexcept {
        auto const counted = Shares{slot.shares.fetch_and(Shares::one_lease - 1, std::memory_order_relaxed)}.leases();
        slot.leases.store(slot.leases.load(std::memory_order_relaxed) + counted, std::memory_order_relaxed);
    }

    SlotBase& hold(SlotBase& slot) noexcept {
        slot.shares.fetch_add(Shares::one, std::memory_order_relaxed);
        stop(slot);
        return slot;
    }

    void stop(SlotBase& slot) noexcept {
        if ((slot.shares.fetch_and(~(Shares::lends | Shares::shut), std::memory_order_acq_rel) & Shares::lends) != 0)
            unlist(slot);
    }

    // Stops lending one with just so many out, and adds some.
    bool take(SlotBase& slot, std::uint64_t out, std::uint64_t more) noexcept {
        bool const taken = exchange(
            slot, [out](Shares shares) { return (shares.word & Shares::lends) != 0 && shares.out() == out; },
            [more](Shares shares) { return Shares{(shares.word & ~(Shares::lends | Shares::shut)) + more}; });
        if (taken) unlist(slot);
        return taken;
    }

    // ---- The list: eight places, and blocks of 8, 16, 32, ... more, which stay where they are. -----------------------

    static constexpr std::size_t few = 8;

    Place& place(std::size_t i) const noexcept {
        if (i < few) return first_[i];
        auto const block = static_cast<std::size_t>(std::bit_width(i / few)) - 1;
        return blocks_[block].load(std::memory_order_acquire)[i - (few << block)];
    }

    template <class Visit>
    void for_each(Visit visit) const noexcept {
        std::size_t const n = listed_.load(std::memory_order_acquire);
        for (std::size_t i = 0; i != n; ++i) visit(*place(i).load(std::memory_order_acquire));
    }

    bool list(SlotBase& slot) noexcept {
        std::size_t const n = listed_.load(std::memory_order_relaxed);
        if (n >= few && std::has_single_bit(n / few) && n % few == 0) {
            auto& block = blocks_[static_cast<std::size_t>(std::bit_width(n / few)) - 1];
            if (!block.load(std::memory_order_relaxed)) {
                auto* const made = new (std::nothrow) Place[n]{};
                if (!made) return false;
                block.store(made, std::memory_order_release);
            }
        }
        place(n).store(&slot, std::memory_order_release);
        listed_.store(n + 1, std::memory_order_release);
        return true;
    }

    void unlist(SlotBase const& slot) noexcept {
        std::size_t const last = listed_.load(std::memory_order_relaxed) - 1;
        std::size_t i = 0;
        while (place(i).load(std::memory_order_relaxed) != &slot) ++i;
        place(i).store(place(last).load(std::memory_order_relaxed), std::memory_order_release);
        listed_.store(last, std::memory_order_release);
    }

    // Each thread's own: nobody waits for a number.
    static std::size_t random_below(std::size_t n) noexcept {
        thread_local Random random = Random::seeded();
        return static_cast<std::size_t>(((random() >> 32) * n) >> 32);
    }

    mutable std::array<Place, few> first_{};
    std::array<std::atomic<Place*>, 22> blocks_{};
    std::atomic<std::size_t> listed_{0};
    std::atomic<bool> crowds_{false};
    std::atomic<bool> shut_{false};
};

}  // namespace weir::detail
