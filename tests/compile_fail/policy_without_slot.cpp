// expect: this type is not a weir policy: give it .*using policy_slot = weir::slot::Sizing;
#include <weir/pool.hpp>

struct Eight {
#ifdef LEGAL
    using policy_slot = weir::slot::Sizing;
#endif
    constexpr weir::Limits limits() const noexcept { return {.low = 0, .high = 8}; }
};

weir::Pool<int, Eight> pool{[] { return 1; }};
