// The command line of 10_query_service.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

namespace query_service {

enum class Compare : std::uint8_t { with_connection_per_request, pool_only };

/// What happens once, while clients run.
template <class What>
struct Planned {
    What what{};
    std::chrono::duration<double> at{};  ///< from when the clients start
};

struct Options {
    std::string db;  ///< as given; empty: a SQLite file in a directory of its own, removed at the end
    std::size_t clients = 100;
    std::size_t threads = 4;
    std::size_t io_threads = 2;
    std::size_t high = 16;
    std::size_t low = 0;
    std::size_t accounts = 1000;  ///< in each ledger
    std::size_t tenants = 0;      ///< 0: one ledger for all
    std::chrono::duration<double> seconds{5};
    std::chrono::duration<double> drain_deadline{5};
    std::chrono::duration<double> max_age{0};                      ///< 0: never too old
    std::chrono::duration<double> refresh_every{0};                ///< 0: never
    std::optional<Planned<std::size_t>> resize;                    ///< to so many
    std::optional<Planned<std::chrono::duration<double>>> outage;  ///< for so long
    double write_ratio = 0.2;
    std::string report;  ///< empty: none
    Compare compare = Compare::with_connection_per_request;
    std::uint64_t seed = 1;
};

/// The text says which option is wrong, and what would be right.
class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

extern char const* const help_text;

/// Empty when help was asked for. Throws `UsageError`.
std::optional<Options> parse_options(int argc, char const* const* argv);

}  // namespace query_service
