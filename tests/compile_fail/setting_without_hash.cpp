// expect: a setting is copyable, compares with == and has a std::hash
#include <cstddef>
#include <functional>
#include <string>
#include <weir/pool.hpp>

struct SearchPath {
    std::string schema;
    friend bool operator==(SearchPath const&, SearchPath const&) = default;
};

#ifdef LEGAL
template <>
struct std::hash<SearchPath> {
    std::size_t operator()(SearchPath const& path) const noexcept { return std::hash<std::string>{}(path.schema); }
};
#endif

weir::Pool<int, weir::SettingBuckets<SearchPath>> pool{[] { return 1; }};
