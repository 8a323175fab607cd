// Scratch objects: four threads write lines with streams, which are dear to make and easy to clear.

#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <locale>
#include <sstream>
#include <string>
#include <thread>
#include <vector>
#include <weir/object_pool.hpp>

namespace {

std::ostringstream make_stream() {
    std::ostringstream stream;
    stream.imbue(std::locale::classic());
    return stream;
}

void clear(std::ostringstream& stream) {
    stream.str({});
    stream.clear();
}

weir::ObjectPool<std::ostringstream> streams{make_stream, clear};

std::string line(int number) {
    auto stream = streams.acquire();  // this thread's own from last time; never waits
    *stream << "line " << std::setw(6) << std::setfill('0') << number;
    return stream->str();
}  // here it goes back, and is reset

}  // namespace

int main() {
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([i] {
            for (int k = 0; k < 1000; ++k)
                if (line(i * 1000 + k).size() != 11) std::abort();
        });
    }
    for (auto& thread : threads) thread.join();

    streams.trim();  // what nobody uses until the next one goes; or, in the background: {.trim_every = 30s}
    auto const freed = streams.trim();
    auto const stats = streams.stats();
    std::cout << line(7) << "; for 4000 lines " << stats.made << " streams were made, and " << freed << " trimmed\n";
    return freed == stats.made ? 0 : 1;
}
