// The ledger in a PostgreSQL server, or the ledgers of tenants in a schema each.
#pragma once

#ifdef WEIR_HAVE_LIBPQ

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <weir/adapters/libpq.hpp>

#include "options.hpp"
#include "relay.hpp"
#include "workload.hpp"

namespace query_service {

/// A tenant's session sees his tables. To see nobody's again it is reset.
struct PgConnector : weir::libpq::Connector {
    using Connector::Connector;

    boost::asio::awaitable<void> apply(weir::libpq::Connection& conn, Tenant const& tenant) const;
};

class PgBackend {
public:
    using Conn = weir::libpq::Connection;
    using Connector = PgConnector;

    explicit PgBackend(Options const& options);

    std::string describe() const;
    void prepare();  ///< fresh tables
    Audit audit(Tenant tenant);
    void clean_up() noexcept;
    Connector connector() const { return Connector{served_}; }  ///< once it is prepared

    /// The database is out of reach, until it is mended. Only where an outage is planned.
    void cut() { relay_->shut(); }
    void mend() { relay_->open(); }

    void run(Conn& conn, Operation& operation);
    boost::asio::awaitable<void> async_run(Conn& conn, Operation& operation);

    Conn open(Tenant tenant);
    boost::asio::awaitable<std::unique_ptr<Conn>> async_open(Tenant tenant);
    boost::asio::awaitable<void> async_close(std::unique_ptr<Conn> conn);

private:
    /// Calls `function` with the keeper; once more with a new one if the old one was lost meanwhile.
    template <class Function>
    auto with_keeper(Function function);
    Conn open_keeper() const;
    Outcome run_text(std::string const& sql);

    enum class Reach : std::uint8_t { direct, through_relay };

    std::size_t accounts_;
    std::size_t tenants_;
    Reach reach_;
    bool schema_is_ours_ = false;
    weir::libpq::Options ours_;
    weir::libpq::Options served_;  // what clients connect with
    std::unique_ptr<Relay> relay_;
    std::optional<Conn> keeper_;  // a connection of its own, so that looking after the tables needs no free lease
};

}  // namespace query_service

#endif
