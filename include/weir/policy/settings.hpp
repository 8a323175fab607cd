#pragma once
// Session state that makes two open connections not interchangeable.

#include <concepts>
#include <cstddef>
#include <functional>
#include <weir/policy/slots.hpp>

namespace weir {

/// The setting of a pool that has none.
struct NoSetting {
    friend constexpr bool operator==(NoSetting, NoSetting) noexcept { return true; }
};

/// Every idle resource serves every acquire.
struct NoSettings {
    using policy_slot = slot::Settings;
    using Setting = NoSetting;
    static constexpr std::size_t buckets = 0;
};

/// Resources keep the setting that was applied to them, and an acquire that asks for it finds those that have it, as in
/// Vitess' smartconnpool: they are parked in `N` buckets by the setting's hash, and those without one in a place of
/// their own.
///
/// An acquire with a setting takes, in this order: an idle one that has it (compared for equality, never by hash
/// alone); one that has none, to which it is applied; a new one, to which it is applied; any other, which is reset
/// first; else it waits. An acquire without one takes one that has none; a new one; any other, which is reset. A
/// resource that comes back goes to the first waiter who wants just what it has, but nobody is passed over more than
/// eight times.
///
/// The hooks are the connector's `apply(Conn&, Setting const&)` and `reset(Conn&)`. Where there is no `reset`, a
/// resource that has another setting is closed and a new one is opened in its place.
///
/// Equality, the hash and destruction of a setting must not throw, and no function of it may call the pool: some run
/// inside its critical section. A setting is copied where it is applied, and where an async acquire has to wait. An interned handle, compared and
/// hashed as a number, makes a long one cheap: the look-up is part of the fast path.
template <class S, std::size_t N = 8>
struct SettingBuckets {
    static_assert(N >= 1 && N <= 255, "weir::SettingBuckets has 1 to 255 buckets");
    static_assert(
        std::equality_comparable<S> && std::copyable<S> &&
            requires(S const& s) {
                { std::hash<S>{}(s) } -> std::convertible_to<std::size_t>;
            },
        "a setting is copyable, compares with == and has a std::hash: write operator== and specialise std::hash for "
        "it");

    using policy_slot = slot::Settings;
    using Setting = S;
    static constexpr std::size_t buckets = N;

    /// 1 to N. The hash, which of a number is often the number itself, is multiplied by 2^64 over the golden ratio, whose
    /// upper half spreads those in a row evenly (Knuth, The Art of Computer Programming, 6.4).
    static std::size_t bucket_of(S const& setting) {
        auto const hash = static_cast<unsigned long long>(std::hash<S>{}(setting));
        return 1 + static_cast<std::size_t>((((hash * 0x9E3779B97F4A7C15U) >> 32) * N) >> 32);
    }
};

}  // namespace weir
