// expect: this is no reset for an object pool: it must be callable with \(T&\), the object that comes back
#include <string>
#include <weir/object_pool.hpp>

#ifdef LEGAL
weir::ObjectPool<std::string> pool{[] { return std::string{}; }, [](std::string& text) { text.clear(); }};
#else
weir::ObjectPool<std::string> pool{[] { return std::string{}; }, [] {}};
#endif
