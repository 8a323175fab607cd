// expect: this observer lacks one of the nine functions.*returned_overdue
#include <boost/system/error_code.hpp>
#include <chrono>
#include <cstdint>
#include <weir/pool.hpp>

#ifdef LEGAL
#define TIMED_OUT timed_out
#else
#define TIMED_OUT time_out
#endif

struct Watcher {
    using policy_slot = weir::slot::Observer;
    using duration = std::chrono::steady_clock::duration;

    void connected(duration) noexcept {}
    void connect_failed(boost::system::error_code) noexcept {}
    void acquired(duration) noexcept {}
    void released(duration) noexcept {}
    void closed(weir::Cause) noexcept {}
    void TIMED_OUT() noexcept {}
    void rejected() noexcept {}
    void overdue(std::uint64_t, duration) noexcept {}
    void returned_overdue(std::uint64_t, duration) noexcept {}
};

weir::Pool<int, Watcher> pool{[] { return 1; }};
