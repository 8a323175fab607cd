#pragma once
// Session state that makes two open connections not interchangeable.

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
};

}  // namespace weir
