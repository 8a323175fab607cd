// Looks after one side while its clients run: a line every second, and what is planned to happen.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <iomanip>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>

#include "clients.hpp"
#include "interrupt.hpp"
#include "options.hpp"
#include "report.hpp"
#include "timeline.hpp"

namespace query_service {

template <class Source, class Backend>
class Watch {
public:
    Watch(Options const& options, Backend& backend, Source& source, Crew const& crew, Clock::time_point started)
        : options_(options),
          backend_(&backend),
          source_(&source),
          crew_(&crew),
          started_(started),
          timeline_(options, Source::is_pool ? Timeline::Kind::pool : Timeline::Kind::connections),
          line_at_(started) {}

    /// Who is interrupted in the middle of an outage must not wait for its end.
    ~Watch() {
        if (reach_ == Reach::cut_off) {
            backend_->mend();
        }
    }
    Watch(Watch const&) = delete;
    Watch& operator=(Watch const&) = delete;

    /// Until the time is up or somebody presses Ctrl-C. Where nobody has been served since an outage it goes on, as long
    /// again as a drain may take: on a busy machine a first connect may take seconds.
    void run(Interrupt const& interrupt) {
        auto const last = after(options_.seconds + options_.drain_deadline);
        auto end = after(options_.seconds);
        for (auto now = Clock::now(); now < end;) {
            if (interrupt.wait_until(std::min({next_line(), next_event(), next_look(now), end}))) {
                std::cout << "interrupted: draining for at most " << options_.drain_deadline.count()
                          << " s; once more ends at once" << std::endl;
                outage_.reset();  // half of one says nothing
                return;
            }
            now = Clock::now();
            while (auto const event = timeline_.take(now - started_)) {
                happen(*event);
            }
            look_for_recovery(now);
            if (now >= end && reach_ == Reach::mended && now < last) {
                end = std::min(now + std::chrono::milliseconds{100}, last);
            }
            if (now >= std::min(next_line(), end)) {
                print_progress(now);
            }
        }
    }

    /// What an outage has cost, if there was one.
    std::optional<Outage> const& outage() const noexcept { return outage_; }

private:
    enum class Reach : std::uint8_t { normal, cut_off, mended };

    Clock::time_point after(Seconds time) const { return started_ + std::chrono::ceil<Clock::duration>(time); }
    Clock::time_point next_line() const { return line_at_ + std::chrono::seconds{1}; }

    Clock::time_point next_event() const {
        return std::isinf(timeline_.next().count()) ? Clock::time_point::max() : after(timeline_.next());
    }

    Clock::time_point next_look(Clock::time_point now) const {
        return reach_ == Reach::mended ? now + std::chrono::milliseconds{1} : Clock::time_point::max();
    }

    void happen(Event event) {
        switch (event) {
            case Event::cut: return cut();
            case Event::mend: return mend();
            case Event::refresh:
            case Event::resize:
            case Event::resize_back:
                if constexpr (Source::is_pool) {
                    happen_to_pool(event);
                }
        }
    }

    void happen_to_pool(Event event) {
        if (event == Event::refresh) {
            source_->refresh();
            return say("refreshed: what was open is out of date");
        }
        std::size_t const high = event == Event::resize ? options_.resize->what : options_.high;
        source_->resize(high);
        say("resized to " + std::to_string(high) + (high == 0 ? ": paused" : ""));
    }

    void cut() {
        before_ = crew_->counts();
        tried_before_ = source_->connects_tried();
        backend_->cut();
        reach_ = Reach::cut_off;
        outage_ = Outage{.lasted = options_.outage->what};
        say("the database is out of reach");
    }

    void mend() {
        outage_->connects_tried = source_->connects_tried() - tried_before_;
        succeeded_before_ = crew_->counts().requests;
        backend_->mend();
        mended_at_ = Clock::now();
        reach_ = Reach::mended;
        say("it is back; " + std::to_string(outage_->connects_tried) + " connects were tried meanwhile");
    }

    void look_for_recovery(Clock::time_point now) {
        if (reach_ != Reach::mended) {
            return;
        }
        auto const counts = crew_->counts();
        outage_->requests_failed = counts.errors - before_.errors;
        if (counts.requests > succeeded_before_) {
            outage_->served_after = now - mended_at_;
            reach_ = Reach::normal;
            std::ostringstream text;
            text << "served again, " << std::fixed << std::setprecision(1) << outage_->served_after->count() * 1e3
                 << " ms later; " << outage_->requests_failed << " requests have failed by it";
            say(text.str());
        }
    }

    void print_progress(Clock::time_point now) {
        auto const counts = crew_->counts();
        auto const rate = static_cast<double>(counts.requests - printed_.requests) / Seconds{now - line_at_}.count();
        std::ostringstream text;
        text << std::fixed << std::setprecision(0) << std::setw(8) << rate << " requests/s";
        print(text.str(), counts);
        printed_ = counts;
        line_at_ = now;
    }

    void say(std::string const& text) { print("  " + text + ";", crew_->counts()); }

    void print(std::string const& text, Recorder::Counts const& counts) const {
        std::ostringstream line;
        line << std::fixed << std::setprecision(1) << std::setw(6) << Seconds{Clock::now() - started_}.count() << " s"
             << text << "  " << source_->gauges() << "  errors " << counts.errors;
        std::cout << line.str() << std::endl;
    }

    Options const& options_;
    Backend* backend_;
    Source* source_;
    Crew const* crew_;
    Clock::time_point started_;
    Timeline timeline_;
    Clock::time_point line_at_;  // the latest line of progress, and what it counted from
    Recorder::Counts printed_;

    Reach reach_ = Reach::normal;
    std::optional<Outage> outage_;
    Recorder::Counts before_;  // the outage
    std::uint64_t tried_before_ = 0;
    std::uint64_t succeeded_before_ = 0;  // its end
    Clock::time_point mended_at_;
};

}  // namespace query_service
