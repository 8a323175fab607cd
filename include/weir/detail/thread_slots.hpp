#pragma once
// A slot for each thread.

#include <algorithm>
#include <array>
#include <atomic>
#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <span>
#include <thread>
#include <weir/detail/asymmetric_fence.hpp>
#include <weir/detail/config.hpp>
#include <weir/detail/spin.hpp>
#include <weir/detail/thread_number.hpp>
#include <weir/detail/thread_slot.hpp>

namespace weir::detail {

/// A `ThreadSlot` for each of the threads that have a number, made when its thread first needs it. What lies in the slot
/// of a thread that has ended belongs to the next that has its number, and others can get at it as before.
///
/// Where the system has no heavy fence there are none. Nor are there for code in a shared library that has thread numbers
/// of its own: a number means the same thread only where the slots were made.
class ThreadSlots {
public:
    /// Where `put` puts things: not into a slot, if something must be done first, which spares `put` a look of its own.
    enum class Puts { into_slots, nowhere };

    explicit ThreadSlots(Puts puts = Puts::into_slots, void const* home = ThreadNumbers::home()) noexcept
        : home_{home}, home_of_puts_{puts == Puts::into_slots ? home : nullptr} {
        static constinit ThreadSlot nobodys{ThreadSlot::Nobodys{}};
        for (auto& slot : slots_) slot.store(&nobodys, std::memory_order_relaxed);
    }
    ThreadSlots(ThreadSlots const&) = delete;
    ThreadSlots& operator=(ThreadSlots const&) = delete;
    ~ThreadSlots() {
        for (auto& slot : slots_)
            if (auto* const made = slot.load(std::memory_order_relaxed); made != nobodys()) delete made;
    }

    /// From this thread's own slot; nullptr: there is nothing in it, or it has none.
    void* take() noexcept { return is_home() ? here().take() : nullptr; }

    /// Into it; false: it has no room, or there is none.
    bool put(void* item) noexcept { return home_of_puts_ == ThreadNumbers::home() && here().put(item); }

    /// This thread's; nullptr: it has none.
    ThreadSlot* own() noexcept {
        if (!is_home()) return nullptr;
        ThreadSlot* const found = &here();
        return found != nobodys() ? found : add();
    }

    /// How many objects there are, and how many have been got again.
    std::size_t size() const noexcept {
        std::size_t all = 0;
        each([&](ThreadSlot const& slot) { all += slot.size(); });
        return all;
    }
    std::uint64_t reused() const noexcept {
        std::uint64_t all = 0;
        each([&](ThreadSlot const& slot) { all += slot.reused(); });
        return all;
    }

    /// Takes all from another thread's slot, the coldest first, and says how many; none when there are none, or others
    /// were at work wherever it looked. It looks into a few only.
    std::size_t rob(std::span<void*, ThreadSlot::capacity> into) noexcept {
        unsigned const count = used_.load(std::memory_order_acquire);
        unsigned const own = number();
        int tries = 3;
        for (unsigned i = 1; i <= count && tries > 0; ++i) {
            ThreadSlot& slot = at((own + i) % count);
            if ((own + i) % count == own || slot.size() == 0 || !slot.claim()) continue;
            --tries;
            if (heavy_fence() && slot.is_quiet()) {
                auto const contents = slot.contents();
                std::copy(contents.begin(), contents.end(), into.begin());
                if (!contents.empty()) {
                    slot.leave_robbed();
                    return contents.size();
                }
            }
            slot.leave_as_it_was();
        }
        return 0;
    }

    /// Has `move` take what is in the slots, the coldest of each first; false: it could not. One at a time.
    template <class Move>
    void empty(Move move) noexcept {
        Visited visited;
        for (unsigned i = 0; i < used_.load(std::memory_order_acquire); ++i)
            visited[i] = at(i).size() > 0 && at(i).claim();
        bool const fenced = fence(visited);
        each(visited, [&](ThreadSlot& slot) {
            if (fenced && take_from(slot, move))
                slot.leave_empty();
            else
                slot.leave_as_it_was();
        });
    }

    /// The same, and there will be nothing in any slot until `unbar`: but for what could not be taken, and then in its
    /// slot.
    template <class Move>
    void bar(Move move) noexcept {
        Visited visited;
        {
            std::lock_guard const lock{mutex_};
            barred_ = true;
            for (unsigned i = 0; i < used_.load(std::memory_order_relaxed); ++i) {
                // Other visitors are waited for: they take no lock before they leave.
                auto barring = ThreadSlot::Barring::wait;
                wait_for([&] { return (barring = at(i).bar()) != ThreadSlot::Barring::wait; });
                visited[i] = barring == ThreadSlot::Barring::claimed;
            }
        }
        bool const fenced = fence(visited);
        each(visited, [&](ThreadSlot& slot) {
            if (fenced && take_from(slot, move))
                slot.leave_barred();
            else
                slot.leave_as_it_was();
        });
    }

    void unbar() noexcept {
        std::lock_guard const lock{mutex_};
        barred_ = false;
        for (unsigned i = 0; i < used_.load(std::memory_order_relaxed); ++i)
            if (&at(i) != nobodys()) at(i).unbar();
    }

private:
    bool is_home() const noexcept { return home_ == ThreadNumbers::home(); }
    unsigned number() const noexcept { return is_home() ? thread_number : numbered_threads; }

    // This thread made it, or one that had the number before.
    ThreadSlot& here() noexcept { return *slots_[thread_number].load(std::memory_order_relaxed); }

    using Visited = std::bitset<numbered_threads>;

    // Between claiming slots and looking into them. This thread's own is quiet anyway.
    bool fence(Visited visited) const noexcept {
        if (unsigned const own = number(); own != numbered_threads) visited.reset(own);
        return visited.none() || heavy_fence();
    }

    template <class Move>
    static bool take_from(ThreadSlot& slot, Move& move) noexcept {
        wait_for([&] { return slot.is_quiet(); });
        auto const contents = slot.contents();
        return contents.empty() || move(contents);
    }

    // Until another thread has done what it is a few instructions away from, if it runs.
    template <class Done>
    static void wait_for(Done done) noexcept {
        for (unsigned i = 0; !done(); ++i) {
            if (i < 64)
                relax();
            else if (i < 128)
                std::this_thread::yield();
            else
                std::this_thread::sleep_for(std::chrono::microseconds{50});  // it may have less right to run than this
        }
    }

    [[gnu::noinline]] ThreadSlot* add() noexcept {
        unsigned const number = ask_thread_number();
        if (number == numbered_threads || !has_heavy_fence()) return nullptr;
        if (ThreadSlot* const found = &here(); found != nobodys()) return found;  // of one that had the number before
        auto* const slot = new (std::nothrow) ThreadSlot;
        if (!slot) return nullptr;
        std::lock_guard const lock{mutex_};
        if (barred_) slot->leave_barred();
        // Release: for visitors.
        slots_[number].store(slot, std::memory_order_release);
        if (number >= used_.load(std::memory_order_relaxed)) used_.store(number + 1, std::memory_order_release);
        return slot;
    }

    ThreadSlot& at(unsigned number) const noexcept { return *slots_[number].load(std::memory_order_acquire); }

    template <class Visit>
    void each(Visit visit) const noexcept {
        for (unsigned i = 0; i < used_.load(std::memory_order_acquire); ++i) visit(at(i));
    }
    template <class Visit>
    void each(Visited const& which, Visit visit) noexcept {
        for (unsigned i = 0; i < which.size(); ++i)
            if (which[i]) visit(at(i));
    }

    // One for all, but for libraries that keep to themselves: so it is looked up, not named.
    ThreadSlot* nobodys() const noexcept { return slots_[numbered_threads].load(std::memory_order_relaxed); }

    void const* const home_;  // of the numbers
    void const* const home_of_puts_;
    // The last is that of threads without a number, and nobody's.
    std::array<std::atomic<ThreadSlot*>, numbered_threads + 1> slots_;
    std::atomic<unsigned> used_{0};  // none at or above it has been made
    std::mutex mutex_;               // protects which there are, and:
    bool barred_ = false;            // those that are made start so
};

}  // namespace weir::detail
