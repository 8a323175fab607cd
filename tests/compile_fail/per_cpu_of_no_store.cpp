// expect: write PerCpu<TaggedStack>, PerCpu<LockedStack> or PerCpu<LockedQueue>
#include <weir/pool.hpp>

#ifdef LEGAL
using Store = weir::LockedStack;
#else
using Store = weir::KeepIdle;
#endif

weir::Pool<int, weir::PerCpu<Store>> pool{[] { return 1; }};
