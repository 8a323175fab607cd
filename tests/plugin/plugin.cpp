// A library that is opened while the program runs, and shares nothing with it but what it is given.

#include "plugin.hpp"

#include <mutex>

extern "C" __attribute__((visibility("default"))) void lock_for_a_moment(weir::detail::Mutex& mutex) {
    std::lock_guard const lock{mutex};
}

extern "C" __attribute__((visibility("default"))) void use(weir::Pool<int>& pool, int times) {
    for (int i = 0; i < times; ++i) *pool.acquire() += 1;
}
