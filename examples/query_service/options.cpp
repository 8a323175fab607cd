#include "options.hpp"

#include <array>
#include <charconv>
#include <functional>
#include <string_view>
#include <type_traits>

namespace query_service {

char const* const help_text = R"(usage: 10_query_service [options]

Runs a ledger (transfers, balances, histories) for many clients at once through one weir::Pool, then the same
work with a connection per request, and shows both side by side. Ends after --seconds a side, or by Ctrl-C
(SIGINT, SIGTERM): the pool is drained and the ledger checked. A second Ctrl-C ends at once
and leaves temporary files behind.

  --db sqlite:PATH          a SQLite file; made if missing, switched to WAL mode; its tables `account` and
                            `transfer` are replaced and stay for you to look at
  --db postgresql://...     a PostgreSQL server, as libpq writes it; works in a schema `weir_query_service`
                            of its own, which is dropped at the end
                            (default: a SQLite file in a temporary directory, removed at the end)
  --clients N               concurrent clients, coroutines                       (default 100)
  --threads N               more clients, one plain blocking thread each         (default 4)
  --io-threads N            threads that run the coroutines                      (default 2)
  --high N                  connections the pool may open                        (default 16)
  --low N                   connections the pool keeps however quiet it is       (default 0)
  --seconds S               how long each side runs                              (default 5)
  --write-ratio R           share of transfers among the requests, 0 to 1        (default 0.2)
  --accounts N              accounts in the ledger                               (default 1000)
  --drain-deadline S        how long the end may take                            (default 5)
  --report FILE             also write the table to FILE: CSV if it ends in .csv, else Markdown
  --no-compare              leave out the connection per request
  --seed N                  of the random requests                               (default 1)
  --help                    this text

exit status: 0 all drained and the ledger is right; 1 something failed; 2 wrong arguments
)";

namespace {

template <class Number>
Number parse_number(std::string_view name, std::string_view text, Number least, Number most) {
    Number value{};
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    bool const whole_text = error == std::errc{} && end == text.data() + text.size();
    // Written so that a NaN is refused too.
    if (!whole_text || !(value >= least && value <= most)) {
        auto const show = [](Number n) {
            std::array<char, 32> buffer{};
            return std::string(buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), n).ptr);
        };
        throw UsageError(std::string(name) + ": \"" + std::string(text) + "\" is not a " +
                         (std::is_integral_v<Number> ? "whole number" : "number") + " from " + show(least) + " to " +
                         show(most));
    }
    return value;
}

using Seconds = std::chrono::duration<double>;

Seconds parse_seconds(std::string_view name, std::string_view text, double least) {
    return Seconds{parse_number<double>(name, text, least, 86'400)};
}

std::string parse_database(std::string_view text) {
    constexpr std::string_view sqlite = "sqlite:";
    bool const is_sqlite = text.starts_with(sqlite) && text.size() > sqlite.size();
    if (!is_sqlite && !text.starts_with("postgresql://") && !text.starts_with("postgres://")) {
        // The text is not repeated: it may hold a password.
        throw UsageError("--db: expected sqlite:PATH or postgresql://...");
    }
    return std::string(text);
}

/// One option with a value: its name, and where the value goes.
struct Rule {
    std::string_view name;
    std::function<void(Options&, std::string_view name, std::string_view text)> set;
};

Rule count(std::string_view name, std::size_t Options::*field, std::size_t least, std::size_t most) {
    return {name, [=](Options& options, std::string_view option, std::string_view text) {
                options.*field = parse_number<std::size_t>(option, text, least, most);
            }};
}

std::array<Rule, 12> const& rules() {
    static std::array<Rule, 12> const all{
        Rule{"--db", [](Options& o, auto, auto text) { o.db = parse_database(text); }},
        count("--clients", &Options::clients, 0, 10'000),
        count("--threads", &Options::threads, 0, 1'000),
        count("--io-threads", &Options::io_threads, 1, 256),
        count("--high", &Options::high, 1, 10'000),
        count("--low", &Options::low, 0, 10'000),
        count("--accounts", &Options::accounts, 2, 10'000'000),
        Rule{"--seconds", [](Options& o, auto name, auto text) { o.seconds = parse_seconds(name, text, 0.1); }},
        Rule{"--drain-deadline",
             [](Options& o, auto name, auto text) { o.drain_deadline = parse_seconds(name, text, 0); }},
        Rule{"--write-ratio",
             [](Options& o, auto name, auto text) { o.write_ratio = parse_number<double>(name, text, 0, 1); }},
        Rule{"--report", [](Options& o, auto, auto text) { o.report = text; }},
        Rule{"--seed",
             [](Options& o, auto name, auto text) { o.seed = parse_number<std::uint64_t>(name, text, 0, UINT64_MAX); }},
    };
    return all;
}

void check_together(Options const& options) {
    if (options.low > options.high) {
        throw UsageError("--low: " + std::to_string(options.low) + " is more than --high, which is " +
                         std::to_string(options.high));
    }
    if (options.clients + options.threads == 0) {
        throw UsageError("--clients: with --threads 0 there must be at least one");
    }
}

}  // namespace

std::optional<Options> parse_options(int argc, char const* const* argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        std::string_view const word = argv[i];
        if (word == "--help" || word == "-h") {
            return std::nullopt;
        }
        if (word == "--no-compare") {
            options.compare = Compare::pool_only;
            continue;
        }

        auto const equals = word.find('=');
        std::string_view const name = word.substr(0, equals);
        Rule const* rule = nullptr;
        for (Rule const& each : rules()) {
            if (each.name == name) {
                rule = &each;
            }
        }
        if (rule == nullptr) {
            throw UsageError("unknown option " + std::string(name));
        }

        std::string_view value;
        if (equals != std::string_view::npos) {
            value = word.substr(equals + 1);
        } else if (i + 1 < argc) {
            value = argv[++i];
        }
        if (value.empty() || value.starts_with("--")) {
            throw UsageError(std::string(name) + ": needs a value");
        }
        rule->set(options, name, value);
    }
    check_together(options);
    return options;
}

}  // namespace query_service
