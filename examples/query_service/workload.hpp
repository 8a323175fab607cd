// A ledger, and what clients do with it. Decides only: no database, no thread, no clock in here.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "database.hpp"

namespace query_service {

/// What the clients of one ledger have seen on one side, to be compared with what the database has kept. Thread-safe.
class Ledger {
public:
    Ledger(Tenant tenant, std::size_t accounts) : tenant_(tenant), accounts_(static_cast<std::int64_t>(accounts)) {}

    Tenant tenant() const noexcept { return tenant_; }
    std::int64_t accounts() const noexcept { return accounts_; }
    std::int64_t total() const noexcept { return accounts_ * opening_balance; }

    void commit_sent() noexcept { ++commits_sent_; }
    void commit_confirmed() noexcept { ++commits_confirmed_; }
    void anomaly() noexcept { ++anomalies_; }
    void misled() noexcept { ++misled_; }
    std::int64_t commits_confirmed() const noexcept { return commits_confirmed_; }

    /// One sentence per promise that is broken; empty when the database kept everything it had confirmed before the
    /// audit began.
    std::vector<std::string> verify(Audit const& audit, std::int64_t confirmed) const;

private:
    Tenant tenant_;
    std::int64_t accounts_;
    // Counted before a COMMIT is sent, and once its answer is read: between the two its fate is unknown, so the table
    // may hold anything from the second number to the first, and exactly that number when no connection broke.
    std::atomic<std::int64_t> commits_sent_ = 0;
    std::atomic<std::int64_t> commits_confirmed_ = 0;
    std::atomic<std::int64_t> anomalies_ = 0;
    std::atomic<std::int64_t> misled_ = 0;  // requests whose session was set to somebody else's ledger
};

/// One request of one client: the statements to run, in order, on one connection.
///
/// `do { outcome = run(op.statement()); } while (op.advance(outcome));`, blocking or not: that is the backend's affair.
/// A statement that fails ends the request where it is; rolling back is the affair of whoever takes the connection back.
class Operation {
public:
    static Operation transfer(Ledger& ledger, Statement const& record);
    static Operation read(Ledger& ledger, Statement const& statement);

    Statement const& statement() const noexcept { return steps_[at_]; }

    /// Takes the answer to `statement()`. True when there is another statement.
    bool advance(Outcome const& outcome) noexcept;

private:
    /// Of a tenant's requests the first step is to ask whose ledger the session sees.
    explicit Operation(Ledger& ledger);
    void add(Statement const& statement) noexcept { steps_[size_++] = statement; }

    Ledger* ledger_;
    std::array<Statement, 6> steps_{};
    std::size_t size_ = 0;
    std::size_t at_ = 0;
};

/// The endless, repeatable stream of requests of one client.
class Client {
public:
    Client(Ledger& ledger, std::size_t number, std::uint64_t seed, double write_ratio)
        : ledger_(&ledger),
          number_(static_cast<std::int64_t>(number)),
          random_(seed + number),
          write_ratio_(write_ratio) {}

    Operation next();
    Tenant tenant() const noexcept { return ledger_->tenant(); }

private:
    std::int64_t uniform(std::int64_t least, std::int64_t most) {
        return std::uniform_int_distribution<std::int64_t>{least, most}(random_);
    }

    Ledger* ledger_;
    std::int64_t number_;
    std::int64_t seq_ = 0;
    std::mt19937_64 random_;
    double write_ratio_;
};

}  // namespace query_service
