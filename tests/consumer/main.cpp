// The smallest program of a user: links, runs, and the resource comes back.
#include <weir/pool.hpp>

int main() {
    weir::Pool<int> pool{[] { return 42; }};
    int const value = *pool.acquire();
    return value == 42 && pool.stats().idle == 1 ? 0 : 1;
}
