// expect: a shared connection has one state for all: list no settings policy with weir::SharedPool
#include <string>
#include <weir/pool.hpp>
#include <weir/shared_pool.hpp>

#ifdef LEGAL
weir::Pool<int, weir::SettingBuckets<std::string>> pool{[] { return 1; }};
#else
weir::SharedPool<int, weir::SettingBuckets<std::string>> pool{[] { return 1; }};
#endif
