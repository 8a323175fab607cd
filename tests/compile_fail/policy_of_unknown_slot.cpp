// expect: this policy names no slot of weir
#include <weir/pool.hpp>

struct MySlot;

struct Eight {
#ifdef LEGAL
    using policy_slot = weir::slot::Sizing;
#else
    using policy_slot = MySlot;
#endif
    constexpr weir::Limits limits() const noexcept { return {.low = 0, .high = 8}; }
};

weir::Pool<int, Eight> pool{[] { return 1; }};
