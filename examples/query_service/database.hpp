// What the workload says to a database, whichever it is.
#pragma once

#include <array>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace query_service {

/// Whose ledger a session works on: the pool's setting. They are numbered from 1; without tenants there is one ledger,
/// and it is nobody's. All ledgers have the same tables, and which of them a statement means is the session's affair.
enum class Tenant : std::uint32_t { nobody = 0 };

inline std::string to_string(Tenant tenant) { return std::to_string(static_cast<std::uint32_t>(tenant)); }

/// Everything that is asked while clients run. Each backend may have a text of its own for each of these.
enum class Query : std::uint8_t { begin, commit, rollback, debit, credit, record, balance, history, total, owner };

inline constexpr std::size_t query_count = 10;

/// In the order of `Query`. `$1`, `$2`, … first appear in rising order in every text, because to SQLite they are
/// names, numbered as they come.
inline constexpr std::array<char const*, query_count> common_sql{
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "UPDATE ledger_account SET balance = balance - $1 WHERE id = $2 AND balance >= $1",
    "UPDATE ledger_account SET balance = balance + $1 WHERE id = $2",
    "INSERT INTO ledger_transfer (client, seq, source, target, amount) VALUES ($1, $2, $3, $4, $5)",
    "SELECT balance FROM ledger_account WHERE id = $1",
    "SELECT amount FROM ledger_transfer WHERE source = $1 OR target = $1 ORDER BY seq DESC LIMIT 10",
    "SELECT CAST(sum(balance) AS bigint) FROM ledger_account",
    "SELECT tenant FROM ledger_owner",
};

struct Statement {
    Query query{};
    std::array<std::int64_t, 5> args{};
    std::size_t arity = 0;
};

/// What one statement did.
struct Outcome {
    std::int64_t rows = 0;   ///< returned by a SELECT, changed by anything else
    std::int64_t value = 0;  ///< the first column of the first row
};

/// A `system_error`, so that the pool hands its code on, whose text is what the database said and no more.
class DatabaseError : public boost::system::system_error {
public:
    DatabaseError(boost::system::error_code code, std::string text)
        : boost::system::system_error(code), text_(std::move(text)) {}
    char const* what() const noexcept override { return text_.c_str(); }

private:
    std::string text_;
};

inline constexpr std::int64_t opening_balance = 1000;

/// Makes the tables of one ledger anew, with `accounts` accounts numbered from 1.
inline std::vector<std::string> ledger_script(Tenant tenant, std::size_t accounts) {
    return {
        "DROP TABLE IF EXISTS ledger_owner",
        "DROP TABLE IF EXISTS ledger_transfer",
        "DROP TABLE IF EXISTS ledger_account",
        "CREATE TABLE ledger_owner (tenant bigint NOT NULL)",
        "INSERT INTO ledger_owner (tenant) VALUES (" + to_string(tenant) + ")",
        "CREATE TABLE ledger_account (id bigint PRIMARY KEY, opening bigint NOT NULL, balance bigint NOT NULL)",
        // The key makes it impossible to book one transfer of a client twice.
        "CREATE TABLE ledger_transfer (client bigint NOT NULL, seq bigint NOT NULL, source bigint NOT NULL,"
        " target bigint NOT NULL, amount bigint NOT NULL, PRIMARY KEY (client, seq))",
        "CREATE INDEX ledger_transfer_source ON ledger_transfer (source)",
        "CREATE INDEX ledger_transfer_target ON ledger_transfer (target)",
        "INSERT INTO ledger_account (id, opening, balance)"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
            std::to_string(accounts) + ") SELECT i, " + std::to_string(opening_balance) + ", " +
            std::to_string(opening_balance) + " FROM n WHERE i <= " + std::to_string(accounts),
        "ANALYZE ledger_account",
    };
}

/// Read back when all clients have ended; `Ledger::verify` compares it with what they saw.
struct Audit {
    std::int64_t total = 0;       ///< sum of all balances
    std::int64_t transfers = 0;   ///< rows in the transfer table
    std::int64_t overdrawn = 0;   ///< accounts below zero
    std::int64_t mismatched = 0;  ///< accounts whose balance is not what their transfers add up to
};

/// `run_text(sql)` runs one statement and returns its `Outcome`.
template <class RunText>
Audit read_audit(RunText run_text) {
    return {
        .total = run_text("SELECT CAST(sum(balance) AS bigint) FROM ledger_account").value,
        .transfers = run_text("SELECT count(*) FROM ledger_transfer").value,
        .overdrawn = run_text("SELECT count(*) FROM ledger_account WHERE balance < 0").value,
        .mismatched = run_text("SELECT count(*) FROM ledger_account a WHERE balance <> opening"
                               " + (SELECT coalesce(sum(amount), 0) FROM ledger_transfer WHERE target = a.id)"
                               " - (SELECT coalesce(sum(amount), 0) FROM ledger_transfer WHERE source = a.id)")
                          .value,
    };
}

}  // namespace query_service
