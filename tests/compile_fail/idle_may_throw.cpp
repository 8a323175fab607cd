// expect: this idle policy lacks keep, keeps_all or expires_after, or one of them is not noexcept
#include <chrono>
#include <weir/pool.hpp>

#ifdef LEGAL
#define PROMISE noexcept
#else
#define PROMISE
#endif

struct KeepFour {
    using policy_slot = weir::slot::Idle;
    weir::Keep keep(weir::IdleFacts const& facts) const PROMISE {
        return facts.idle < 4 ? weir::Keep::yes : weir::Keep::no_excess;
    }
    bool keeps_all() const noexcept { return false; }
    std::chrono::steady_clock::duration expires_after() const noexcept { return std::chrono::minutes{1}; }
};

weir::Pool<int, KeepFour> pool{[] { return 1; }};
