// Where a client's connections come from: the pool, or a new one for each request. Both look alike to the clients.
#pragma once

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iomanip>
#include <memory>
#include <ostream>
#include <sstream>
#include <string>
#include <utility>
#include <weir/error.hpp>
#include <weir/lease.hpp>
#include <weir/lifetime.hpp>
#include <weir/pool.hpp>

#include "database.hpp"
#include "options.hpp"

namespace query_service {

/// Leases from one pool. `get` and `async_get` fail with `weir::Errc::closed` once it is closed.
template <class Backend>
class Pooled {
public:
    using Conn = typename Backend::Conn;
    using Handle = weir::Lease<Conn>;
    static constexpr char const* name = "pool";
    static constexpr bool is_pool = true;
    static constexpr std::chrono::seconds last_words{1};  // a pool that is drained has no client left at work

    Pooled(boost::asio::io_context& io, Backend& backend, Options const& options)
        : pool_(io.get_executor(), backend.connector(), settings(options)) {}

    Handle get(Tenant tenant) { return tenant == Tenant::nobody ? pool_.acquire() : pool_.acquire(tenant); }

    boost::asio::awaitable<Handle> async_get(Tenant tenant) {
        constexpr auto token = boost::asio::as_tuple(boost::asio::deferred);
        if (tenant == Tenant::nobody) {
            auto [error, lease] = co_await pool_.async_acquire(token);
            co_return checked(error, std::move(lease));
        }
        auto [error, lease] = co_await pool_.async_acquire(tenant, token);
        co_return checked(error, std::move(lease));
    }

    void put(Handle handle) { handle.release(); }

    boost::asio::awaitable<void> async_put(Handle handle) {
        handle.release();
        co_return;
    }

    /// Clients hold one: until the last of them has recorded its last request, the pool is not drained.
    weir::Lifetime lifetime() const { return pool_.lifetime(); }

    /// Nobody new is served, who holds a lease may end what it began. True when all were done in time.
    bool close(std::chrono::steady_clock::duration patience) { return pool_.close(patience); }

    void refresh() { pool_.refresh(); }
    void resize(std::size_t high) { pool_.resize(high); }

    std::uint64_t opened() const { return pool_.stats().connected; }
    std::uint64_t connects_tried() const {
        auto const stats = pool_.stats();
        return stats.connected + stats.connect_failed;
    }
    std::string counters() const {
        std::ostringstream out;
        out << pool_.stats();
        return out.str();
    }
    void dump(std::ostream& out) const { pool_.dump(out); }

    std::string gauges() const {
        auto const stats = pool_.stats();
        std::ostringstream out;
        out << "open " << std::setw(3) << stats.open << "  idle " << std::setw(3) << stats.idle << "  leased "
            << std::setw(3) << stats.leased << "  waiting " << std::setw(4) << stats.waiting;
        return out.str();
    }

private:
    using Pool = weir::Pool<Conn, weir::SettingBuckets<Tenant>, weir::Upkeep, weir::Backoff>;

    static typename Pool::Options settings(Options const& options) {
        using std::chrono::duration_cast;
        using std::chrono::milliseconds;
        using std::chrono::seconds;
        return {.size = {.low = options.low, .high = options.high},
                .idle = {.ttl = seconds{30}},
                .wait = {.timeout = seconds{30}},
                // An outage is over half a second, at most, before the pool knows.
                .connect = {.timeout = seconds{5}, .max = milliseconds{500}},
                // One that has lain idle while the database went away is found out before it is lent.
                .upkeep = {.max_age = duration_cast<std::chrono::steady_clock::duration>(options.max_age),
                           .check_after_idle = milliseconds{500}}};
    }

    /// An async acquire hands on the connector's code; its words are with the pool.
    Handle checked(boost::system::error_code error, Handle lease) const {
        if (error) {
            auto const failure = pool_.last_connect_failure();
            throw DatabaseError{error, failure && failure->error == error ? failure->text : error.message()};
        }
        return lease;
    }

    Pool pool_;
};

/// What the pool is compared with: open, use, close, for every request.
template <class Backend>
class PerRequest {
public:
    using Conn = typename Backend::Conn;
    using Handle = std::unique_ptr<Conn>;
    static constexpr char const* name = "connection per request";
    static constexpr bool is_pool = false;
    static constexpr std::chrono::seconds last_words{30};  // a hundred connects may be under way, and all end first

    PerRequest(boost::asio::io_context&, Backend& backend, Options const&) : backend_(&backend) {}

    Handle get(Tenant tenant) {
        refuse_when_closed();
        ++tried_;
        auto handle = std::make_unique<Conn>(backend_->open(tenant));
        ++opened_;
        return handle;
    }

    boost::asio::awaitable<Handle> async_get(Tenant tenant) {
        refuse_when_closed();
        ++tried_;
        Handle handle = co_await backend_->async_open(tenant);
        ++opened_;
        co_return handle;
    }

    void put(Handle handle) { handle.reset(); }
    boost::asio::awaitable<void> async_put(Handle handle) { return backend_->async_close(std::move(handle)); }

    weir::Lifetime lifetime() const { return {}; }

    bool close(std::chrono::steady_clock::duration) {
        closed_ = true;
        return true;
    }

    std::uint64_t opened() const { return opened_; }
    std::uint64_t connects_tried() const { return tried_; }
    std::string counters() const { return {}; }
    void dump(std::ostream& out) const { out << name << ": there is no pool, " << opened_ << " opened so far\n"; }
    std::string gauges() const { return "opened " + std::to_string(opened_); }

private:
    void refuse_when_closed() const {
        if (closed_) {
            throw DatabaseError{weir::Errc::closed, "closed"};
        }
    }

    Backend* backend_;
    std::atomic<bool> closed_ = false;
    std::atomic<std::uint64_t> tried_ = 0;
    std::atomic<std::uint64_t> opened_ = 0;
};

}  // namespace query_service
