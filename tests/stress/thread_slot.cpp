// A thread's own slot, alone: an owner who does nothing else, and visitors who come all the time.

#include "support/stress.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>
#include <weir/detail/thread_slot.hpp>

namespace {

using namespace weir;
using detail::ThreadSlot;
using stress::check;

struct Item {
    std::atomic<unsigned> owner{0};  // relaxed: it must not synchronise anybody
    std::uint64_t count = 0;         // plain, and written by every owner: for ThreadSanitizer

    void use(unsigned me) {
        check(owner.exchange(me, std::memory_order_relaxed) == 0, "two owners of one item");
        ++count;
        check(owner.exchange(0, std::memory_order_relaxed) == me, "the owner of an item was replaced");
    }
};

constexpr std::size_t item_count = 4;

/// What a visitor has taken away, until the owner fetches it.
struct Elsewhere {
    std::array<std::atomic<Item*>, item_count> items{};

    void put(Item* item) {
        // There is a place for each, though it may be taken by one that came from a place before it.
        for (int i = 0; i != 1000; ++i)
            for (auto& place : items)
                if (Item* none = nullptr; place.compare_exchange_strong(none, item)) return;
        check(false, "there are more items than there were");
    }
    Item* take() {
        for (auto& place : items)
            if (Item* const item = place.exchange(nullptr)) return item;
        return nullptr;
    }
};

std::uint64_t run(std::size_t visitors, stress::Until const& until) {
    ThreadSlot slot;
    Elsewhere elsewhere;
    std::array<Item, item_count> items;
    for (Item& item : items) check(slot.put(&item), "an empty slot has no room");

    std::atomic<bool> stop{false};
    std::vector<std::uint64_t> visits(visitors);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i != visitors; ++i) {
        threads.emplace_back([&, me = static_cast<unsigned>(i) + 2, &count = visits[i]] {
            stress::Random random{me};
            while (!stop) {
                if (!slot.claim()) continue;
                if (!detail::heavy_fence() || !slot.is_quiet()) {
                    slot.leave_as_it_was();
                    continue;
                }
                std::vector<Item*> seen;
                for (void* const item : slot.contents()) seen.push_back(static_cast<Item*>(item));
                for (Item* const item : seen) item->use(me);
                // To look and leave it is what the owner notices least.
                if (random.below(16) != 0) {
                    slot.leave_as_it_was();
                } else {
                    if (random.below(2) == 0)
                        slot.leave_empty();
                    else
                        slot.leave_robbed();
                    for (Item* const item : seen) elsewhere.put(item);
                }
                ++count;
            }
        });
    }

    // The owner, who has one item or two at a time.
    std::uint64_t rounds = 0;
    while (rounds % 1024 != 0 || !until.over()) {
        std::array<Item*, 2> mine{};
        std::size_t const wanted = 1 + (rounds / 64) % 2;
        for (std::size_t i = 0; i != wanted; ++i) {
            mine[i] = static_cast<Item*>(slot.take());
            if (!mine[i] && slot.usable()) mine[i] = elsewhere.take();
            if (mine[i]) mine[i]->use(1);
        }
        for (Item* const item : mine)
            if (item && !slot.put(item)) elsewhere.put(item);
        ++rounds;
    }
    stop = true;
    for (auto& thread : threads) thread.join();
    for (auto const count : visits) check(count != 0 || visitors > 1, "there was never a visitor");

    std::size_t left = 0;
    while (elsewhere.take()) ++left;
    left += slot.size();
    check(left == item_count, std::to_string(left) + " items are left");
    return rounds;
}

}  // namespace

int main(int argc, char** argv) {
    if (!detail::has_heavy_fence()) {
        std::printf("thread_slot: the system has no heavy fence, so there are no slots\n");
        return 0;
    }
    std::string seconds = std::to_string((argc > 1 ? std::atof(argv[1]) : 3.0) / 2);
    std::array<char*, 2> part{argv[0], seconds.data()};
    std::uint64_t const one = run(1, stress::Until{2, part.data()});
    std::uint64_t const several = run(3, stress::Until{2, part.data()});
    return stress::verdict("thread_slot", one != 0 && several != 0 ? one + several : 0);
}
