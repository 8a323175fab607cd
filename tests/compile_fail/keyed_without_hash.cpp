// expect: the keys of a weir::KeyedPool are compared and hashed: give this type operator== and std::hash
#include <weir/keyed_pool.hpp>

struct Host {
    int number;
    bool operator==(Host const&) const = default;
};

#ifdef LEGAL
template <>
struct std::hash<Host> {
    std::size_t operator()(Host const& host) const noexcept { return static_cast<std::size_t>(host.number); }
};
#endif

weir::KeyedPool<Host, int> pool{[](Host const& host) { return host.number; }};
