#include "options.hpp"

#include <array>
#include <charconv>
#include <functional>
#include <sstream>
#include <string_view>
#include <type_traits>
#include <vector>

namespace query_service {

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

std::string show(Seconds time) {
    std::ostringstream out;
    out << time.count() << " s";
    return out.str();
}

/// 0, or at least `least`.
Seconds parse_seconds_or_never(std::string_view name, std::string_view text, double least) {
    Seconds const seconds = parse_seconds(name, text, 0);
    if (seconds.count() > 0 && seconds.count() < least) {
        throw UsageError(std::string(name) + ": \"" + std::string(text) + "\" is neither 0 nor at least " +
                         show(Seconds{least}));
    }
    return seconds;
}

/// `WHAT` or `WHAT@T`. Without a T the time is not known before all options are: it is negative so long.
template <class ParseWhat>
auto parse_planned(std::string_view name, std::string_view text, ParseWhat parse_what) {
    auto const sign = text.find('@');
    Planned<decltype(parse_what(text))> planned{parse_what(text.substr(0, sign)), Seconds{-1}};
    if (sign != std::string_view::npos) {
        planned.at = parse_seconds(name, text.substr(sign + 1), 0);
    }
    return planned;
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

std::vector<Rule> const& rules() {
    static std::vector<Rule> const all{
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
        count("--tenants", &Options::tenants, 0, 100),
        Rule{"--max-age",
             [](Options& o, auto name, auto text) { o.max_age = parse_seconds_or_never(name, text, 0.01); }},
        Rule{"--refresh-every",
             [](Options& o, auto name, auto text) { o.refresh_every = parse_seconds_or_never(name, text, 0.01); }},
        Rule{"--resize-to",
             [](Options& o, auto name, auto text) {
                 o.resize = parse_planned(name, text,
                                          [&](auto what) { return parse_number<std::size_t>(name, what, 0, 10'000); });
             }},
        Rule{"--outage",
             [](Options& o, auto name, auto text) {
                 o.outage = parse_planned(name, text, [&](auto what) { return parse_seconds(name, what, 0.1); });
             }},
        Rule{"--report", [](Options& o, auto, auto text) { o.report = text; }},
        Rule{"--seed",
             [](Options& o, auto name, auto text) { o.seed = parse_number<std::uint64_t>(name, text, 0, UINT64_MAX); }},
    };
    return all;
}

/// The times that were not given.
void complete(Options& options) {
    if (options.resize && options.resize->at.count() < 0) {
        options.resize->at = options.seconds / 2;
    }
    if (options.outage && options.outage->at.count() < 0) {
        options.outage->at = options.seconds / 3;
    }
}

void check_together(Options const& options) {
    if (options.low > options.high) {
        throw UsageError("--low: " + std::to_string(options.low) + " is more than --high, which is " +
                         std::to_string(options.high));
    }
    if (options.clients + options.threads == 0) {
        throw UsageError("--clients: with --threads 0 there must be at least one");
    }
    if (options.resize && options.resize->at >= options.seconds) {
        throw UsageError("--resize-to: " + show(options.resize->at) + " is not before the end, which is at " +
                         show(options.seconds) + " (--seconds)");
    }
    if (options.outage && options.outage->at + options.outage->what >= options.seconds) {
        throw UsageError("--outage: ends at " + show(options.outage->at + options.outage->what) +
                         ", which is not before the end at " + show(options.seconds) + " (--seconds)");
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
    complete(options);
    check_together(options);
    return options;
}

}  // namespace query_service
