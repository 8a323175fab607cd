// expect: weir::Multiplex is for connections that many use at once: list it with weir::SharedPool
#include <weir/pool.hpp>
#include <weir/shared_pool.hpp>

#ifdef LEGAL
weir::SharedPool<int, weir::Multiplex> pool{[] { return 1; }};
#else
weir::Pool<int, weir::Multiplex> pool{[] { return 1; }};
#endif
