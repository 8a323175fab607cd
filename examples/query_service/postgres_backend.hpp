// The ledger in a PostgreSQL server.
#pragma once

#ifdef WEIR_HAVE_LIBPQ

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "options.hpp"
#include "postgres_conn.hpp"
#include "workload.hpp"

namespace query_service {

/// The pool's connector. Awaitable: the pool runs it on its executor, and cancels it when it closes.
struct PgConnector {
    PgParameters parameters;

    boost::asio::awaitable<PgConn> connect() const { return PgConn::async_open(parameters); }

    /// A request that failed half-way leaves a transaction, or half an answer. The server forgets both when the
    /// connection is closed, which is simpler than rolling back and needs no round trip here.
    bool recycle(PgConn& conn) const { return conn.clean(); }
};

class PgBackend {
public:
    using Conn = PgConn;
    using Connector = PgConnector;

    explicit PgBackend(Options const& options);

    std::string describe() const;
    void prepare();  ///< fresh tables
    Audit audit();
    void clean_up() noexcept;
    Connector connector() const { return {parameters_}; }

    void run(Conn& conn, Operation& operation);
    boost::asio::awaitable<void> async_run(Conn& conn, Operation& operation);

    Conn open() { return Conn::open(parameters_); }
    boost::asio::awaitable<std::unique_ptr<Conn>> async_open();
    boost::asio::awaitable<void> async_close(std::unique_ptr<Conn> conn);

private:
    /// Calls `function` with the keeper; once more with a new one if the old one was lost meanwhile.
    template <class Function>
    auto with_keeper(Function function);

    std::size_t accounts_;
    bool schema_is_ours_ = false;
    PgParameters parameters_;
    std::optional<Conn> keeper_;  // a connection of its own, so that looking after the tables needs no free lease
};

}  // namespace query_service

#endif
