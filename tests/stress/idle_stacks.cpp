// rule 11, rule 51 (and Z): the lock-free stores alone. More threads than cores, and one owner at a time; 64 nodes, and
// then 4, among which the same one is soon on top again. What a pop without a tag would do: detail/tagged_stack.cpp.

#include "support/stress.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>
#include <weir/detail/store.hpp>

namespace {

using namespace weir;
using detail::Chain;
using detail::SlotBase;
using detail::TaggedStackStore;
using stress::check;

constexpr unsigned thread_count = 8;

struct Node : SlotBase {
    std::atomic<unsigned> owner{0};  // relaxed: it must not synchronise anybody

    // Plain, and written by every owner: ThreadSanitizer proves from them that one owner's end is the next one's
    // beginning, and without it a lost store shows in their difference.
    std::uint64_t count = 0;
    std::uint64_t again = 0;
};

void own(SlotBase& slot, unsigned me) {
    Node& node = static_cast<Node&>(slot);
    check(node.owner.exchange(me, std::memory_order_relaxed) == 0, "two owners of one node");
    check(node.count == node.again, "the next owner does not see what the last one wrote");
    ++node.count;
    ++node.again;
    check(node.owner.exchange(0, std::memory_order_relaxed) == me, "the owner of a node was replaced");
}

// The tag wraps round soon after the start.
struct Wrapping : TaggedStackStore {
    Wrapping() : TaggedStackStore{(std::uint64_t{1} << 39) - 1000} {}
};

template <class Store, std::size_t count>
struct Shared {
    static constexpr std::size_t node_count = count;

    Store store;
    std::mutex mutex;  // as the core's: for all but push, pop and size
    std::array<Node, count> nodes;
};

/// Pops some, owns them, pushes them in another order. What is refused is parked as the core does it.
template <class Shared>
std::uint64_t work(Shared& shared, unsigned me, stress::Until const& until) {
    stress::Random random{me};
    std::uint64_t rounds = 0;
    do {  // once at least, however late it is
        for (int i = 0; i != 64; ++i) {
            std::array<SlotBase*, 4> mine{};
            std::size_t const want = 1 + random.below(mine.size());
            std::size_t have = 0;
            while (have != want && (mine[have] = shared.store.pop())) ++have;
            for (std::size_t k = 0; k != have; ++k) own(*mine[k], me);
            if (have > 1 && random.below(2) == 0) std::swap(mine[0], mine[have - 1]);
            for (std::size_t k = 0; k != have; ++k) {
                SlotBase* const left = shared.store.push(*mine[k]);
                if (!left) continue;
                std::lock_guard const lock{shared.mutex};
                own(*left, me);
                shared.store.push_behind_gate(*left);
                shared.store.open();
            }
            // Part by part, one that moves meanwhile is counted twice.
            bool const at_once = std::is_base_of_v<TaggedStackStore, decltype(shared.store)>;
            check(!at_once || shared.store.size() <= Shared::node_count, "more nodes are counted than there are");
            rounds += have;
        }
    } while (!until.over());
    return rounds;
}

/// What the core does under its mutex, beside all that.
template <class Shared>
std::uint64_t keep_house(Shared& shared, unsigned me, stress::Until const& until) {
    stress::Random random{me};
    std::uint64_t rounds = 0;
    std::vector<SlotBase*> away;
    auto const put_back = [&] {
        for (SlotBase* slot : away) {
            own(*slot, me);
            shared.store.push_behind_gate(*slot);
        }
        away.clear();
    };
    auto const take = [&](Chain chain) {
        while (SlotBase* const slot = chain.pop()) {
            own(*slot, me);
            away.push_back(slot);
        }
    };
    do {
        std::lock_guard const lock{shared.mutex};
        switch (random.below(4)) {
            case 0:  // an acquirer finds nothing, shuts the gate, and is served
                if (away.empty() && random.below(2) == 0) take(shared.store.pop_all());
                if (shared.store.shut_if_empty()) check(shared.store.shut(), "the gate was shut and is open");
                break;
            case 1:
                take(shared.store.pop_all());
                std::reverse(away.begin(), away.end());
                put_back();
                break;
            case 2: {  // a sweep
                auto const odd = [&](SlotBase const& slot) { return (static_cast<Node const&>(slot).id & 1) != 0; };
                Chain const cold = shared.store.take_coldest(1 + random.below(8), odd);
                check(cold.size <= 8, "a sweep took more than it was allowed");
                take(cold);
                break;
            }
            default: take(shared.store.seal()); break;
        }
        put_back();
        shared.store.open();
        ++rounds;
    } while (!until.over());
    return rounds;
}

template <class Store, std::size_t node_count>
std::uint64_t run(stress::Until const& until) {
    auto const shared = std::make_unique<Shared<Store, node_count>>();
    std::uint64_t id = 0;
    for (Node& node : shared->nodes) {
        node.id = id++;
        check(!shared->store.push(node), "an open gate refuses a push");
    }

    std::atomic<std::uint64_t> rounds{0};
    std::vector<std::thread> threads;
    for (unsigned me = 1; me != thread_count; ++me)
        threads.emplace_back([&, me] { rounds += work(*shared, me, until); });
    threads.emplace_back([&] { check(keep_house(*shared, thread_count, until) > 0, "the housekeeper never came"); });
    for (auto& thread : threads) thread.join();

    check(!shared->store.shut(), "the gate is shut at the end");
    check(shared->store.size() == node_count, "size() is " + std::to_string(shared->store.size()));
    std::vector<SlotBase*> all;
    // No more than there can be: a stack that was broken may go round.
    while (all.size() <= node_count)
        if (SlotBase* const slot = shared->store.pop())
            all.push_back(slot);
        else
            break;
    check(all.size() == node_count, std::to_string(all.size()) + " nodes are left");
    std::sort(all.begin(), all.end());
    check(std::unique(all.begin(), all.end()) == all.end(), "a node is there twice");
    return rounds;
}

}  // namespace

int main(int argc, char** argv) {
    std::string seconds = std::to_string((argc > 1 ? std::atof(argv[1]) : 3.0) / 6);
    std::array<char*, 2> part{argv[0], seconds.data()};
    std::uint64_t least = UINT64_MAX;
    auto const both = [&]<class Store>(std::type_identity<Store>) {
        least = std::min(least, run<Store, 64>(stress::Until{2, part.data()}));
        least = std::min(least, run<Store, 4>(stress::Until{2, part.data()}));
    };
    both(std::type_identity<Wrapping>{});
    both(std::type_identity<detail::FrontedStore<Wrapping>>{});
    both(std::type_identity<detail::PerCpuStore<detail::FrontedStore<Wrapping>>>{});
    return stress::verdict("idle_stacks", least);
}
