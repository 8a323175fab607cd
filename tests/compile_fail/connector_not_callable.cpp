// expect: this is no connector for weir: make it callable with \(\) or \(weir::ConnectContext const&\)
#include <weir/pool.hpp>

#ifdef LEGAL
weir::Pool<int> pool{[](weir::ConnectContext const&) { return 1; }};
#else
weir::Pool<int> pool{[](int port) { return port; }};
#endif
