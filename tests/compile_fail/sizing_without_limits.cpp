// expect: this sizing policy lacks .*limits\(\) const noexcept
#include <weir/pool.hpp>

struct Eight {
    using policy_slot = weir::slot::Sizing;
#ifdef LEGAL
    constexpr weir::Limits limits() const noexcept { return {.low = 0, .high = 8}; }
#else
    constexpr weir::Limits limit() const noexcept { return {.low = 0, .high = 8}; }
#endif
};

weir::Pool<int, Eight> pool{[] { return 1; }};
