// What was measured: kept by each client, summed up at the end, shown as a table.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace query_service {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

/// A histogram of durations whose bins grow by five per cent, from a microsecond to a quarter of an hour.
class Latencies {
public:
    void add(Seconds duration);
    Latencies& operator+=(Latencies const& other);

    Seconds percentile(double share) const;  ///< at least this share took at most so long
    Seconds max() const noexcept { return max_; }

private:
    static constexpr double growth = 1.05;
    static constexpr std::size_t bins = 424;  // log(900 s / 1 us) / log(growth), rounded up, and one for all below

    std::array<std::uint64_t, bins> counts_{};
    std::uint64_t total_ = 0;
    Seconds max_{0};
};

/// What one client has seen. Its lock is its own, so clients do not meet in it; the progress line reads along.
class Recorder {
public:
    void request(Seconds wait, Seconds query);
    void error(std::string text);

    struct Counts {
        std::uint64_t requests = 0;
        std::uint64_t errors = 0;
    };
    Counts counts() const;
    void add_to(struct Summary& summary) const;

private:
    mutable std::mutex mutex_;  // protects all below
    Latencies wait_;
    Latencies query_;
    Counts counts_;
    std::string last_error_;
};

enum class Drained : std::uint8_t { yes, no };
enum class Verdict : std::uint8_t { right, wrong, unknown };

/// What it cost that the database was out of reach.
struct Outage {
    Seconds lasted{0};
    std::uint64_t requests_failed = 0;
    std::uint64_t connects_tried = 0;       ///< while it lasted
    std::optional<Seconds> served_after{};  ///< from its end to the first request that succeeded; none: none did
};

/// One column of the table.
struct Summary {
    std::string name;
    Seconds elapsed{0};              ///< until the end began
    double requests_per_second = 0;  ///< in that time
    std::uint64_t requests = 0;
    std::uint64_t errors = 0;
    std::string last_error;
    Latencies wait;   ///< for a connection: in the pool's line, or for a new one
    Latencies query;  ///< from having the connection to the last answer
    std::uint64_t opened = 0;
    std::int64_t committed = 0;
    Seconds drain{0};
    Drained drained = Drained::no;
    Verdict verdict = Verdict::unknown;  ///< on the ledger
    std::vector<std::string> reasons;    ///< for a verdict other than right
    std::optional<Outage> outage{};
    std::string counters;  ///< of the pool, as it prints them
};

void print_table(std::ostream& out, std::vector<Summary> const& sides);

/// Tells early whether `path` can be written, so that nobody waits for a report in vain. Throws with the cause.
void check_writable(std::string const& path);

/// CSV if the name ends in `.csv`, else Markdown. Throws with the cause.
void write_report(std::string const& path, std::vector<Summary> const& sides);

}  // namespace query_service
