// expect: this connector has an apply that weir cannot call: write void apply\(Conn&, Setting const&\)
#include <string>
#include <weir/pool.hpp>

struct Connector {
    int connect() { return 1; }
    void reset(int&) {}
#ifdef LEGAL
    void apply(int&, std::string const&) {}
#else
    void apply(std::string const&) {}
#endif
};

weir::Pool<int, weir::SettingBuckets<std::string>> pool{Connector{}};
