#pragma once

#include <chrono>

namespace weir::detail {

/// `from + span`, or the end of time where that would be past it.
inline std::chrono::steady_clock::time_point after(std::chrono::steady_clock::time_point from,
                                                   std::chrono::steady_clock::duration span) noexcept {
    auto const end = std::chrono::steady_clock::time_point::max();
    return span < end - from ? from + span : end;
}

}  // namespace weir::detail
