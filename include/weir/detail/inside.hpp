#pragma once

#include <atomic>
#include <cstdint>

namespace weir::detail {

/// Marks that this thread is running user code for a pool: a close from inside must not wait for itself.
class Inside {
public:
    /// What a pool is known by. Not its address: a handler may outlive its pool, and make another one there.
    using Name = std::uint64_t;

    static Name new_name() noexcept {
        static std::atomic<Name> last{0};
        return last.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: it orders nothing
    }

    explicit Inside(Name pool) noexcept : pool_{pool}, outer_{innermost} { innermost = this; }
    ~Inside() { innermost = outer_; }
    Inside(Inside const&) = delete;
    Inside& operator=(Inside const&) = delete;

    static bool of(Name pool) noexcept {
        for (Inside const* i = innermost; i; i = i->outer_)
            if (i->pool_ == pool) return true;
        return false;
    }

    /// The innermost on this thread, or nullptr.
    static Inside const* here() noexcept { return innermost; }

private:
    static inline thread_local Inside const* innermost = nullptr;

    Name const pool_;
    Inside const* const outer_;
};

}  // namespace weir::detail
