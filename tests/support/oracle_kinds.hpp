#pragma once

// The kinds of pools that the oracle watches: policies, a connector, and options drawn at random.

#include "oracle_connector.hpp"

#include <type_traits>

namespace oracle {

using asio_stress::Dice;
using namespace std::chrono_literals;

// Nobody who is ready to wait for so long does so in vain: all leases are short.
constexpr auto ample = 40s;

template <class C, class... Policies>
struct Kind {
    using Pool = weir::Pool<Conn, Policies...>;
    using Connector = C;
    using Options = typename Pool::Options;
    static constexpr bool is_manual = (std::is_same_v<Policies, weir::testing::ManualClock> || ...);

    /// What is the same for all. `Fifo` has patience every other time.
    static Options usual(Dice& dice) {
        Options options;
        options.size = {.low = 0, .high = 1 + dice.below(5), .max_waiters = std::nullopt, .eager = false};
        if (dice.one_in(2)) options.size.max_waiters = dice.below(8);
        options.wait.timeout = ample;
        if constexpr (requires { options.wait.patience; })
            if (dice.one_in(2)) options.wait.patience = std::chrono::microseconds{dice.below(500)};
        return options;
    }

    static Rules rules(Options const& options) {
        Rules rules{.high = options.size.high, .max_waiters = options.size.max_waiters};
        rules.max_concurrent = options.connect.max_concurrent;
        rules.overruns = options.connect.timeout == short_timeout;
        rules.drops_discard = (std::is_same_v<Policies, weir::DiscardOnDrop> || ...);
        auto const upkeep = options.upkeep.rules();
        rules.max_uses = upkeep.max_uses;
        if (!is_manual) return rules;
        if constexpr (requires { options.idle.ttl; })
            if (options.size.low == 0) rules.ttl = options.idle.ttl;
        rules.max_age = upkeep.max_age;
        rules.check_after_idle = upkeep.check_after_idle;
        return rules;
    }
};

struct Usual : Kind<BareConnector> {
    static constexpr auto name = "usual";
    static Options options(Dice& dice) { return usual(dice); }
};

struct Limited : Kind<PlainConnector, weir::SettingBuckets<int, 2>, weir::Upkeep, weir::testing::ManualClock> {
    static constexpr auto name = "limited";
    static Options options(Dice& dice) {
        auto options = usual(dice);
        options.idle = {.ttl = 30ms};
        options.upkeep = {.max_age = 60ms, .max_uses = 20, .check_after_idle = 8ms, .check_every = 5ms};
        if (dice.one_in(2)) options.upkeep.check_after_idle = options.upkeep.check_every = {};
        return options;
    }
};

struct Walking : Kind<AwaitableConnector, weir::SettingBuckets<int, 2>, weir::Upkeep, weir::LockedQueue> {
    static constexpr auto name = "walking";
    static Options options(Dice& dice) {
        auto options = usual(dice);
        options.idle = {.ttl = 3ms};
        options.connect.timeout = short_timeout;
        options.upkeep = {.max_age = 30ms, .check_after_idle = 1ms, .check_every = 1ms, .overdue_after = 2ms};
        return options;
    }
};

struct Retrying : Kind<MixedConnector, weir::Backoff> {
    static constexpr auto name = "retrying";
    static Options options(Dice& dice) {
        auto options = usual(dice);
        options.connect = {.first = 100us, .max = 1ms, .max_concurrent = 2};
        if (dice.one_in(2)) options.connect.timeout = short_timeout;
        return options;
    }
};

struct Shedding : Kind<PlainConnector, weir::Codel, weir::LockedStack> {
    static constexpr auto name = "shedding";
    static Options options(Dice& dice) {
        auto options = usual(dice);
        options.wait.target = 200us;
        options.wait.interval = 2ms;
        return options;
    }
};

struct Dropping : Kind<AwaitableConnector, weir::DropIdle, weir::DiscardOnDrop> {
    static constexpr auto name = "dropping";
    static Options options(Dice& dice) { return usual(dice); }
};

struct Keeping : Kind<PlainConnector, weir::KeepIdle, weir::DiscardOnException, weir::SettingBuckets<int, 3>> {
    static constexpr auto name = "keeping";
    static Options options(Dice& dice) {
        auto options = usual(dice);
        options.connect.timeout = short_timeout;
        return options;
    }
};

struct Eager : Kind<MixedConnector, weir::Upkeep, weir::testing::ManualClock, weir::LockedQueue> {
    static constexpr auto name = "eager";
    static Options options(Dice& dice) {
        auto options = usual(dice);
        options.size.eager = true;
        options.size.low = options.size.high / 2;
        options.idle = {.ttl = 30ms, .max_idle = 3};
        options.upkeep = {.max_age = 40ms, .max_uses = 10};
        return options;
    }
};

}  // namespace oracle
