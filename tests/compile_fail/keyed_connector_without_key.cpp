// expect: this is no connector for weir::KeyedPool: make it callable with \(Key const&\)
#include <weir/keyed_pool.hpp>

#ifdef LEGAL
weir::KeyedPool<int, int> pool{[](int key) { return key; }};
#else
weir::KeyedPool<int, int> pool{[] { return 1; }};
#endif
