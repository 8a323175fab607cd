// The place in front of a store, where it differs from any store: who is refused, and what a wrong guess costs.

#include "support/slots.hpp"

#include <cstddef>
#include <gtest/gtest.h>
#include <random>
#include <weir/detail/fronted_store.hpp>
#include <weir/detail/tagged_stack.hpp>

namespace weir::detail {
namespace {

static_assert(alignof(FrontedStore<TaggedStackStore>) == interference_size);
static_assert(sizeof(FrontedStore<TaggedStackStore>) == interference_size, "README and PerCpu say so");

bool all(SlotBase const&) { return true; }

// rule 11: the gate behind was shut in the moment between the two exchanges of a push.
TEST(FrontedStore, Rule11TheOneThatWasMovedIsRefusedAndNotLost) {
    struct Behind : TaggedStackStore {
        SlotBase* push(SlotBase& slot) noexcept {
            shut_if_empty();
            return TaggedStackStore::push(slot);
        }
    };
    FrontedStore<Behind> store;
    Slots<2> slots;
    EXPECT_EQ(store.push(slots[1]), nullptr);
    EXPECT_EQ(store.push(slots[2]), &slots[1]);
    EXPECT_EQ(drain(store), (Ids{2}));
}

// rule 4: a sweep has taken what the guess names.
TEST(FrontedStore, Rule4AWrongGuessFindsTheRightOne) {
    FrontedStore<TaggedStackStore> store;
    Slots<4> slots;
    EXPECT_EQ(store.push(slots[1]), nullptr);
    EXPECT_EQ(ids(store.take_coldest(1, all)), (Ids{1}));
    EXPECT_EQ(store.pop(), nullptr);

    EXPECT_EQ(store.push(slots[2]), nullptr);
    EXPECT_EQ(ids(store.take_coldest(1, all)), (Ids{2}));
    EXPECT_EQ(store.push(slots[3]), nullptr);
    EXPECT_EQ(store.push(slots[4]), nullptr);
    EXPECT_EQ(drain(store), (Ids{4, 3}));
}

// rule 4: what was taken from elsewhere, and what came from in front, go in front alike.
TEST(FrontedStore, Rule4IsInOrderHoweverManyAreHeld) {
    FrontedStore<TaggedStackStore> store;
    Slots<6> slots;
    for (std::uint64_t id = 1; id <= 6; ++id) EXPECT_EQ(store.push(slots[id]), nullptr);
    for (int round = 0; round != 3; ++round) {
        auto* const a = store.pop();
        auto* const b = store.pop();
        auto* const c = store.pop();
        ASSERT_TRUE(a && b && c);
        EXPECT_EQ((Ids{a->id, b->id, c->id}), (Ids{6, 5, 4}));
        for (auto* slot : {c, b, a}) EXPECT_EQ(store.push(*slot), nullptr);
    }
    EXPECT_EQ(store.size(), 6u);
    EXPECT_EQ(drain(store), (Ids{6, 5, 4, 3, 2, 1}));
}

// rule 4: one thread never sees another order than a stack's, whatever was taken from where meanwhile.
TEST(FrontedStore, Rule4IsAStackThroughEverything) {
    FrontedStore<TaggedStackStore> store;
    Slots<12> slots;
    Ids stack;  // the latest last
    Ids out{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    std::minstd_rand random{1};
    auto const taken = [&](SlotBase const* slot, std::size_t at) {
        ASSERT_TRUE(slot);
        EXPECT_EQ(slot->id, stack[at]);
        stack.erase(stack.begin() + static_cast<std::ptrdiff_t>(at));
        out.push_back(slot->id);
    };
    for (int i = 0; i != 20'000; ++i) {
        auto const what = random() % 16;
        if (what < 6 && !out.empty()) {
            EXPECT_EQ(store.push(slots[out.back()]), nullptr);
            stack.push_back(out.back());
            out.pop_back();
        } else if (what < 11) {
            SlotBase* const slot = store.pop();
            ASSERT_EQ(slot == nullptr, stack.empty());
            if (slot) taken(slot, stack.size() - 1);
        } else if (what == 11 && !stack.empty()) {
            taken(store.take_coldest(1, all).pop(), 0);
        } else if (what == 12 && !stack.empty()) {
            std::size_t const at = random() % stack.size();
            auto const id = stack[at];
            taken(store.take_first([&](SlotBase const& slot) { return slot.id == id; }), at);
        } else if (what == 13 && !out.empty()) {
            store.put_first(slots[out.back()]);
            stack.push_back(out.back());
            out.pop_back();
        } else if (what == 14) {
            store.restore(store.pop_all());
        } else if (what == 15) {
            EXPECT_EQ(store.shut_if_empty(), stack.empty());
            store.open();
        }
        ASSERT_EQ(store.size(), stack.size());
    }
    EXPECT_EQ(ids(store.seal()), (Ids{stack.rbegin(), stack.rend()}));
}

// rule 38
TEST(FrontedStore, Rule38ASealedOneRefusesWhateverTheGuess) {
    FrontedStore<TaggedStackStore> store;
    Slots<3> slots;
    EXPECT_EQ(store.push(slots[1]), nullptr);
    EXPECT_EQ(store.push(slots[2]), nullptr);
    auto* const top = store.pop();
    EXPECT_EQ(ids(store.seal()), (Ids{1}));
    EXPECT_EQ(store.push(*top), top);
    EXPECT_EQ(store.push(slots[3]), &slots[3]);
    EXPECT_EQ(store.pop(), nullptr);
    EXPECT_TRUE(store.shut());
}

}  // namespace
}  // namespace weir::detail
