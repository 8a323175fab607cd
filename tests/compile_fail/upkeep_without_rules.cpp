// expect: this upkeep policy lacks .*weir::UpkeepRules rules\(\) const noexcept
#include <chrono>
#include <weir/pool.hpp>

struct HourAtMost {
    using policy_slot = weir::slot::Upkeep;
#ifdef LEGAL
    constexpr weir::UpkeepRules rules() const noexcept { return {.max_age = std::chrono::hours{1}}; }
#else
    constexpr weir::UpkeepRules rule() const noexcept { return {.max_age = std::chrono::hours{1}}; }
#endif
};

weir::Pool<int, HourAtMost> pool{[] { return 1; }};
