// The run: both sides one after the other, each started, watched, ended in order and checked.
#pragma once

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <exception>
#include <iostream>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "clients.hpp"
#include "interrupt.hpp"
#include "live_dump.hpp"
#include "options.hpp"
#include "report.hpp"
#include "sources.hpp"
#include "watch.hpp"
#include "workload.hpp"

namespace query_service {

/// Runs `io` until destroyed.
class IoThreads {
public:
    IoThreads(boost::asio::io_context& io, std::size_t count) : io_(&io), work_(io.get_executor()) {
        try {
            for (std::size_t i = 0; i < count; ++i) {
                threads_.emplace_back([&io] { io.run(); });
            }
        } catch (...) {
            io.stop();  // else those that did start would never be joined
            throw;
        }
    }
    ~IoThreads() { io_->stop(); }
    IoThreads(IoThreads const&) = delete;
    IoThreads& operator=(IoThreads const&) = delete;

private:
    boost::asio::io_context* io_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    std::vector<std::jthread> threads_;
};

template <class Backend>
class Service {
public:
    Service(Options const& options, Backend& backend)
        : options_(options),
          backend_(&backend),
          interrupt_(io_),
          live_dump_(io_),
          io_threads_(io_, options.io_threads) {}

    /// The status to exit with.
    int run() {
        backend_->prepare();
        std::cout << backend_->describe() << "\n"
                  << options_.clients << " coroutines on " << options_.io_threads << " io threads and "
                  << options_.threads << " plain threads; " << options_.accounts << " accounts, "
                  << options_.write_ratio * 100 << " % transfers";
        if (options_.tenants > 0) {
            std::cout << "; " << options_.tenants << " tenants, each with a ledger";
        }
        std::cout << "\n";

        run_side<Pooled<Backend>>();
        if (options_.compare == Compare::with_connection_per_request && !interrupt_.requested()) {
            backend_->prepare();
            run_side<PerRequest<Backend>>();
        }
        return conclude();
    }

private:
    template <class Source>
    void run_side() {
        std::cout << "\n" << Source::name << "\n";
        std::deque<Ledger> ledgers;
        if (options_.tenants == 0) {
            ledgers.emplace_back(Tenant::nobody, options_.accounts);
        }
        for (std::size_t number = 1; number <= options_.tenants; ++number) {
            ledgers.emplace_back(static_cast<Tenant>(number), options_.accounts);
        }
        Source source{io_, *backend_, options_};
        LiveDump::Show const show{live_dump_, [&](std::ostream& out) { source.dump(out); }};
        Crew crew{options_.clients, options_.threads};
        Summary summary;
        summary.name = Source::name;

        auto const started = Clock::now();
        try {
            crew.start(io_, source, *backend_, [&](std::size_t number) {
                return Client{ledgers[number % ledgers.size()], number, options_.seed, options_.write_ratio};
            });
        } catch (std::exception const& error) {
            abandon(std::string("cannot start all clients: ") + error.what());
        }
        {
            Watch<Source, Backend> watch{options_, *backend_, source, crew, started};
            watch.run(interrupt_);
            summary.outage = watch.outage();
        }

        auto const ending = Clock::now();
        summary.elapsed = ending - started;
        summary.requests_per_second = static_cast<double>(crew.counts().requests) / summary.elapsed.count();
        auto const patience = std::chrono::duration_cast<Clock::duration>(options_.drain_deadline);
        bool const drained = source.close(patience);
        bool const ended = crew.wait_until_ended(std::max(ending + patience, Clock::now() + Source::last_words));
        summary.drain = Clock::now() - ending;
        summary.drained = drained && ended ? Drained::yes : Drained::no;

        crew.add_to(summary);
        summary.opened = source.opened();
        summary.counters = source.counters();
        check(ledgers, summary);
        sides_.push_back(std::move(summary));
        if (!ended) {
            conclude();
            abandon("some clients did not end within the deadline");
        }
    }

    /// Compares what the clients have seen with what the database has kept.
    void check(std::deque<Ledger> const& ledgers, Summary& summary) {
        summary.verdict = Verdict::right;
        for (Ledger const& ledger : ledgers) {
            auto const confirmed = ledger.commits_confirmed();  // before: a client that hangs may yet confirm one
            summary.committed += confirmed;
            try {
                auto const broken = ledger.verify(backend_->audit(ledger.tenant()), confirmed);
                summary.reasons.insert(summary.reasons.end(), broken.begin(), broken.end());
            } catch (std::exception const& error) {
                summary.reasons.push_back(std::string("cannot be read back: ") + error.what());
                summary.verdict = Verdict::unknown;
            }
        }
        if (summary.verdict == Verdict::right && !summary.reasons.empty()) {
            summary.verdict = Verdict::wrong;
        }
    }

    int conclude() {
        std::cout << "\n";
        print_table(std::cout, sides_);
        int status = EXIT_SUCCESS;
        for (Summary const& side : sides_) {
            if (!side.counters.empty()) {
                std::cout << side.name << ":\n" << side.counters;
            }
            if (side.errors > 0) {
                std::cout << side.name << ": last error: " << side.last_error << "\n";
            }
            for (std::string const& sentence : side.reasons) {
                std::cout << side.name << ": ledger: " << sentence << "\n";
            }
            if (side.verdict != Verdict::right) {
                status = EXIT_FAILURE;
            }
            if (side.outage && !side.outage->served_after) {
                std::cout << side.name << ": no request has succeeded since the outage\n";
                status = EXIT_FAILURE;
            }
            if (side.drained == Drained::no) {
                std::cout << side.name << ": not drained within " << options_.drain_deadline.count() << " s\n";
                status = EXIT_FAILURE;
            }
        }
        if (status == EXIT_SUCCESS) {
            std::cout << "all drained; every confirmed transfer is in the ledger, and it adds up\n";
        }
        std::cout << std::flush;
        if (!options_.report.empty()) {
            try {
                write_report(options_.report, sides_);
            } catch (std::exception const& error) {
                std::cerr << "query_service: " << error.what() << std::endl;
                status = EXIT_FAILURE;
            }
        }
        return status;
    }

    /// Ends the program without waiting for clients, as destructors would: one of them may hang in a call to the
    /// database that nothing can cancel. What the database has confirmed is safe in there.
    [[noreturn]] void abandon(std::string const& reason) {
        std::cerr << "query_service: " << reason << std::endl;
        backend_->clean_up();
        std::_Exit(EXIT_FAILURE);
    }

    Options const& options_;
    Backend* backend_;
    std::vector<Summary> sides_;
    boost::asio::io_context io_;
    Interrupt interrupt_;
    LiveDump live_dump_;
    IoThreads io_threads_;
};

}  // namespace query_service
