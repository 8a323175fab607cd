// expect: weir::Multiplex is for connections that many use at once: list it with weir::SharedPool
#include <weir/keyed_pool.hpp>

#ifdef LEGAL
weir::KeyedPool<int, int, weir::Watermark> pool{[](int key) { return key; }};
#else
weir::KeyedPool<int, int, weir::Multiplex> pool{[](int key) { return key; }};
#endif
