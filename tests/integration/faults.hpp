#pragma once
// What is done to a server, and what its clients are to come through with.

#include <gtest/gtest.h>

#include "load.hpp"
#include "support/asio.hpp"

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <set>
#include <sstream>
#include <string>
#include <utility>

namespace weir::test {

/// One row of the table in the README: how the clients of one pool fared.
struct Figures {
    Tally tally{};
    std::size_t leaked = 0;                          ///< sessions that the server still counts at the end
    std::chrono::steady_clock::duration recovery{};  ///< from the server's first answer to the first success
    std::chrono::steady_clock::duration close{};     ///< how long a close took while the fault lasted
};

/// Adds a row to the file that WEIR_FAULTS names, and shows it.
inline void report(std::string const& server, std::string const& fault, Figures const& figures) {
    using Milliseconds = std::chrono::duration<double, std::milli>;
    std::ostringstream row;
    row.precision(1);
    row << std::fixed << "| " << server << " | " << fault << " | " << figures.tally.tried() << " | "
        << figures.tally.succeeded << " | " << figures.tally.failed() << " | " << figures.tally.reasons() << " | "
        << figures.tally.wrong << " | " << figures.leaked << " | " << Milliseconds{figures.recovery}.count() << " | "
        << Milliseconds{figures.close}.count() << " |\n";
    std::cout << row.str();
    if (char const* const path = std::getenv("WEIR_FAULTS"))  // NOLINT(concurrency-mt-unsafe)
        std::ofstream{path, std::ios::app} << row.str();
}

/// What may be done to a server, and what clients may then be told.
struct Fault {
    std::string name{};
    std::function<void()> begin{};
    std::function<void()> meanwhile{};  ///< again and again until enough have failed, where once might hit nobody
    std::function<void()> end{};        ///< returns when the server answers again
    std::string cause{};             ///< what it is, as the message of an error: it does not end before that was seen
    std::set<std::string> others{};  ///< further messages that are true meanwhile
    std::size_t failures = 20;       ///< how many requests have to fail before it ends
    bool refresh = false;            ///< at its end the pool is told to replace what is open

    bool is_true(Reason const& reason) const {
        auto const known = [&](boost::system::error_code code) {
            return code.message() == cause || others.contains(code.message());
        };
        return known(reason.told) && (!reason.behind || known(reason.behind));
    }
};

/// Drives two pools into a fault. One is closed as it begins; the other has to come through, to serve again, and to
/// leave nothing behind. The clients are never told a lie.
template <class Backend>
Figures endure(Backend& backend, Fault const& fault, LoadOptions const& options = {}) {
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::seconds deadline{2};
    constexpr std::size_t enough = 200;
    Figures figures;
    {
        Load<Backend> load{backend, "enduring", options};
        Load<Backend> closing{backend, "closing", options};
        EXPECT_TRUE(load.wait_for_successes(enough)) << load.tally().reasons();
        EXPECT_TRUE(closing.wait_for_successes(enough)) << closing.tally().reasons();

        load.mark();
        fault.begin();
        auto const began = Clock::now();
        closing.pool().close(deadline);
        figures.close = Clock::now() - began;
        EXPECT_LT(figures.close, deadline + std::chrono::seconds{1});
        closing.stop();
        EXPECT_TRUE(load.wait_for_failures(fault.failures, fault.cause, fault.meanwhile)) << load.tally().reasons();
        fault.end();

        auto const recovered = Clock::now();
        if (fault.refresh) load.pool().refresh();
        load.mark_recovery();
        EXPECT_TRUE(load.wait_for_successes(enough)) << load.tally().reasons();
        load.stop();
        figures.tally = load.tally();
        if (auto const first = figures.tally.first_success_since_mark) figures.recovery = *first - recovered;
        EXPECT_TRUE(load.pool().close(deadline));
        EXPECT_EQ(figures.tally.wrong, 0u);
        for (auto const& [reason, times] : figures.tally.failures)
            EXPECT_TRUE(fault.is_true(reason)) << reason.text() << ", " << times << " times";
    }
    asio_test::wait_until([&] { return backend.sessions("enduring") + backend.sessions("closing") == 0; });
    figures.leaked = backend.sessions("enduring") + backend.sessions("closing");
    EXPECT_EQ(figures.leaked, 0u);
    report(Backend::name, fault.name, figures);
    return figures;
}

}  // namespace weir::test
