#include "postgres_backend.hpp"

#ifdef WEIR_HAVE_LIBPQ

#include <chrono>
#include <stdexcept>
#include <thread>

namespace query_service {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr char const* schema = "weir_query_service";

/// The user's words, and ours: where to find the tables, and who we are.
PgParameters parameters_of(std::string const& uri) {
    struct Free {
        void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
    };
    char* message = nullptr;
    std::unique_ptr<PQconninfoOption, Free> const parsed{PQconninfoParse(uri.c_str(), &message)};
    if (!parsed) {
        std::string const text = message != nullptr ? message : "out of memory";
        PQfreemem(message);
        throw UsageError("--db: " + text.substr(0, text.find('\n')));
    }

    std::string options;
    for (auto const* each = parsed.get(); each->keyword != nullptr; ++each) {
        if (each->val != nullptr && std::string_view{each->keyword} == "options") {
            options = std::string{each->val} + " ";
        }
    }
    return {
        {"connect_timeout", "5"},  // before the user's, so only a default
        {"application_name", "query_service"},
        {"dbname", uri},
        {"options", options + "-c search_path=" + schema},
    };
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

asio::awaitable<void> PgConnector::apply(PgConn& conn, Tenant const& tenant) const {
    std::string const sql = see_ledger_of(tenant);
    co_await conn.async_run_text(sql);
}

asio::awaitable<void> PgConnector::reset(PgConn& conn) const {
    std::string const sql = "RESET search_path";  // to what the connection was opened with: nobody's
    co_await conn.async_run_text(sql);
}

PgBackend::PgBackend(Options const& options)
    : accounts_(options.accounts),
      tenants_(options.tenants),
      reach_(options.outage ? Reach::through_relay : Reach::direct),
      parameters_(parameters_of(options.db)) {}

template <class Function>
auto PgBackend::with_keeper(Function function) {
    if (keeper_) {
        try {
            return function(*keeper_);
        } catch (DatabaseError const&) {
            keeper_.reset();
        }
    }
    // A server that was restarted is away for a moment.
    auto const patience_ends = std::chrono::steady_clock::now() + 3s;
    for (;;) {
        try {
            keeper_ = Conn::open(parameters_);
            return function(*keeper_);
        } catch (DatabaseError const&) {
            if (std::chrono::steady_clock::now() > patience_ends) {
                throw;
            }
        }
        std::this_thread::sleep_for(100ms);
    }
}

std::string PgBackend::describe() const { return keeper_ ? keeper_->describe() : "PostgreSQL"; }

void PgBackend::prepare() {
    if (!keeper_ || !keeper_->clean()) {
        keeper_ = Conn::open(parameters_);
    }
    // Ends with the connection, however this program ends. Taking it twice in one session is fine.
    if (keeper_->run_text("SELECT pg_try_advisory_lock(hashtext('weir_query_service'))::int").value == 0) {
        throw std::runtime_error("this database is in use by another run of this program");
    }
    schema_is_ours_ = true;
    keeper_->run_text("SET client_min_messages = warning");
    keeper_->run_text(drop_schemas(), 120s);
    for (std::uint32_t number = 0; number <= tenants_; ++number) {
        auto const tenant = static_cast<Tenant>(number);
        keeper_->run_text("CREATE SCHEMA \"" + schema_of(tenant) + "\"");
        keeper_->run_text(see_ledger_of(tenant));
        // Where there are tenants, nobody has nothing.
        for (std::string const& sql : ledger_script(tenant, number == 0 && tenants_ > 0 ? 0 : accounts_)) {
            keeper_->run_text(sql, 120s);
        }
    }
    keeper_->run_text("RESET search_path");

    served_ = parameters_;
    if (reach_ == Reach::through_relay) {
        if (!relay_) {
            relay_ = std::make_unique<Relay>(keeper_->peer());
        }
        PgParameters const way = keeper_->by_way_of(relay_->port());
        served_.insert(served_.end(), way.begin(), way.end());
    }
}

Audit PgBackend::audit(Tenant tenant) {
    return with_keeper([&](Conn& keeper) {
        keeper.run_text(see_ledger_of(tenant));
        return read_audit([&](char const* sql) { return keeper.run_text(sql); });
    });
}

void PgBackend::clean_up() noexcept {
    if (!schema_is_ours_ || !keeper_) {
        return;  // not ours to drop, or the server is gone; then the next run replaces it
    }
    try {
        keeper_->run_text("SET lock_timeout = '2s'");  // a request that hangs must not make us hang
        keeper_->run_text(drop_schemas());
    } catch (std::exception const&) {
        // Again, the next run replaces it.
    }
}

void PgBackend::run(Conn& conn, Operation& operation) {
    while (operation.advance(conn.run(operation.statement()))) {
    }
}

asio::awaitable<void> PgBackend::async_run(Conn& conn, Operation& operation) {
    for (bool more = true; more;) {
        // Not in the loop's condition: g++ 12 miscompiles a co_await there.
        Outcome const outcome = co_await conn.async_run(operation.statement());
        more = operation.advance(outcome);
    }
}

PgConn PgBackend::open(Tenant tenant) {
    Conn conn = Conn::open(served_);
    if (tenant != Tenant::nobody) {
        conn.run_text(see_ledger_of(tenant));
    }
    return conn;
}

asio::awaitable<std::unique_ptr<PgConn>> PgBackend::async_open(Tenant tenant) {
    auto conn = std::make_unique<Conn>(co_await Conn::async_open(served_));
    if (tenant != Tenant::nobody) {
        std::string const sql = see_ledger_of(tenant);
        co_await conn->async_run_text(sql);
    }
    co_return conn;
}

asio::awaitable<void> PgBackend::async_close(std::unique_ptr<Conn> conn) {
    conn.reset();  // sends a last word and waits for nothing
    co_return;
}

}  // namespace query_service

#endif
