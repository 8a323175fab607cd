#pragma once
// What a lease does with its resource when it is dropped: destroyed, or assigned over.
// An explicit `release()` or `discard()` always has its way.

#include <exception>
#include <weir/policy/slots.hpp>

namespace weir {

/// A dropped lease gives its resource back.
struct ReleaseOnDrop {
    using policy_slot = slot::Drop;

    static constexpr bool counts_exceptions = false;
    static constexpr bool discards(int /*uncaught_when_lent*/) noexcept { return false; }
};

/// A dropped lease closes its resource: only an explicit `release()` says that it is clean.
///
/// For protocols in which an interrupted request leaves an answer on the wire.
struct DiscardOnDrop {
    using policy_slot = slot::Drop;

    static constexpr bool counts_exceptions = false;
    static constexpr bool discards(int /*uncaught_when_lent*/) noexcept { return true; }
};

/// A lease dropped by an exception that left its scope closes its resource; any other drop gives it back.
struct DiscardOnException {
    using policy_slot = slot::Drop;

    static constexpr bool counts_exceptions = true;
    static bool discards(int uncaught_when_lent) noexcept { return std::uncaught_exceptions() > uncaught_when_lent; }
};

}  // namespace weir
