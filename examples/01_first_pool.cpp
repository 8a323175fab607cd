// The first pool: eighty threads share at most four connections to a SQLite file.
#include <sqlite3.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
#include <weir/pool.hpp>

namespace asio = boost::asio;
using namespace std::chrono_literals;

struct CloseDb {
    void operator()(sqlite3* db) const { sqlite3_close(db); }
};
using Db = std::unique_ptr<sqlite3, CloseDb>;

Db open_db(std::filesystem::path const& path) {
    sqlite3* raw = nullptr;
    int const code = sqlite3_open(path.c_str(), &raw);
    Db db{raw};
    if (code != SQLITE_OK) throw std::runtime_error{sqlite3_errmsg(raw)};
    sqlite3_busy_timeout(raw, 5000);  // ms; writers take turns
    sqlite3_exec(raw, "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr);
    return db;
}

/// Runs `sql` and returns the first number it yields.
int query(Db& db, char const* sql) {
    int number = 0;
    auto const take = [](void* out, int, char** columns, char**) {
        *static_cast<int*>(out) = std::stoi(columns[0]);
        return 0;
    };
    if (sqlite3_exec(db.get(), sql, take, &number, nullptr) != SQLITE_OK)
        throw std::runtime_error{sqlite3_errmsg(db.get())};
    return number;
}

auto const directory = std::filesystem::temp_directory_path() / ("weir_first_pool_" + std::to_string(getpid()));

// What opens one connection is all the pool needs to know.
weir::Pool<Db> pool{[] { return open_db(directory / "visits.db"); }, {.size = {.high = 4}, .idle = {.ttl = 30s}}};

void visit() {
    auto db = pool.acquire();  // an idle one, a new one, or the next that comes back
    query(*db, "INSERT INTO visit DEFAULT VALUES");
}  // here it goes back, for somebody else

asio::awaitable<int> count_visits() {
    auto db = co_await pool.async_acquire();  // the same line, the same rules, no thread blocked
    co_return query(*db, "SELECT count(*) FROM visit");
}

int main() {
    std::filesystem::create_directory(directory);
    query(*pool.acquire(), "CREATE TABLE visit (at TEXT DEFAULT CURRENT_TIMESTAMP)");
    {
        std::vector<std::jthread> workers(80);
        for (auto& worker : workers) worker = std::jthread{[] { visit(); }};
    }
    asio::io_context io;
    auto visits = asio::co_spawn(io, count_visits(), asio::use_future);
    io.run();
    int const counted = visits.get();
    std::cout << counted << " visits over " << pool.stats().connected << " connections\n";
    bool const drained = pool.close();
    std::filesystem::remove_all(directory);
    return drained && counted == 80 ? 0 : 1;
}
