#pragma once
// Which policy stands in which slot, and what to write when one does not fit.

#include <boost/asio/any_io_executor.hpp>
#include <boost/system/error_code.hpp>
#include <concepts>
#include <stdexcept>
#include <type_traits>
#include <weir/fwd.hpp>
#include <weir/policy/clock.hpp>
#include <weir/policy/concepts.hpp>
#include <weir/policy/connecting.hpp>
#include <weir/policy/drop.hpp>
#include <weir/policy/idle.hpp>
#include <weir/policy/observer.hpp>
#include <weir/policy/settings.hpp>
#include <weir/policy/sizing.hpp>
#include <weir/policy/store.hpp>
#include <weir/policy/trace.hpp>
#include <weir/policy/upkeep.hpp>
#include <weir/policy/waiting.hpp>

namespace weir::detail {

struct SharedStore;

template <class T, class... Choices>
concept one_of = (std::same_as<T, Choices> || ...);

template <class P>
constexpr bool names_a_slot() {
    if constexpr (Policy<P>)
        return one_of<typename P::policy_slot, slot::Sizing, slot::Idle, slot::Waiting, slot::Connecting, slot::Upkeep,
                      slot::Drop, slot::Settings, slot::Store, slot::Observer, slot::Clock, slot::Trace>;
    return false;
}

template <class Slot, class P>
constexpr bool takes_slot() {
    if constexpr (Policy<P>) return std::same_as<typename P::policy_slot, Slot>;
    return false;
}

template <class Slot, class... Policies>
struct PickPolicy : DefaultPolicy<Slot> {};
template <class Slot, class First, class... Rest>
struct PickPolicy<Slot, First, Rest...>
    : std::conditional_t<takes_slot<Slot, First>(), std::type_identity<First>, PickPolicy<Slot, Rest...>> {};

template <class Slot, class... Policies>
constexpr bool at_most_one = (0 + ... + (takes_slot<Slot, Policies>() ? 1 : 0)) <= 1;

/// One member per slot that has something to say, in the order of the design's table.
template <class Set>
struct Options {
    typename Set::Sizing size{};
    typename Set::Idle idle{};
    typename Set::Waiting wait{};
    typename Set::Connecting connect{};
    typename Set::Upkeep upkeep{};
    typename Set::Drop drop{};
    typename Set::Observer observer{};
    typename Set::Trace trace{};
};

template <class... Policies>
struct PolicySet {
    static_assert((Policy<Policies> && ...),
                  "this type is not a weir policy: give it \"using policy_slot = weir::slot::Sizing;\" (or the slot it "
                  "answers for)");
    static_assert((names_a_slot<Policies>() && ...),
                  "this policy names no slot of weir: its policy_slot is one of the tags in <weir/policy/slots.hpp>");

// NOLINTBEGIN(bugprone-macro-parentheses): a name that is declared takes none
#define WEIR_DETAIL_ONE(slot_name)                                                                                     \
    static_assert(at_most_one<slot::slot_name, Policies...>,                                                           \
                  "two policies for the slot " #slot_name ": list at most one");                                       \
    using slot_name = typename PickPolicy<slot::slot_name, Policies...>::type

    WEIR_DETAIL_ONE(Sizing);
    WEIR_DETAIL_ONE(Idle);
    WEIR_DETAIL_ONE(Waiting);
    WEIR_DETAIL_ONE(Connecting);
    WEIR_DETAIL_ONE(Upkeep);
    WEIR_DETAIL_ONE(Drop);
    WEIR_DETAIL_ONE(Settings);
    WEIR_DETAIL_ONE(Store);
    WEIR_DETAIL_ONE(Observer);
    WEIR_DETAIL_ONE(Clock);
    WEIR_DETAIL_ONE(Trace);
#undef WEIR_DETAIL_ONE
    // NOLINTEND(bugprone-macro-parentheses)

    static_assert(SizingPolicy<Sizing>,
                  "this sizing policy lacks \"weir::Limits limits() const noexcept\"; see weir::SizingPolicy");
    static_assert(!std::same_as<Sizing, Multiplex> || std::same_as<Store, SharedStore>,
                  "weir::Multiplex is for connections that many use at once: list it with weir::SharedPool, and here "
                  "weir::Watermark");
    static_assert(IdlePolicy<Idle>,
                  "this idle policy lacks keep, keeps_all or expires_after, or one of them is not noexcept; see "
                  "weir::IdlePolicy");
    static_assert(UpkeepPolicy<Upkeep>,
                  "this upkeep policy lacks \"weir::UpkeepRules rules() const noexcept\"; see weir::UpkeepPolicy");
    static_assert(ObserverPolicy<Observer, boost::system::error_code>,
                  "this observer lacks one of the nine functions, or one is not noexcept: connected, connect_failed, "
                  "acquired, released, closed, timed_out, rejected, overdue, returned_overdue; see weir::Silent");

    /// The same for every pool. Named here so that what is made of it is compiled with the first pool and not before.
    using Executor = boost::asio::any_io_executor;

    /// Whether a core is one of many that share a total: see `KeyedSet`.
    static constexpr bool is_keyed = false;
    /// Whether it makes its rounds only when something expires.
    static constexpr bool rests = false;

    static constexpr bool is_observed = !std::same_as<Observer, Silent>;
    static constexpr bool retries = Connecting::retries;
    static constexpr bool sheds = Waiting::sheds;
    static constexpr bool has_upkeep = !std::same_as<Upkeep, NoUpkeep>;
    static constexpr bool shares = std::same_as<Store, SharedStore>;
    static constexpr bool has_settings = Settings::buckets > 0;
    static constexpr bool has_chores = has_upkeep || has_settings;

    using Options = detail::Options<PolicySet>;

    /// Throws `std::invalid_argument` naming the field that is wrong.
    static void validate(Options const& options) {
        check(options.size);
        check(options.idle);
        check(options.wait);
        check(options.connect);
        check(options.upkeep);
    }

    /// The same for a connector that cannot check.
    static void validate_unchecked(Options const& options) {
        UpkeepRules const rules = options.upkeep.rules();
        if (rules.check_after_idle > rules.check_after_idle.zero())
            throw std::invalid_argument{"weir: Upkeep::check_after_idle needs a connector with bool check(Conn&)"};
        if (rules.check_every > rules.check_every.zero())
            throw std::invalid_argument{"weir: Upkeep::check_every needs a connector with bool check(Conn&)"};
    }

private:
    template <class P>
    static void check(P const& policy) {
        if constexpr (requires { policy.validate(); }) policy.validate();
    }
};

}  // namespace weir::detail
