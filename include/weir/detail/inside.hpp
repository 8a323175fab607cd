#pragma once

namespace weir::detail {

/// Marks that this thread is running user code for a pool: a close from inside must not wait for itself.
class Inside {
public:
    explicit Inside(void const* core) noexcept : core_{core}, outer_{innermost} { innermost = this; }
    ~Inside() { innermost = outer_; }
    Inside(Inside const&) = delete;
    Inside& operator=(Inside const&) = delete;

    static bool of(void const* core) noexcept {
        for (Inside const* i = innermost; i; i = i->outer_)
            if (i->core_ == core) return true;
        return false;
    }

    /// The innermost on this thread, or nullptr.
    static Inside const* here() noexcept { return innermost; }

private:
    static inline thread_local Inside const* innermost = nullptr;

    void const* const core_;
    Inside const* const outer_;
};

}  // namespace weir::detail
