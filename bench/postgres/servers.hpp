#pragma once
// What this question asks, and whom: a PostgreSQL server and a PgBouncer in front of it, started for the run.

#include <cstdint>
#include <string>
#include <weir/adapters/libpq.hpp>

#include "servers/pgbouncer.hpp"
#include "servers/postgres.hpp"
#include "servers/shared.hpp"

namespace bench {

/// As many are sensible for two processors and a database that fits into memory.
inline constexpr std::size_t sessions = 8;
inline constexpr std::size_t clients = 32;

inline weir::test::PostgresServer& server() { return weir::test::shared<weir::test::PostgresServer>(); }

inline weir::test::PgBouncer& bouncer() {
    static weir::test::PgBouncer only{server(), {.pool_mode = "transaction", .pool_size = sessions}};
    return only;
}

/// The query of all of them: an index look-up's worth of work, and an answer that can be checked.
inline constexpr char const* query = "SELECT $1::bigint * 7 + 1";
inline std::int64_t answer(std::int64_t question) { return question * 7 + 1; }

}  // namespace bench
