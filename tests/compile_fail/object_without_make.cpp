// expect: this type has no default constructor: give the object pool a make, callable with \(\) and returning one
#include <weir/object_pool.hpp>

struct Parser {
    explicit Parser(int) {}
};

#ifdef LEGAL
weir::ObjectPool<Parser> pool{[] { return Parser{1}; }};
#else
weir::ObjectPool<Parser> pool;
#endif
