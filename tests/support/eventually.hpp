#pragma once
// Waiting for another thread's progress, for want of a gate to wait at.

#include <chrono>
#include <thread>

namespace weir::test {

/// Whether the condition comes true within a time generous enough for sanitizers and emulators.
template <class Condition>
[[nodiscard]] bool eventually(Condition condition,
                              std::chrono::steady_clock::duration patience = std::chrono::seconds{30}) {
    auto const give_up = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > give_up) return false;
        std::this_thread::sleep_for(std::chrono::microseconds{200});
    }
    return true;
}

}  // namespace weir::test
