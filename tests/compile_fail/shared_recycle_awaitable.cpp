// expect: a shared connection is recycled while others use it: write bool recycle\(Conn&\), not an awaitable
#include <boost/asio/awaitable.hpp>
#include <weir/shared_pool.hpp>

struct Connector {
    int connect() { return 1; }
#ifdef LEGAL
    bool recycle(int& conn) { return conn > 0; }
#else
    boost::asio::awaitable<bool> recycle(int& conn) { co_return conn > 0; }
#endif
};

weir::SharedPool<int> pool{Connector{}};
