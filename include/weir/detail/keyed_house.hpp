#pragma once
// The keys, and the core of each.

#include <array>
#include <boost/unordered/unordered_flat_set.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>
#include <weir/connector.hpp>
#include <weir/detail/core.hpp>
#include <weir/detail/house.hpp>
#include <weir/detail/key_connector.hpp>
#include <weir/stats.hpp>

namespace weir::detail {

/// Makes the core of a key when it is first asked for, and forgets it when it has nothing open and nobody waits for it.
///
/// A core ends before it is forgotten, in a step of its own. So who has found it just before is told that it has
/// vanished, and looks again: there is never more than one that lives.
template <class Conn, class P>
class KeyedHouse final : public House<>, public std::enable_shared_from_this<KeyedHouse<Conn, P>> {
public:
    using Core = detail::Core<Conn, P>;
    using Key = typename P::Key;
    using Supplies = KeySupplies<Key, Conn>;
    using time_point = std::chrono::steady_clock::time_point;

    KeyedHouse(std::size_t total, std::shared_ptr<Means<P>> means, std::unique_ptr<Supplies> supplies)
        : House<>{total}, means_{std::move(means)}, supplies_{std::move(supplies)} {}

    /// To be called once, before anything else.
    void begin() { head_->lead(this->weak_from_this()); }

    std::shared_ptr<Core> const& head() const noexcept { return head_; }

    // ---- Cores -----------------------------------------------------------------------------------------------------

    /// That of a key, made if there is none; nullptr when the pool is closed.
    std::shared_ptr<Core> core_for(Key const& key) {
        Lookup const lookup{&key, std::hash<Key>{}(key)};
        auto& shard = shard_of(lookup);
        std::lock_guard const lock{shard.mutex};
        if (head_->closed()) return nullptr;  // though the key's core may not be yet
        auto const found = shard.cores.find(lookup);
        if (found != shard.cores.end()) return found->core;
        auto made = supplies_->make(key);
        auto core = std::make_shared<Core>(means_, std::move(made.supply));
        core->enter(this->shared_from_this(), made.key);
        auto const entry = shard.cores.insert(Entry{made.key, lookup.hash, core}).first;
        if (head_->hold()) return core;
        shard.cores.erase(entry);
        return nullptr;
    }

    /// An idle one of a key's, or nullptr. One that is over its time is closed `stale`.
    Slot<Conn>* take(Key const& key, Wish wish, Where stale) {
        if (head_->closed()) return nullptr;
        Lookup const lookup{&key, std::hash<Key>{}(key)};
        auto& shard = shard_of(lookup);
        Core* core = nullptr;
        SlotBase* slot = nullptr;
        {
            std::lock_guard const lock{shard.mutex};
            auto const found = shard.cores.find(lookup);
            if (found == shard.cores.end()) return nullptr;
            core = found->core.get();
            slot = core->pop(wish);
        }
        return slot ? core->accept(slot, wish, stale) : nullptr;
    }

    /// That of a key, or nullptr when there is none.
    std::shared_ptr<Core> find(Key const& key) const {
        Lookup const lookup{&key, std::hash<Key>{}(key)};
        auto& shard = shard_of(lookup);
        std::lock_guard const lock{shard.mutex};
        auto const found = shard.cores.find(lookup);
        return found == shard.cores.end() ? nullptr : found->core;
    }

    /// One that has vanished, unless that has been done.
    void forget(Core& core) noexcept {
        auto const& key = *static_cast<Key const*>(core.key());
        Lookup const lookup{&key, std::hash<Key>{}(key)};
        auto& shard = shard_of(lookup);
        std::shared_ptr<Core> keep;  // beyond the lock
        std::lock_guard const lock{shard.mutex};
        auto const found = shard.cores.find(lookup);
        if (found == shard.cores.end() || found->core.get() != &core) return;
        keep = found->core;
        remember(core);
        shard.past += core.stats();
        shard.cores.erase(found);
        shrink(shard.cores);
    }

    /// Has something done with the core of a key that yields a lease, or says in `failure` why not: with another one as
    /// long as it says neither, because the core has vanished.
    template <class From>
    Lease<Conn> acquire(Key const& key, Failure& failure, From from) {
        for (;;) {
            auto const core = core_for(key);
            if (!core) {
                failure.code = Errc::closed;
                return {};
            }
            Lease<Conn> lease = from(*core);
            if (lease || failure) return lease;
            forget(*core);
        }
    }

    /// All at one moment, and in `past` what those have counted that are not there any more.
    std::vector<std::shared_ptr<Core>> all(Stats* past = nullptr) const {
        std::array<std::unique_lock<std::mutex>, shards> locks;
        std::size_t count = 0;
        for (std::size_t i = 0; i < shards; ++i) {
            locks[i] = std::unique_lock{shards_[i].mutex};
            count += shards_[i].cores.size();
        }
        std::vector<std::shared_ptr<Core>> cores;
        cores.reserve(count);
        for (auto const& shard : shards_) {
            if (past) *past += shard.past;
            for (auto const& entry : shard.cores) cores.push_back(entry.core);
        }
        return cores;
    }

    static Key const& key_of(Core const& core) noexcept { return *static_cast<Key const*>(core.key()); }

    // ---- The total -------------------------------------------------------------------------------------------------

    Stats stats() {
        Stats sum;
        // One at a time: pins that overlap would hold back what is free for ever.
        std::unique_lock pinned{pinning_};
        quota.pin();
        try {
            for (auto const& core : all(&sum)) sum += core->stats();
        } catch (...) {
            unpin(pinned);
            throw;
        }
        unpin(pinned);
        sum.high = quota.total();
        return sum;
    }

    void resize(std::size_t total) noexcept {
        Orders orders;
        quota.set_total(total, orders.called);
        orders.makes_room = true;
        run(orders, Where::here, nullptr);
    }

    // ---- The end ---------------------------------------------------------------------------------------------------

    /// Begins it, unless it has begun before. What is idle is closed `where`.
    void close(Where where) noexcept {
        quota.close();  // no key gets what another gives up
        head_->close(where);
        for (auto& shard : shards_) {
            for (;;) {
                std::array<std::shared_ptr<Core>, 64> some;
                std::size_t count = 0;
                {
                    std::lock_guard const lock{shard.mutex};
                    for (auto const& entry : shard.cores) {
                        if (count == some.size()) break;
                        if (!entry.core->closed()) some[count++] = entry.core;
                    }
                }
                if (count == 0) break;
                for (std::size_t i = 0; i < count; ++i) some[i]->close(where);
            }
        }
    }

    /// Waits for it as a thread; true when all has ended. Not at all inside what the pool itself calls.
    bool await_end(time_point until) {
        if (is_inside()) return head_->await_end(time_point::min());
        if (head_->await_end(until)) return true;
        // What was idle is given a moment to close even if there is no time.
        for (auto const& core : all()) core->await_end(time_point::min());
        auto const moment = std::chrono::steady_clock::now() + std::chrono::milliseconds{250};
        return head_->await_end(quota.taken() == 0 ? moment : time_point::min());
    }

    /// Whether the pool itself has called what runs here.
    bool is_inside() const {
        if (Inside::of(head_->identity())) return true;
        for (auto& shard : shards_) {
            std::lock_guard const lock{shard.mutex};
            for (auto const& entry : shard.cores)
                if (entry.core->runs_a_task_here()) return true;
        }
        return false;
    }

    // ---- Failures --------------------------------------------------------------------------------------------------

    std::optional<ConnectFailure> last_failure(Key const& key) const {
        if (auto const core = find(key))
            if (auto failure = core->last_failure()) return failure;
        std::lock_guard const lock{failures_mutex_};
        for (auto const& past : failures_)
            if (past.first == key) return past.second;
        return std::nullopt;
    }

private:
    // So few that a thread may hold all their mutexes under ThreadSanitizer, which knows of 64.
    static constexpr std::size_t shards = 32;

    struct Entry {
        Key const* key;
        std::size_t hash;
        std::shared_ptr<Core> core;
    };
    struct Lookup {
        Key const* key;
        std::size_t hash;
    };
    struct Hash {
        using is_transparent = void;
        template <class Named>
        std::size_t operator()(Named const& named) const noexcept {
            return named.hash;
        }
    };
    struct Same {
        using is_transparent = void;
        template <class A, class B>
        bool operator()(A const& a, B const& b) const {
            return a.hash == b.hash && *a.key == *b.key;
        }
    };

    using Cores = boost::unordered_flat_set<Entry, Hash, Same>;

    struct alignas(interference_size) Shard {
        mutable std::mutex mutex;  // protects all below; taken before any core's
        Cores cores;
        Stats past;  // the counters of those that have vanished
    };

    /// Of a few keys that vanished with one, as otherwise nobody could ask for it.
    void remember(Core const& core) noexcept {
        constexpr std::size_t few = 16;
        Key const& key = key_of(core);
        try {
            auto failure = core.last_failure();
            if (!failure) return;
            std::lock_guard const lock{failures_mutex_};
            std::erase_if(failures_, [&](auto const& past) { return past.first == key; });
            failures_.emplace_front(key, std::move(*failure));
            if (failures_.size() > few) failures_.pop_back();
        } catch (...) {
            // No memory for it.
        }
    }

    /// Gives back the room of many keys when few are left: so seldom that it costs each a constant.
    static void shrink(Cores& cores) noexcept {
        constexpr std::size_t few = 64;
        if (cores.bucket_count() <= few || cores.size() > cores.bucket_count() / 8) return;
        try {
            cores.rehash(cores.size() * 2);
        } catch (...) {
            // No memory for less of it.
        }
    }

    template <class Named>
    Shard& shard_of(Named const& named) const noexcept {
        // Fibonacci hashing: a user's hash may have all it says in its lower bits, or in its upper.
        return shards_[(std::uint64_t{named.hash} * 0x9E3779B97F4A7C15u) >> 59];
    }

    void unpin(std::unique_lock<std::mutex>& pinned) noexcept {
        Orders orders;
        quota.unpin(orders.called);
        pinned.unlock();
        run(orders, Where::on_worker, nullptr);
    }

    Lifetime lifetime() override { return head_->lifetime(); }
    void watch(boost::asio::execution_context& context) override { head_->watch(context); }

    void context_gone(boost::asio::execution_context& context) noexcept override {
        try {
            for (auto const& core : all()) core->let_go(context);
        } catch (...) {
            // No memory to list them: who waits there is not let go.
        }
    }

    void vanished(KeyCore& core) noexcept override { forget(static_cast<Core&>(core)); }

    void over(KeyCore& core) noexcept override {
        forget(static_cast<Core&>(core));
        head_->unhold_one();
    }

    struct Nothing {
        Conn connect() { throw boost::system::system_error{Errc::closed}; }
    };

    std::shared_ptr<Means<P>> const means_;
    std::unique_ptr<Supplies> const supplies_;
    std::shared_ptr<Core> const head_ = std::make_shared<Core>(
        means_, std::make_unique<ConnectorSupply<Conn, Nothing, typename P::Settings::Setting>>(Nothing{}));
    mutable std::array<Shard, shards> shards_;
    std::mutex pinning_;                 // taken before any other
    mutable std::mutex failures_mutex_;  // protects the list
    std::deque<std::pair<Key, ConnectFailure>> failures_;
};

}  // namespace weir::detail
