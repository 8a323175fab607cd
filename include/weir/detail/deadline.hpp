#pragma once

#include <chrono>

namespace weir::detail {

/// `from + span`, or the end of time where that would be past it.
inline std::chrono::steady_clock::time_point after(std::chrono::steady_clock::time_point from,
                                                   std::chrono::steady_clock::duration span) noexcept {
    auto const end = std::chrono::steady_clock::time_point::max();
    return span < end - from ? from + span : end;
}

/// `std::min`, which is not worth its header: <algorithm> is a twentieth of what weir costs to compile.
inline std::chrono::steady_clock::time_point earlier(std::chrono::steady_clock::time_point a,
                                                     std::chrono::steady_clock::time_point b) noexcept {
    return b < a ? b : a;
}

}  // namespace weir::detail
