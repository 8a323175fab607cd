#pragma once
// Session state by name, for `weir::SettingBuckets`.

#include <boost/container_hash/hash.hpp>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>

namespace weir::adapters {

/// Which session variables have which values: `SessionSettings{{"search_path", "tenant_7"}}`.
///
/// Two with the same names and values are equal, in whatever order they were written. What names and values may be is
/// the server's affair; adapters send both so that neither can break out of its place in a statement.
class SessionSettings {
public:
    using value_type = std::pair<std::string const, std::string>;
    using const_iterator = std::map<std::string, std::string>::const_iterator;

    SessionSettings() = default;
    SessionSettings(std::initializer_list<value_type> values) : values_{values} {}

    void set(std::string name, std::string value) { values_.insert_or_assign(std::move(name), std::move(value)); }

    const_iterator begin() const noexcept { return values_.begin(); }
    const_iterator end() const noexcept { return values_.end(); }
    std::size_t size() const noexcept { return values_.size(); }
    bool empty() const noexcept { return values_.empty(); }

    bool operator==(SessionSettings const&) const = default;

private:
    std::map<std::string, std::string> values_;
};

}  // namespace weir::adapters

template <>
struct std::hash<weir::adapters::SessionSettings> {
    std::size_t operator()(weir::adapters::SessionSettings const& settings) const {
        return boost::hash_range(settings.begin(), settings.end());
    }
};
