#include "workload.hpp"

namespace query_service {

std::vector<std::string> Ledger::verify(Audit const& audit, std::int64_t confirmed) const {
    std::vector<std::string> broken;
    std::string const whose = tenant_ == Tenant::nobody ? "" : "tenant " + to_string(tenant_) + ": ";
    auto const expect = [&](bool kept, std::string const& sentence) {
        if (!kept) {
            broken.push_back(whose + sentence);
        }
    };
    std::int64_t const sent = commits_sent_;
    expect(audit.transfers >= confirmed, std::to_string(confirmed) + " transfers were confirmed, but only " +
                                             std::to_string(audit.transfers) + " are in the table");
    expect(audit.transfers <= sent, "only " + std::to_string(sent) + " commits were sent, but " +
                                        std::to_string(audit.transfers) + " transfers are in the table");
    expect(audit.total == total(),
           "the balances add up to " + std::to_string(audit.total) + " instead of " + std::to_string(total()));
    expect(audit.overdrawn == 0, std::to_string(audit.overdrawn) + " accounts are overdrawn");
    expect(audit.mismatched == 0, std::to_string(audit.mismatched) + " accounts do not agree with their transfers");
    expect(anomalies_ == 0, std::to_string(anomalies_) + " answers were impossible in a correct ledger");
    expect(misled_ == 0, std::to_string(misled_) + " requests were given a session that was set to another ledger");
    return broken;
}

Operation::Operation(Ledger& ledger) : ledger_(&ledger) {
    if (ledger.tenant() != Tenant::nobody) {
        add({Query::owner, {}, 0});
    }
}

Operation Operation::transfer(Ledger& ledger, Statement const& record) {
    auto const source = record.args[2];
    auto const target = record.args[3];
    auto const amount = record.args[4];
    Statement const debit{Query::debit, {amount, source}, 2};
    Statement const credit{Query::credit, {amount, target}, 2};

    Operation operation{ledger};
    operation.add({Query::begin, {}, 0});
    // Row locks are taken in the order of account numbers, so two transfers cannot wait for each other.
    operation.add(source < target ? debit : credit);
    operation.add(source < target ? credit : debit);
    operation.add(record);
    operation.add({Query::commit, {}, 0});
    return operation;
}

Operation Operation::read(Ledger& ledger, Statement const& statement) {
    Operation operation{ledger};
    operation.add(statement);
    return operation;
}

bool Operation::advance(Outcome const& outcome) noexcept {
    bool possible = true;
    switch (steps_[at_].query) {
        case Query::debit:
            if (outcome.rows == 0) {  // not enough in the account
                steps_[at_ + 1] = {Query::rollback, {}, 0};
                size_ = at_ + 2;
            }
            break;
        case Query::credit:
        case Query::record: possible = outcome.rows == 1; break;
        case Query::balance: possible = outcome.rows == 1 && outcome.value >= 0; break;
        case Query::total: possible = outcome.value == ledger_->total(); break;
        case Query::commit: ledger_->commit_confirmed(); break;
        case Query::owner:
            if (outcome.rows != 1 || outcome.value != static_cast<std::int64_t>(ledger_->tenant())) {
                ledger_->misled();
                size_ = at_ + 1;  // nothing is written into another's ledger
            }
            break;
        case Query::begin:
        case Query::rollback:
        case Query::history: break;
    }
    if (!possible) {
        ledger_->anomaly();
    }

    ++at_;
    if (at_ < size_ && steps_[at_].query == Query::commit) {
        ledger_->commit_sent();
    }
    return at_ < size_;
}

Operation Client::next() {
    auto const account = uniform(1, ledger_->accounts());
    if (std::bernoulli_distribution{write_ratio_}(random_)) {
        auto other = uniform(1, ledger_->accounts() - 1);
        other += other >= account ? 1 : 0;
        return Operation::transfer(*ledger_, {Query::record, {number_, ++seq_, account, other, uniform(1, 100)}, 5});
    }
    // Mostly cheap look-ups, some histories, and now and then a sum over all that must never waver.
    auto const kind = uniform(1, 100);
    if (kind <= 84) {
        return Operation::read(*ledger_, {Query::balance, {account}, 1});
    }
    if (kind <= 99) {
        return Operation::read(*ledger_, {Query::history, {account}, 1});
    }
    return Operation::read(*ledger_, {Query::total, {}, 0});
}

}  // namespace query_service
