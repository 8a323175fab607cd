#pragma once
// Sees that a peer has hung up while nobody was using the connection.

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <weir/connector.hpp>
#include <weir/detail/workers.hpp>

namespace weir::adapters {

/// While it lives, and a peer closes or resets its connection, the pool is told to close what it has idle of that.
///
/// One thread watches for the whole program, from the first of these on, and sleeps as long as nobody hangs up. (On the
/// executor of the pool a watch would be work, and `run()` of a context would not return before the pool is closed.) A
/// connection costs one system call for all its life. Where the kernel has no room for another it goes unwatched, and
/// the check before a lease has to find out.
///
/// Movable. Distinct objects: safe. Shared objects: unsafe.
class HangupWatch {
public:
    HangupWatch() = default;

    /// The socket may be closed at any time, by whoever has opened it.
    HangupWatch(int socket, Evictor const& evictor)
        : heard_{std::make_unique<std::atomic<bool>>(false)},
          number_{Watcher::of_all().add(socket, {evictor, heard_.get()})} {}

    HangupWatch(HangupWatch&& other) noexcept
        : heard_{std::move(other.heard_)}, number_{std::exchange(other.number_, 0)} {}
    HangupWatch& operator=(HangupWatch&& other) noexcept {
        std::swap(heard_, other.heard_);
        std::swap(number_, other.number_);
        return *this;
    }
    ~HangupWatch() {
        if (number_ != 0) Watcher::of_all().remove(number_);
    }

    /// Whether the peer has hung up, as far as that thread knows: for `recycle`, as it looks at memory only.
    bool heard() const noexcept { return heard_ && heard_->load(std::memory_order_relaxed); }

private:
    struct Watched {
        Evictor evictor{};
        std::atomic<bool>* heard = nullptr;  // the watch's, which removes this before it goes
    };

    class Watcher {
    public:
        // Never destroyed: pools may live as long as the program does.
        static Watcher& of_all() {
            static auto& only = *new Watcher;
            return only;
        }

        /// The number of the watch, or 0.
        std::uint64_t add(int socket, Watched const& watched) {
            std::lock_guard const lock{mutex_};
            auto const number = ++last_;
            // Once: what has hung up hangs up no more.
            epoll_event event{.events = EPOLLRDHUP | EPOLLONESHOT, .data = {.u64 = number}};
            watched_.emplace(number, watched);
            if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event) == 0) return number;
            // A connection may be made of one that is watched, and takes its place.
            if (errno == EEXIST && ::epoll_ctl(epoll_, EPOLL_CTL_MOD, socket, &event) == 0) return number;
            watched_.erase(number);
            return 0;
        }

        // The kernel forgets a socket when it is closed. It is not told to: the descriptor may have been closed behind
        // our back, and its number be another's. What it reports meanwhile is of nobody any more.
        void remove(std::uint64_t number) noexcept {
            std::lock_guard const lock{mutex_};
            watched_.erase(number);
        }

    private:
        Watcher() {
            if (epoll_ < 0) return;
            // The program's signals are for its own threads.
            sigset_t all{};
            sigset_t before{};
            ::sigfillset(&all);
            ::pthread_sigmask(SIG_SETMASK, &all, &before);
            // Where no thread is to be had nobody is told of anything.
            weir::detail::start_thread([this] { watch(); });
            ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
        }

        [[noreturn]] void watch() noexcept {
            std::array<epoll_event, 64> events{};
            for (;;) {
                int const ready = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
                for (int i = 0; i < ready; ++i) find(events[static_cast<std::size_t>(i)].data.u64).evict();
            }
        }

        // Of one that is watched no more, an evictor of nothing: its event was under way.
        Evictor find(std::uint64_t number) noexcept {
            std::lock_guard const lock{mutex_};
            auto const found = watched_.find(number);
            if (found == watched_.end()) return {};
            // Relaxed: a hint, which orders nothing.
            found->second.heard->store(true, std::memory_order_relaxed);
            return found->second.evictor;
        }

        int const epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
        std::mutex mutex_;  // protects the two below
        std::uint64_t last_ = 0;
        boost::unordered_flat_map<std::uint64_t, Watched> watched_;
    };

    std::unique_ptr<std::atomic<bool>> heard_{};  // where it stays when this is moved
    std::uint64_t number_ = 0;
};

}  // namespace weir::adapters
