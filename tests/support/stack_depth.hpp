#pragma once
// Whether something recurses: how far apart on the stack one place runs, thread by thread.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

namespace weir::test {

/// Probed at the place that might recurse. Ten thousand levels of anything are far deeper than `shallow`.
class StackDepth {
public:
    /// A few calls deep, with room for the large frames of sanitizers.
    static constexpr std::size_t shallow = 128 * 1024;

    void probe() {
        // The frame, not a variable: sanitizers keep variables elsewhere.
        auto const address = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
        std::lock_guard const lock{mutex_};
        auto const [entry, first] = seen_.try_emplace(std::this_thread::get_id(), address, address);
        entry->second.first = std::min(entry->second.first, address);
        entry->second.second = std::max(entry->second.second, address);
    }

    std::size_t deepest() const {
        std::lock_guard const lock{mutex_};
        std::size_t deepest = 0;
        for (auto const& [thread, range] : seen_) deepest = std::max<std::size_t>(deepest, range.second - range.first);
        return deepest;
    }

private:
    std::mutex mutable mutex_;
    std::map<std::thread::id, std::pair<std::uintptr_t, std::uintptr_t>> seen_;
};

}  // namespace weir::test
