#pragma once
// What a pool tells an operator.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>
#include <weir/connector.hpp>
#include <weir/stats.hpp>

namespace weir::detail {

/// What is known about a pool at one moment.
///
/// A template, as what follows, so that it costs nothing to include.
template <class Failure = ConnectFailure>
struct Report {
    using duration = std::chrono::steady_clock::duration;

    struct Held {
        std::uint64_t id;
        duration age;
    };

    Stats stats{};
    std::size_t low = 0;
    std::optional<std::size_t> max_waiters{};
    std::optional<std::size_t> max_concurrent{};
    duration oldest_wait{};      // of those who wait
    bool lists_leases = false;   // there is upkeep
    bool knows_ages = false;     // of leases; else they are upper bounds
    std::vector<Held> leases{};  // the oldest first, a few
    std::size_t outdated = 0;    // open, and of an older generation
    std::optional<Failure> failure{};
    std::optional<duration> next_attempt{};  // while attempts fail
    std::chrono::steady_clock::time_point now{};
    bool closed = false;
    bool ended = false;

    /// One more that is held: the oldest are kept.
    void note(Held held) {
        constexpr std::size_t a_few = 5;
        auto at = leases.begin();
        while (at != leases.end() && at->age >= held.age) ++at;
        leases.insert(at, held);
        if (leases.size() > a_few) leases.pop_back();
    }
};

template <class Duration>
std::string in_words(Duration time) {
    auto const ms = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
    if (ms < 10'000) return std::to_string(ms) + " ms";
    if (ms < 600'000) return std::to_string(ms / 1'000) + " s";
    return std::to_string(ms / 60'000) + " min";
}

/// What the pool was busy with, for the text of an exception.
template <class Failure>
std::string in_brief(Report<Failure> const& r) {
    auto const& s = r.stats;
    std::string text = "open " + std::to_string(s.open) + " of " + std::to_string(s.high) + ", idle " +
                       std::to_string(s.idle) + ", leased " + std::to_string(s.leased) + ", connecting " +
                       std::to_string(s.connecting) + ", closing " + std::to_string(s.closing) + ", waiting " +
                       std::to_string(s.waiting);
    if (r.failure) text += "; last connect failure " + in_words(r.now - r.failure->when) + " ago: " + r.failure->text;
    return text;
}

/// How long one has been held. Without `Upkeep::overdue_after` nothing runs for leases alone, so that nobody keeps time.
template <class Failure>
std::string age_of(Report<Failure> const& r, typename Report<Failure>::Held const& held) {
    return (r.knows_ages ? "" : "at most ") + in_words(held.age);
}

/// Why nobody is being served, if that is so.
template <class Failure>
std::string reason(Report<Failure> const& r) {
    auto const& s = r.stats;
    if (r.ended) return "The pool is closed, and all has ended.";
    if (r.closed)
        return "The pool is closing: it waits for " + std::to_string(s.leased) + " leased, " +
               std::to_string(s.connecting) + " connecting and " + std::to_string(s.closing) +
               " closing, and for whoever holds its lifetime.";
    if (s.waiting == 0) return "Nobody waits.";
    std::string const who = std::to_string(s.waiting) + (s.waiting == 1 ? " waits" : " wait") + ", the first for " +
                            in_words(r.oldest_wait) + ": ";
    if (s.high == 0) return who + "the pool is paused by resize(0).";
    if (r.next_attempt)
        return who + "connecting keeps failing, and the next attempt is " +
               (s.connecting > 0 ? "under way." : "due in " + in_words(*r.next_attempt) + ".");
    if (s.open > s.high)
        return who + std::to_string(s.open - s.high) + " more are open than may be, and must come back first.";
    if (r.max_concurrent && s.connecting >= *r.max_concurrent)
        return who + "as many connects are in flight as max_concurrent allows (" + std::to_string(s.connecting) + ").";
    if (s.leased >= s.high)
        return who + "all " + std::to_string(s.high) + " are leased" +
               (r.leases.empty() ? "." : ", the oldest for " + age_of(r, r.leases.front()) + ".");
    if (s.open >= s.high)
        return who + "all places are taken: " + std::to_string(s.leased) + " leased, " + std::to_string(s.connecting) +
               " being opened, " + std::to_string(s.closing) + " being closed.";
    return who + "what is being opened for them is on its way.";
}

template <class Out, class Failure>
void print(Out& out, Report<Failure> const& r) {
    out << "weir pool: " << reason(r) << "\n  limits: low " << r.low << ", high " << r.stats.high << ", max_waiters "
        << (r.max_waiters ? std::to_string(*r.max_waiters) : "none") << ", max_concurrent "
        << (r.max_concurrent ? std::to_string(*r.max_concurrent) : "none") << '\n'
        << r.stats;
    if (r.outdated > 0) out << "  of an older generation: " << r.outdated << '\n';
    if (r.stats.leased > 0 && !r.lists_leases)
        out << "  leases: list weir::Upkeep among the policies to see which they are, and how old\n";
    for (auto const& held : r.leases) out << "  lease: id " << held.id << ", held for " << age_of(r, held) << '\n';
    if (r.failure)
        out << "  last connect failure: " << in_words(r.now - r.failure->when) << " ago: " << r.failure->text << " ("
            << r.failure->error.message() << ")\n";
    else
        out << "  last connect failure: none\n";
}

}  // namespace weir::detail
