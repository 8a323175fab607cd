// What a program shares with a library that has inline variables of its own: who sleeps there is woken from here.
//
// Takes the library's path. A wake-up that is lost is a test that does not end.

#include "plugin.hpp"

#include <chrono>
#include <cstdio>
#include <dlfcn.h>
#include <mutex>
#include <thread>
#include <vector>

namespace {

template <class Function>
Function* find(void* library, char const* name) {
    return reinterpret_cast<Function*>(dlsym(library, name));
}

}  // namespace

int main(int argc, char** argv) {
    using namespace std::chrono_literals;
    void* const library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (!library) {
        std::fprintf(stderr, "no library: %s\n", argc == 2 ? dlerror() : "name it");
        return 2;
    }
    auto* const lock_for_a_moment = find<LockForAMoment>(library, "lock_for_a_moment");
    auto* const use = find<Use>(library, "use");
    if (!lock_for_a_moment || !use) return 2;

    weir::detail::Mutex mutex;
    mutex.lock();
    std::thread sleeper{[&] { lock_for_a_moment(mutex); }};
    std::this_thread::sleep_for(50ms);  // it has looked for long enough, and sleeps
    mutex.unlock();
    sleeper.join();

    constexpr int times = 20'000;
    weir::Pool<int> pool{[] { return 0; }, weir::Pool<int>::Options{.size = {.high = 1}}};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] { use(pool, times); });
        threads.emplace_back([&] {
            for (int k = 0; k < times; ++k) *pool.acquire() += 1;
        });
    }
    for (auto& thread : threads) thread.join();
    int const sum = *pool.acquire();
    if (sum == 8 * times) return 0;
    std::fprintf(stderr, "used %d times, not %d\n", sum, 8 * times);
    return 1;
}
