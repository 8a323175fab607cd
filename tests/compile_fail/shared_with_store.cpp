// expect: a shared pool has a store of its own: list none with weir::SharedPool
#include <weir/shared_pool.hpp>

#ifdef LEGAL
weir::SharedPool<int, weir::DropIdle> pool{[] { return 1; }};
#else
weir::SharedPool<int, weir::DropIdle, weir::LockedQueue> pool{[] { return 1; }};
#endif
