#pragma once
// Many hosts to connect to, each with a mind of its own.

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>
#include <weir/keyed_pool.hpp>

namespace weir::test {

using namespace std::chrono_literals;

enum class Host { works, refuses, hangs };

/// What all copies of a connector share.
struct HostLedger {
    struct Entry {
        Host host = Host::works;
        std::size_t calls = 0;
        std::size_t hanging = 0;
        bool fit = true;
        bool close_hangs = false;
        bool closing = false;
    };

    std::mutex mutex;
    std::condition_variable changed;
    std::map<std::string, Entry> hosts;
    std::size_t open = 0;
    std::size_t max_open = 0;
    std::size_t opened = 0;
    std::size_t closed = 0;
    std::size_t destroyed = 0;
    std::size_t faults = 0;
    std::vector<std::string> close_order;
};

/// A connection that knows its host. Move-only.
class HostConn {
public:
    HostConn(std::shared_ptr<HostLedger> ledger, std::string host, std::size_t id)
        : ledger_{std::move(ledger)}, host_{std::move(host)}, id_{id} {}
    HostConn(HostConn&&) noexcept = default;
    HostConn& operator=(HostConn&&) = delete;
    ~HostConn() {
        if (!ledger_) return;
        std::lock_guard const lock{ledger_->mutex};
        if (!closed_) ++ledger_->faults;
        ++ledger_->destroyed;
        --ledger_->open;
        ledger_->changed.notify_all();
    }

    std::string const& host() const noexcept { return host_; }
    std::size_t id() const noexcept { return id_; }

private:
    friend class Hosts;
    std::shared_ptr<HostLedger> ledger_;
    std::string host_;
    std::size_t id_;
    bool closed_ = false;
};

/// The connector; copies are the same. Counts from before a connect until after the resource is destroyed.
class Hosts {
public:
    HostConn connect(std::string const& host) {
        auto& book = *ledger_;
        std::unique_lock lock{book.mutex};
        auto& entry = book.hosts[host];
        ++entry.calls;
        book.max_open = std::max(book.max_open, ++book.open);
        ++entry.hanging;
        book.changed.notify_all();
        book.changed.wait(lock, [&] { return entry.host != Host::hangs; });
        --entry.hanging;
        if (entry.host == Host::refuses) {
            --book.open;
            throw boost::system::system_error{boost::asio::error::connection_refused};
        }
        return {ledger_, host, ++book.opened};
    }

    bool check(HostConn& conn) {
        std::lock_guard const lock{ledger_->mutex};
        return ledger_->hosts[conn.host_].fit;
    }

    void close(HostConn& conn) {
        std::unique_lock lock{ledger_->mutex};
        auto& entry = ledger_->hosts[conn.host_];
        entry.closing = true;
        ledger_->changed.notify_all();
        ledger_->changed.wait(lock, [&] { return !entry.close_hangs; });
        entry.closing = false;
        if (std::exchange(conn.closed_, true)) ++ledger_->faults;
        ++ledger_->closed;
        ledger_->close_order.push_back(conn.host_);
    }

    void set(std::string const& host, Host how) {
        std::lock_guard const lock{ledger_->mutex};
        ledger_->hosts[host].host = how;
        ledger_->changed.notify_all();
    }
    /// What its checks say from now on.
    void spoil(std::string const& host) {
        std::lock_guard const lock{ledger_->mutex};
        ledger_->hosts[host].fit = false;
    }
    /// Whether its closes hang from now on.
    void hang_closes(std::string const& host, bool hang) {
        std::lock_guard const lock{ledger_->mutex};
        ledger_->hosts[host].close_hangs = hang;
        ledger_->changed.notify_all();
    }
    [[nodiscard]] bool await_closing(std::string const& host) {
        std::unique_lock lock{ledger_->mutex};
        return ledger_->changed.wait_for(lock, 30s, [&] { return ledger_->hosts[host].closing; });
    }
    [[nodiscard]] bool await_hanging(std::string const& host, std::size_t count) {
        std::unique_lock lock{ledger_->mutex};
        return ledger_->changed.wait_for(lock, 30s, [&] { return ledger_->hosts[host].hanging == count; });
    }

    std::size_t calls(std::string const& host) const {
        std::lock_guard const lock{ledger_->mutex};
        return ledger_->hosts[host].calls;
    }
    std::size_t open() const { return read(&HostLedger::open); }
    std::size_t max_open() const { return read(&HostLedger::max_open); }
    std::size_t closed() const { return read(&HostLedger::closed); }
    std::vector<std::string> close_order() const { return read(&HostLedger::close_order); }

    /// Each was closed once, then destroyed once.
    void expect_settled() const {
        std::lock_guard const lock{ledger_->mutex};
        EXPECT_EQ(ledger_->faults, 0u);
        EXPECT_EQ(ledger_->closed, ledger_->opened);
        EXPECT_EQ(ledger_->destroyed, ledger_->opened);
        EXPECT_EQ(ledger_->open, 0u);
    }

private:
    template <class T>
    T read(T HostLedger::*what) const {
        std::lock_guard const lock{ledger_->mutex};
        return (*ledger_).*what;
    }

    std::shared_ptr<HostLedger> ledger_ = std::make_shared<HostLedger>();
};

template <class... Policies>
using HostPool = KeyedPool<std::string, HostConn, Policies...>;

/// Rule Z, of a keyed pool whose leases are gone: and no key is left.
template <class Pool>
void expect_ended(Pool& pool, Hosts const& hosts) {
    EXPECT_TRUE(pool.close(20s));
    auto const stats = pool.stats();
    EXPECT_EQ(stats.open + stats.connecting + stats.idle + stats.leased + stats.closing + stats.waiting, 0u);
    std::size_t keys = 0;
    pool.for_each([&](auto const&, Stats const&) { ++keys; });
    EXPECT_EQ(keys, 0u);
    hosts.expect_settled();
}

}  // namespace weir::test
