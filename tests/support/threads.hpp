#pragma once
// How many threads this program has, as the system tells.

#include "support/eventually.hpp"

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <unistd.h>

namespace weir::test {

/// 0 where that cannot be told.
inline std::size_t count_threads() {
    std::ifstream status{"/proc/self/status"};
    for (std::string word; status >> word;) {
        std::size_t count = 0;
        if (word == "Threads:" && status >> count) return count;
    }
    return 0;
}

/// With its first thread a sanitizer starts one of its own: so that this has been done. A thread that was joined is
/// counted until the system is done with it, so this waits until it has forgotten it.
inline void start_and_end_a_thread() {
    pid_t id = 0;
    std::thread{[&] { id = ::gettid(); }}.join();
    (void)eventually([&] { return !std::filesystem::exists("/proc/self/task/" + std::to_string(id)); });
}

}  // namespace weir::test
