// Where slots live.

#include "support/slots.hpp"

#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <set>
#include <vector>
#include <weir/detail/arena.hpp>

namespace weir::detail {
namespace {

template <class Conn>
struct NoHome final : Home<Conn> {
    void drop(Slot<Conn>&) noexcept override {}
    void release(Slot<Conn>&) noexcept override {}
    void discard(Slot<Conn>&) noexcept override {}
    void detached(Slot<Conn>&) noexcept override {}
};

TEST(Arena, NeverGivesOneSlotTwice) {
    NoHome<int> home;
    Arena<Slot<int>> arena;
    std::set<SlotBase*> taken;
    for (int i = 0; i != 300; ++i) EXPECT_TRUE(taken.insert(&arena.take(home)).second);
}

TEST(Arena, TakesBackAndGivesAgain) {
    NoHome<int> home;
    Arena<Slot<int>> arena;
    auto& a = arena.take(home);
    auto& b = arena.take(home);
    arena.put(a);
    arena.put(b);
    EXPECT_EQ(&arena.take(home), &b);
    EXPECT_EQ(&arena.take(home), &a);
    auto& c = arena.take(home);
    EXPECT_NE(&c, &a);
    EXPECT_NE(&c, &b);
}

// A loser of a race may read `next` of a slot that has gone: its address stays what it was, however the arena grows.
TEST(Arena, NeverMovesASlot) {
    NoHome<std::uint64_t> home;
    Arena<Slot<std::uint64_t>> arena;
    std::vector<Slot<std::uint64_t>*> slots;
    for (std::uint64_t i = 0; i != 500; ++i) {
        slots.push_back(&arena.take(home));
        slots.back()->id = i;
        slots.back()->emplace([&] { return ~i; });
    }
    for (std::uint64_t i = 0; i != 500; ++i) {
        EXPECT_EQ(slots[i]->id, i);
        EXPECT_EQ(*slots[i]->conn(), ~i);
        EXPECT_EQ(slots[i]->home, &home);
    }
}

// rule 49
TEST(Arena, Rule49KeepsASlotsAlignmentAndThatOfAnOverAlignedResource) {
    struct alignas(256) Big {
        char c[256];
    };
    NoHome<Big> home;
    Arena<Slot<Big>> arena;
    for (int i = 0; i != 20; ++i) {
        auto& slot = arena.take(home);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(static_cast<SlotBase*>(&slot)) % interference_size, 0u);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(slot.conn()) % 256, 0u);
    }
}

TEST(Arena, VisitsAllSlotsEverMadeThoseGivenBackToo) {
    NoHome<int> home;
    Arena<Slot<int>> arena;
    for (std::uint64_t id = 1; id <= 3; ++id) arena.take(home).id = id;
    auto& fourth = arena.take(home);
    fourth.id = 4;
    arena.put(fourth);
    Ids seen;
    arena.for_each([&](SlotBase const& slot) { seen.push_back(slot.id); });
    EXPECT_EQ(seen, (Ids{1, 2, 3, 4}));
}

// rule 49
TEST(Slot, Rule49ResourcesAreMadeInPlaceAndNeverMoved) {
    struct Immovable {
        explicit Immovable(int n) : number{n} {}
        Immovable(Immovable&&) = delete;
        int number;
    };
    NoHome<Immovable> home;
    Slot<Immovable> slot{home};
    slot.emplace([] { return Immovable{7}; });
    EXPECT_EQ(slot.conn()->number, 7);
    slot.destroy();
}

TEST(Slot, AFailureToMakeAResourceLeavesTheSlotEmpty) {
    NoHome<std::unique_ptr<int>> home;
    Slot<std::unique_ptr<int>> slot{home};
    EXPECT_THROW(slot.emplace([]() -> std::unique_ptr<int> { throw 1; }), int);
    slot.emplace([] { return std::make_unique<int>(5); });
    EXPECT_EQ(**slot.conn(), 5);
    slot.destroy();
}

TEST(Chain, IsAStack) {
    Slots<3> slots;
    Chain chain;
    EXPECT_TRUE(chain.empty());
    for (std::uint64_t id = 1; id <= 3; ++id) chain.push(slots[id]);
    EXPECT_EQ(chain.size, 3u);
    EXPECT_EQ(ids(chain), (Ids{3, 2, 1}));
    EXPECT_EQ(ids(chain.reversed()), (Ids{1, 2, 3}));
}

TEST(Chain, TakeLastPrefersTheEnd) {
    Slots<6> slots;
    Chain chain;
    for (std::uint64_t id = 6; id >= 1; --id) chain.push(slots[id]);  // 1 … 6
    auto const even = [](SlotBase const& slot) { return slot.id % 2 == 0; };
    EXPECT_EQ(ids(take_last(chain, 2, even)), (Ids{6, 4}));
    EXPECT_EQ(ids(chain), (Ids{1, 2, 3, 5}));
}

TEST(Chain, TakeLastMayTakeAllOrNothing) {
    Slots<2> slots;
    Chain chain;
    EXPECT_TRUE(take_last(chain, 2, [](SlotBase const&) { return true; }).empty());
    chain.push(slots[2]);
    chain.push(slots[1]);
    EXPECT_TRUE(take_last(chain, 0, [](SlotBase const&) { return true; }).empty());
    EXPECT_TRUE(take_last(chain, 2, [](SlotBase const&) { return false; }).empty());
    EXPECT_EQ(ids(take_last(chain, 5, [](SlotBase const&) { return true; })), (Ids{2, 1}));
    EXPECT_TRUE(chain.empty());
    EXPECT_EQ(chain.size, 0u);
}

}  // namespace
}  // namespace weir::detail
