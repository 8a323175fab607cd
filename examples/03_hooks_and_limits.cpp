// A connector as an object, with a say in what becomes of a connection; and what a pool at its limit answers.
#include <sqlite3.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <weir/pool.hpp>

using namespace std::chrono_literals;

struct CloseDb {
    void operator()(sqlite3* db) const { sqlite3_close(db); }
};
using Db = std::unique_ptr<sqlite3, CloseDb>;

void run(Db& db, char const* sql) {
    if (sqlite3_exec(db.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
        throw std::runtime_error{sqlite3_errmsg(db.get())};
    }
}

struct Connector {
    Db connect() const {
        sqlite3* raw = nullptr;
        if (sqlite3_open(":memory:", &raw) != SQLITE_OK) throw std::runtime_error{"cannot open a database"};
        std::cout << "  opened\n";
        return Db{raw};
    }

    /// On every return, before anyone else can see it. False, or an exception, would close it.
    bool recycle(Db& db) const {
        bool const left_open = sqlite3_get_autocommit(db.get()) == 0;
        if (left_open) {
            std::cout << "  rolled back what a client left open\n";
            run(db, "ROLLBACK");
        }
        return true;
    }

    /// Once for each, at its end.
    void close(Db&) const { std::cout << "  closed\n"; }
};

int main() {
    // One connection stays for ever, one more for a minute after its last use; nobody waits longer than 50 ms.
    weir::Pool<Db> pool{Connector{}, {.size = {.low = 1, .high = 2}, .idle = {.ttl = 1min}, .wait = {.timeout = 50ms}}};

    std::cout << "a client forgets its transaction:\n";
    run(*pool.acquire(), "BEGIN");
    run(*pool.acquire(), "BEGIN");  // the same connection, and none the worse: a second BEGIN would have been an error

    std::cout << "both connections are taken:\n";
    auto first = pool.acquire();
    auto second = pool.acquire();
    std::cout << "  now: " << pool.try_acquire().error().message() << "\n"
              << "  in 10 ms: " << pool.try_acquire_for(10ms).error().message() << "\n";
    try {
        auto third = pool.acquire();
    } catch (boost::system::system_error const& error) {
        std::cout << "  in 50 ms: " << error.what() << "\n";
        if (error.code() != weir::Errc::timed_out) return 1;
    }

    std::cout << "one is broken:\n";
    second.discard();
    std::cout << "  open: " << pool.stats().open << "\n";

    std::cout << "the end:\n";
    first.release();
    return pool.close(1s) ? 0 : 1;
}
