#include "report.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <iomanip>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace query_service {

void Latencies::add(Seconds duration) {
    double const steps = std::log(std::max(duration.count() * 1e6, 1.0)) / std::log(growth);
    ++counts_[std::min(static_cast<std::size_t>(std::ceil(steps)), bins - 1)];
    ++total_;
    max_ = std::max(max_, duration);
}

Latencies& Latencies::operator+=(Latencies const& other) {
    for (std::size_t i = 0; i < bins; ++i) {
        counts_[i] += other.counts_[i];
    }
    total_ += other.total_;
    max_ = std::max(max_, other.max_);
    return *this;
}

Seconds Latencies::percentile(double share) const {
    double const wanted = share * static_cast<double>(total_);
    double seen = 0;
    for (std::size_t i = 0; i < bins; ++i) {
        seen += static_cast<double>(counts_[i]);
        if (seen >= wanted) {
            return std::min(Seconds{1e-6 * std::pow(growth, i)}, max_);  // the upper end of the bin
        }
    }
    return max_;
}

void Recorder::request(Seconds wait, Seconds query) {
    std::lock_guard const lock{mutex_};
    wait_.add(wait);
    query_.add(query);
    ++counts_.requests;
}

void Recorder::error(std::string text) {
    std::lock_guard const lock{mutex_};
    ++counts_.errors;
    last_error_ = std::move(text);
}

Recorder::Counts Recorder::counts() const {
    std::lock_guard const lock{mutex_};
    return counts_;
}

void Recorder::add_to(Summary& summary) const {
    std::lock_guard const lock{mutex_};
    summary.wait += wait_;
    summary.query += query_;
    summary.requests += counts_.requests;
    summary.errors += counts_.errors;
    if (!last_error_.empty()) {
        summary.last_error = last_error_;
    }
}

namespace {

struct Row {
    std::string label;
    std::string unit;
    std::vector<std::string> cells;
};

std::string fixed(double value, int digits) {
    std::ostringstream out;
    out << std::fixed << std::setprecision(digits) << value;
    return out.str();
}

std::string milliseconds(Seconds duration) { return fixed(duration.count() * 1e3, 3); }

/// A side that was interrupted before it was over has none.
template <class Add>
void add_outage(Add add) {
    auto const add_one = [&](std::string label, std::string unit, auto cell) {
        add(std::move(label), std::move(unit),
            [=](Summary const& side) { return side.outage ? cell(*side.outage) : std::string("-"); });
    };
    add_one("outage lasted", "s", [](Outage const& outage) { return fixed(outage.lasted.count(), 2); });
    add_one("requests failed by it", "", [](Outage const& outage) { return std::to_string(outage.requests_failed); });
    add_one("connects tried meanwhile", "", [](Outage const& outage) { return std::to_string(outage.connects_tried); });
    add_one("served again after", "ms", [](Outage const& outage) {
        return outage.served_after ? milliseconds(*outage.served_after) : std::string("never");
    });
}

std::vector<Row> table(std::vector<Summary> const& sides) {
    std::vector<Row> rows;
    auto const add = [&](std::string label, std::string unit, auto cell) {
        Row row{std::move(label), std::move(unit), {}};
        for (Summary const& side : sides) {
            row.cells.push_back(cell(side));
        }
        rows.push_back(std::move(row));
    };
    auto const add_latencies = [&](std::string const& label, Latencies Summary::*latencies) {
        for (int const percent : {50, 90, 99}) {
            add(label + " p" + std::to_string(percent), "ms",
                [=](Summary const& side) { return milliseconds((side.*latencies).percentile(percent / 100.0)); });
        }
        add(label + " max", "ms", [=](Summary const& side) { return milliseconds((side.*latencies).max()); });
    };

    add("throughput", "requests/s", [](Summary const& side) { return fixed(side.requests_per_second, 0); });
    add("requests", "", [](Summary const& side) { return std::to_string(side.requests); });
    add("transfers committed", "", [](Summary const& side) { return std::to_string(side.committed); });
    add_latencies("wait for a connection", &Summary::wait);
    add_latencies("query", &Summary::query);
    add("connections opened", "", [](Summary const& side) { return std::to_string(side.opened); });
    add("errors", "", [](Summary const& side) { return std::to_string(side.errors); });
    add("ran for", "s", [](Summary const& side) { return fixed(side.elapsed.count(), 2); });
    add("drained", "", [](Summary const& side) {
        return side.drained == Drained::yes ? "in " + fixed(side.drain.count(), 3) + " s" : std::string("no");
    });
    add("ledger", "", [](Summary const& side) {
        switch (side.verdict) {
            case Verdict::right: return std::string("right");
            case Verdict::wrong: return std::string("WRONG");
            case Verdict::unknown: break;
        }
        return std::string("unknown");
    });
    if (std::any_of(sides.begin(), sides.end(), [](Summary const& side) { return side.outage.has_value(); })) {
        add_outage(add);
    }
    return rows;
}

/// Puts `separator` between cells and `edge` at both ends.
void print_row(std::ostream& out, std::vector<std::string> const& cells, char const* edge, char const* separator) {
    out << edge;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        out << (i == 0 ? "" : separator) << cells[i];
    }
    out << edge << '\n';
}

std::vector<std::string> with_heads(std::string label, std::string unit, std::vector<std::string> const& cells) {
    std::vector<std::string> all{std::move(label), std::move(unit)};
    all.insert(all.end(), cells.begin(), cells.end());
    return all;
}

std::vector<std::string> names(std::vector<Summary> const& sides) {
    std::vector<std::string> all;
    all.reserve(sides.size());
    for (Summary const& side : sides) {
        all.push_back(side.name);
    }
    return all;
}

std::runtime_error unwritable(std::string const& path) {
    int const cause = errno;
    return std::runtime_error("--report: cannot write " + path + ": " + std::generic_category().message(cause));
}

}  // namespace

void print_table(std::ostream& out, std::vector<Summary> const& sides) {
    auto const print = [&](std::string const& label, std::string const& unit, std::vector<std::string> const& cells) {
        out << std::left << std::setw(28) << label << std::setw(12) << unit << std::right;
        for (std::string const& cell : cells) {
            out << std::setw(24) << cell;
        }
        out << '\n';
    };
    print("", "", names(sides));
    for (Row const& row : table(sides)) {
        print(row.label, row.unit, row.cells);
    }
}

void check_writable(std::string const& path) {
    errno = 0;
    // Appending leaves an older report alone until there is a new one.
    if (!std::ofstream{path, std::ios::app}) {
        throw unwritable(path);
    }
}

void write_report(std::string const& path, std::vector<Summary> const& sides) {
    bool const csv = path.ends_with(".csv");
    char const* const edge = csv ? "" : "|";
    char const* const separator = csv ? "," : "|";

    errno = 0;
    std::ofstream out{path};
    print_row(out, with_heads("measure", "unit", names(sides)), edge, separator);
    if (!csv) {
        print_row(out, with_heads("---", "---", std::vector<std::string>(sides.size(), "---:")), edge, separator);
    }
    for (Row const& row : table(sides)) {
        print_row(out, with_heads(row.label, row.unit, row.cells), edge, separator);
    }
    if (!out.flush()) {
        throw unwritable(path);
    }
}

}  // namespace query_service
