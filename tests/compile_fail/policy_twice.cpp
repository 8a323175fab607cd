// expect: two policies for the slot Idle
#include <weir/pool.hpp>

#ifdef LEGAL
using Pool = weir::Pool<int, weir::KeepIdle, weir::Unbounded>;
#else
using Pool = weir::Pool<int, weir::KeepIdle, weir::Unbounded, weir::DropIdle>;
#endif

Pool pool{[] { return 1; }};
