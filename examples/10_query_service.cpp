// A service under load: a hundred clients query a real database through one pool; see --help.
//
//   options    the command line                      workload   what clients ask, and what must be true at the end
//   sources    the pool, and what it is compared to  clients    coroutines and threads that ask
//   *_backend  SQLite, PostgreSQL                    service    runs it all, and ends it in order
//   timeline   what the pool is made to live through watch      has it happen, and tells how it went
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>

#include "query_service/options.hpp"
#include "query_service/postgres_backend.hpp"
#include "query_service/report.hpp"
#include "query_service/service.hpp"
#include "query_service/sqlite_backend.hpp"

namespace qs = query_service;

namespace {

template <class Backend>
int serve(qs::Options const& options) {
    Backend backend{options};
    int status = EXIT_FAILURE;
    try {
        status = qs::Service<Backend>{options, backend}.run();
    } catch (...) {
        backend.clean_up();
        throw;
    }
    backend.clean_up();
    return status;
}

int serve_database(qs::Options const& options) {
    if (options.db.empty() || options.db.starts_with("sqlite:")) {
        return serve<qs::SqliteBackend>(options);
    }
#ifdef WEIR_HAVE_LIBPQ
    return serve<qs::PgBackend>(options);
#else
    throw qs::UsageError("--db: this program was built without libpq, so it knows only sqlite:PATH");
#endif
}

}  // namespace

int main(int argc, char** argv) {
    try {
        auto const options = qs::parse_options(argc, argv);
        if (!options) {
            std::cout << qs::help_text;
            return EXIT_SUCCESS;
        }
        if (!options->report.empty()) {
            qs::check_writable(options->report);
        }
        return serve_database(*options);
    } catch (qs::UsageError const& error) {
        std::cerr << "query_service: " << error.what() << " (try --help)\n";
        return 2;
    } catch (std::exception const& error) {
        std::cerr << "query_service: " << error.what() << "\n";
        return EXIT_FAILURE;
    }
}
