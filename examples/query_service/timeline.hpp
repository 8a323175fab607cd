// What is planned to happen while clients run, and when. Decides only: no clock, no thread in here.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "options.hpp"
#include "report.hpp"

namespace query_service {

enum class Event : std::uint8_t { refresh, resize, resize_back, cut, mend };

/// Times count from when the clients start.
class Timeline {
public:
    enum class Kind : std::uint8_t { pool, connections };

    Timeline(Options const& options, Kind kind) : end_(options.seconds) {
        if (options.outage) {
            add(options.outage->at, Event::cut);
            add(options.outage->at + options.outage->what, Event::mend);
        }
        if (kind == Kind::pool) {
            if (options.resize) {
                add(options.resize->at, Event::resize);
                add((options.resize->at + options.seconds) / 2, Event::resize_back);
            }
            if (options.refresh_every.count() > 0) {
                refresh_every_ = options.refresh_every;
                add(refresh_every_, Event::refresh);
            }
        }
    }

    /// When the next is due.
    Seconds next() const noexcept { return plan_.empty() ? never : plan_.front().at; }

    /// Takes the next, if it is due by then.
    std::optional<Event> take(Seconds now) {
        if (next() > now) {
            return std::nullopt;
        }
        Event const event = plan_.front().what;
        plan_.erase(plan_.begin());
        if (event == Event::refresh) {
            // A refresh that takes longer than its period is not followed by all those that were due meanwhile.
            add(now + refresh_every_, Event::refresh);
        }
        return event;
    }

private:
    static constexpr Seconds never{std::numeric_limits<double>::infinity()};

    void add(Seconds at, Event event) {
        if (at >= end_) {
            return;
        }
        auto const later = [](Seconds time, Planned<Event> const& each) { return time < each.at; };
        plan_.insert(std::upper_bound(plan_.begin(), plan_.end(), at, later), {event, at});
    }

    Seconds end_;
    std::vector<Planned<Event>> plan_;  // the next first
    Seconds refresh_every_{0};
};

}  // namespace query_service
