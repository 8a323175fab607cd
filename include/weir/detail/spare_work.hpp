#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <utility>

namespace weir::detail {

/// The work guard of an operation whose handler is being called, for the next one that the handler starts: most go on where
/// they are, and to give up one guard and make another is two exchanges of a word that all threads of a context count in.
///
/// Kept until the handler returns, as Asio's own operations do: until then the handler is work itself. Of one thread.
template <class Executor>
class SpareWork {
public:
    using Guard = boost::asio::executor_work_guard<Executor>;

    explicit SpareWork(Guard guard) noexcept : guard_{std::move(guard)}, outer_{std::exchange(innermost, this)} {}
    SpareWork(SpareWork const&) = delete;
    SpareWork& operator=(SpareWork const&) = delete;
    ~SpareWork() { innermost = outer_; }

    /// That of the innermost handler on this thread, where it is of use, else a new one.
    static Guard take(Executor const& executor) {
        if (innermost && innermost->guard_.owns_work() && innermost->guard_.get_executor() == executor)
            return std::move(innermost->guard_);
        return Guard{executor};
    }

private:
    static inline thread_local constinit SpareWork* innermost = nullptr;

    Guard guard_;
    SpareWork* const outer_;
};

}  // namespace weir::detail
