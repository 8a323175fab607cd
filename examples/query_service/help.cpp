#include "options.hpp"

namespace query_service {

char const* const help_text = R"(usage: 10_query_service [options]

Runs a ledger (transfers, balances, histories) for many clients at once through one weir::Pool, then the same
work with a connection per request, and shows both side by side. Ends after --seconds a side, or by Ctrl-C
(SIGINT, SIGTERM): the pool is drained and the ledger checked. A second Ctrl-C ends at once
and leaves temporary files behind. SIGUSR1 prints what the pool is at, while it runs or drains.

  --db sqlite:PATH          a SQLite file; made if missing, switched to WAL mode; its tables `ledger_...`
                            are replaced and stay for you to look at
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
  --accounts N              accounts in a ledger                                 (default 1000)
  --drain-deadline S        how long the end may take                            (default 5)
  --report FILE             also write the table to FILE: CSV if it ends in .csv, else Markdown
  --no-compare              leave out the connection per request
  --seed N                  of the random requests                               (default 1)
  --help                    this text

What a pool lives through, live; times count from the start of a side:

  --tenants N               each client belongs to one of N tenants, each with a ledger of its own, and the
                            session it leases is set to that: the pool's setting. PostgreSQL: search_path names
                            the tenant's schema, weir_query_service_1 and so on. SQLite: the tenant's file,
                            PATH.tenant-1 and so on, is attached. Every request first asks the database whose
                            ledger it sees; one wrong answer, and the run has failed
                                                                                 (default 0: one ledger for all)
  --max-age S               the pool replaces connections older than that        (default 0: never)
  --refresh-every S         the pool is told so often that all it has open is out of date
                                                                                 (default 0: never)
  --resize-to N[@T]         at T seconds the pool may open N connections, 0 pauses it; half-way from there to
                            the end it may open --high again                     (default T: half of --seconds)
  --outage S[@T]            at T seconds the database is out of reach for S; it must be back before the end.
                            PostgreSQL: the clients' sessions go through a relay in this program, on 127.0.0.1,
                            which drops them all and turns new ones away. SQLite has no line to cut, so it is
                            simulated: open connections fail for good, and opening fails for that time. Shown
                            are the requests that failed by it, the connects tried meanwhile, and how soon after
                            it a request succeeded; none up to --drain-deadline after --seconds, and the run
                            has failed
                                                                                 (default T: a third of --seconds)

exit status: 0 all drained and the ledger is right; 1 something failed; 2 wrong arguments
)";

}  // namespace query_service
