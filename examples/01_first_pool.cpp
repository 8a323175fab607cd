// The first pool: eight threads share at most four connections to a SQLite file.
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
#include <weir/pool.hpp>

struct CloseDb {
    void operator()(sqlite3* db) const { sqlite3_close(db); }
};
using Db = std::unique_ptr<sqlite3, CloseDb>;

Db open_db(std::string const& path) {
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
    int const code = sqlite3_exec(db.get(), sql, take, &number, nullptr);
    if (code != SQLITE_OK) throw std::runtime_error{sqlite3_errmsg(db.get())};
    return number;
}

int main() {
    auto const directory = std::filesystem::temp_directory_path() / ("weir_first_pool_" + std::to_string(getpid()));
    std::filesystem::create_directory(directory);
    std::string const path = directory / "visits.db";

    // What opens one connection is all the pool needs to know.
    weir::Pool<Db> pool{[&] { return open_db(path); }, {.size = {.high = 4}}};

    query(*pool.acquire(), "CREATE TABLE visit (worker INTEGER)");
    {
        std::vector<std::jthread> workers;
        workers.reserve(8);
        for (int i = 0; i < 8; ++i) {
            workers.emplace_back([&pool] {
                for (int visit = 0; visit < 10; ++visit) {
                    auto db = pool.acquire();  // an idle one, a new one, or the next that comes back
                    query(*db, "INSERT INTO visit VALUES (1)");
                }  // here it goes back, for somebody else
            });
        }
    }
    int const visits = query(*pool.acquire(), "SELECT count(*) FROM visit");
    std::cout << visits << " visits over " << pool.stats().connected << " connections\n";

    bool const drained = pool.close();
    std::filesystem::remove_all(directory);
    return drained && visits == 80 ? 0 : 1;
}
