#include "postgres_backend.hpp"

#ifdef WEIR_HAVE_LIBPQ

#include <sys/socket.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace query_service {

namespace asio = boost::asio;
namespace libpq = weir::libpq;
using namespace std::chrono_literals;

namespace {

constexpr char const* schema = "weir_query_service";

/// The user's words, and ours: where to find the tables, and who we are.
libpq::Options options_of(std::string const& uri) {
    struct Free {
        void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
    };
    libpq::Options ours{.conninfo = uri, .query_timeout = 120s};
    try {
        ours = libpq::validated(std::move(ours));
    } catch (std::invalid_argument const& error) {
        throw UsageError(std::string("--db: ") + error.what());
    }
    std::unique_ptr<PQconninfoOption, Free> const parsed{PQconninfoParse(uri.c_str(), nullptr)};
    std::string options;
    for (auto const* each = parsed.get(); each != nullptr && each->keyword != nullptr; ++each) {
        std::string_view const keyword = each->keyword;
        if (each->val != nullptr && keyword == "options") {
            options = std::string{each->val} + " ";
        }
    }
    ours.parameters = {{"application_name", "query_service"}, {"options", options + "-c search_path=" + schema}};
    return ours;
}

/// What leads to the same server by a port of this machine.
libpq::Options by_way_of(std::uint16_t port, libpq::Options options, PGconn* conn) {
    auto& way = options.parameters;
    way.emplace_back("hostaddr", "127.0.0.1");
    way.emplace_back("port", std::to_string(port));
    way.emplace_back("host", PQhost(conn));  // for its certificate, and the one of several that answered
    // It may come from a file that knows the server by its own port.
    if (char const* const password = PQpass(conn); password != nullptr && *password != '\0') {
        way.emplace_back("password", password);
    }
    return options;
}

asio::generic::stream_protocol::endpoint peer_of(PGconn* conn) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getpeername(PQsocket(conn), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        throw std::system_error(errno, std::generic_category(), "cannot tell where the server is");
    }
    return {&address, size};
}

Outcome outcome_of(libpq::Result const& result) {
    if (PQresultStatus(result.native_handle()) == PGRES_COMMAND_OK) {
        return {.rows = static_cast<std::int64_t>(result.affected()), .value = 0};
    }
    auto const rows = static_cast<std::int64_t>(result.rows());
    return {.rows = rows, .value = rows > 0 && !result.is_null(0, 0) ? result.number(0, 0) : 0};
}

char const* text_of(Statement const& statement) { return common_sql[static_cast<std::size_t>(statement.query)]; }

libpq::Parameters parameters_of(Statement const& statement) {
    libpq::Parameters parameters;
    for (std::size_t i = 0; i < statement.arity; ++i) {
        parameters.add(statement.args[i]);
    }
    return parameters;
}

std::string schema_of(Tenant tenant) {
    return tenant == Tenant::nobody ? schema : std::string(schema) + "_" + to_string(tenant);
}

std::string see_ledger_of(Tenant tenant) { return "SET search_path TO \"" + schema_of(tenant) + "\""; }

/// Ours, and those of tenants that a run left behind that was killed.
std::string drop_schemas() {
    return std::string(
               "DO $$ DECLARE name text; BEGIN FOR name IN SELECT nspname FROM pg_namespace WHERE nspname ~ '^") +
           schema + "(_[0-9]+)?$' LOOP EXECUTE format('DROP SCHEMA %I CASCADE', name); END LOOP; END $$";
}

}  // namespace

asio::awaitable<void> PgConnector::apply(libpq::Connection& conn, Tenant const& tenant) const {
    co_await conn.async_query(see_ledger_of(tenant));
}

PgBackend::PgBackend(Options const& options)
    : accounts_(options.accounts),
      tenants_(options.tenants),
      reach_(options.outage ? Reach::through_relay : Reach::direct),
      ours_(options_of(options.db)) {}

PgBackend::Conn PgBackend::open_keeper() const { return Conn::open(ours_, std::chrono::steady_clock::now() + 5s); }

Outcome PgBackend::run_text(std::string const& sql) { return outcome_of(keeper_->query(sql)); }

template <class Function>
auto PgBackend::with_keeper(Function function) {
    if (keeper_) {
        try {
            return function(*keeper_);
        } catch (boost::system::system_error const&) {
            keeper_.reset();
        }
    }
    // A server that was restarted is away for a moment.
    auto const patience_ends = std::chrono::steady_clock::now() + 3s;
    for (;;) {
        try {
            keeper_ = open_keeper();
            return function(*keeper_);
        } catch (boost::system::system_error const&) {
            if (std::chrono::steady_clock::now() > patience_ends) {
                throw;
            }
        }
        std::this_thread::sleep_for(100ms);
    }
}

std::string PgBackend::describe() const {
    if (!keeper_) {
        return "PostgreSQL";
    }
    PGconn* const conn = keeper_->native_handle();
    int const version = PQserverVersion(conn);  // 150013 is 15.13
    return "PostgreSQL " + std::to_string(version / 10'000) + "." + std::to_string(version % 10'000) + ", database " +
           PQdb(conn) + " at " + PQhost(conn) + ":" + PQport(conn);
}

void PgBackend::prepare() {
    if (!keeper_ || !keeper_->fit()) {
        keeper_ = open_keeper();
    }
    // Ends with the connection, however this program ends. Taking it twice in one session is fine.
    if (run_text("SELECT pg_try_advisory_lock(hashtext('weir_query_service'))::int").value == 0) {
        throw std::runtime_error("this database is in use by another run of this program");
    }
    schema_is_ours_ = true;
    run_text("SET client_min_messages = warning");
    run_text(drop_schemas());
    for (std::uint32_t number = 0; number <= tenants_; ++number) {
        auto const tenant = static_cast<Tenant>(number);
        run_text("CREATE SCHEMA \"" + schema_of(tenant) + "\"");
        run_text(see_ledger_of(tenant));
        // Where there are tenants, nobody has nothing.
        for (std::string const& sql : ledger_script(tenant, number == 0 && tenants_ > 0 ? 0 : accounts_)) {
            run_text(sql);
        }
    }
    run_text("RESET search_path");

    served_ = ours_;
    served_.query_timeout = 5s;
    if (reach_ == Reach::through_relay) {
        if (!relay_) {
            relay_ = std::make_unique<Relay>(peer_of(keeper_->native_handle()));
        }
        served_ = by_way_of(relay_->port(), std::move(served_), keeper_->native_handle());
    }
}

Audit PgBackend::audit(Tenant tenant) {
    return with_keeper([&](Conn& keeper) {
        keeper.query(see_ledger_of(tenant));
        return read_audit([&](char const* sql) { return outcome_of(keeper.query(sql)); });
    });
}

void PgBackend::clean_up() noexcept {
    if (!schema_is_ours_ || !keeper_) {
        return;  // not ours to drop, or the server is gone; then the next run replaces it
    }
    try {
        run_text("SET lock_timeout = '2s'");  // a request that hangs must not make us hang
        run_text(drop_schemas());
    } catch (std::exception const&) {
        // Again, the next run replaces it.
    }
}

void PgBackend::run(Conn& conn, Operation& operation) {
    for (bool more = true; more;) {
        Statement const& statement = operation.statement();
        more = operation.advance(outcome_of(conn.query(text_of(statement), parameters_of(statement))));
    }
}

asio::awaitable<void> PgBackend::async_run(Conn& conn, Operation& operation) {
    for (bool more = true; more;) {
        Statement const& statement = operation.statement();
        auto const result = co_await conn.async_query(text_of(statement), parameters_of(statement));
        more = operation.advance(outcome_of(result));
    }
}

PgBackend::Conn PgBackend::open(Tenant tenant) {
    Conn conn = Conn::open(served_, std::chrono::steady_clock::now() + 5s);
    if (tenant != Tenant::nobody) {
        conn.query(see_ledger_of(tenant));
    }
    return conn;
}

asio::awaitable<std::unique_ptr<PgBackend::Conn>> PgBackend::async_open(Tenant tenant) {
    auto opened = co_await Conn::async_open(served_, co_await asio::this_coro::executor);
    auto conn = std::make_unique<Conn>(std::move(opened));
    if (tenant != Tenant::nobody) {
        co_await conn->async_query(see_ledger_of(tenant));
    }
    co_return conn;
}
asio::awaitable<void> PgBackend::async_close(std::unique_ptr<Conn> conn) {
    conn.reset();  // sends a last word and waits for nothing
    co_return;
}

}  // namespace query_service

#endif
