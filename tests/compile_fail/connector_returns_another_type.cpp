// expect: this connector returns something else than the pool holds
#include <string>
#include <weir/pool.hpp>

#ifdef LEGAL
weir::Pool<std::string> pool{[] { return std::string{"open"}; }};
#else
weir::Pool<std::string> pool{[] { return 1; }};
#endif
