// expect: this is no make for an object pool: it must be callable with \(\) and return an object of its type
#include <string>
#include <weir/object_pool.hpp>

#ifdef LEGAL
weir::ObjectPool<std::string> pool{[] { return std::string{"scratch"}; }};
#else
weir::ObjectPool<std::string> pool{[](int size) { return std::string(size, ' '); }};
#endif
