#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <weir/detail/hand_over.hpp>
#include <weir/lifetime.hpp>

namespace weir {

namespace detail {

struct SlotBase;

/// The pool, for those who tell it something about a resource of its. Each says nothing unless that is still there. What
/// it returns ends when nothing of the pool is touched any more: after the caller has let go of it.
class ResourceEvents {
public:
    virtual HandOver evict(SlotBase&, std::uint64_t id) noexcept = 0;
    virtual HandOver limit(SlotBase&, std::uint64_t id, std::size_t most) noexcept = 0;
    virtual HandOver drain(SlotBase&, std::uint64_t id) noexcept = 0;

protected:
    ~ResourceEvents() = default;
};

/// A resource, for somebody who does not keep it.
struct ResourceHandle {
    std::weak_ptr<ResourceEvents> pool{};
    SlotBase* slot = nullptr;  // which lives as long as the pool's core
    std::uint64_t id = 0;

    template <class... Args>
    void tell(HandOver (ResourceEvents::*what)(SlotBase&, std::uint64_t, Args...) noexcept,
              Args... args) const noexcept {
        HandOver last;
        if (auto const there = pool.lock()) last = (*there.*what)(*slot, id, args...);
    }
};

}  // namespace detail

/// Tells a pool that a resource of its is past use, as when its peer has hung up while it lay idle.
///
/// A connector may keep the one it is given for as long as it likes: it holds nothing back, and does nothing once the
/// resource or the pool has gone. Thread-safe; its copies are all the same.
class Evictor {
public:
    Evictor() = default;

    /// Has the resource closed (`closed_unhealthy`) if it is idle. Whoever holds it keeps it, and its `recycle` is to
    /// find it unfit; in a pool with `Upkeep` it is closed at its return at the latest, and in a `SharedPool` nobody else
    /// gets it. Does not wait. The `close` hook is not called on this thread.
    void evict() const noexcept { resource_.tell(&detail::ResourceEvents::evict); }

    explicit Evictor(detail::ResourceHandle resource) noexcept : resource_{std::move(resource)} {}

private:
    detail::ResourceHandle resource_{};
};

/// Tells a shared pool how a resource of its may be used, as the peer says so while it is.
///
/// A connector may keep the one it is given for as long as it likes: it holds nothing back, and does nothing once the
/// resource or the pool has gone, nor in a pool that is not a `SharedPool`. Thread-safe; its copies are all the same.
class Streams {
public:
    Streams() = default;

    /// From now on so many may use the resource at once, as an HTTP/2 peer's SETTINGS_MAX_CONCURRENT_STREAMS says. More
    /// than before: who waits is served. Fewer: those who use it go on. 0: nobody gets it until it is raised, not even who
    /// opened it.
    void limit(std::size_t most) const noexcept { resource_.tell(&detail::ResourceEvents::limit, most); }

    /// From now on nobody else gets the resource, as after an HTTP/2 peer's GOAWAY. Those who use it go on, and the last
    /// closes it (`closed_stale`); another may be opened at once. One that is still being opened is for whoever it was
    /// opened for alone, and one that is being checked goes.
    void drain() const noexcept { resource_.tell(&detail::ResourceEvents::drain); }

    explicit Streams(detail::ResourceHandle resource) noexcept : resource_{std::move(resource)} {}

private:
    detail::ResourceHandle resource_{};
};

/// What a connector is told about the resource it is to open.
///
/// A connector is anything callable with `()` or `(ConnectContext const&)`, or an object with a member `connect` that
/// is. It returns `Conn`, `boost::system::result<Conn>`, `boost::asio::awaitable<Conn>` or
/// `boost::asio::awaitable<result<Conn>>`. It is called from several threads at once.
///
/// A plain one may block its thread: in a sync acquire the caller's, else one of the pool's own workers, at most 32,
/// never a thread of the user's executor. An awaitable one runs on the pool's executor, in a strand of its own, and
/// receives terminal cancellation when its time is up or the pool closes.
///
/// An object may also have these hooks, each plain or awaitable. What they throw never leaves the pool, but for what
/// `apply` throws, which is the answer to the acquire that asked for that setting:
///
/// | member | called | result |
/// |---|---|---|
/// | `bool check(Conn&)` | before a lease or while idle, as the upkeep policy says | false or throw: closed |
/// | `void apply(Conn&, Setting const&)` | a lease needs this setting | throw: closed |
/// | `void reset(Conn&)` | a lease needs another setting, or none | throw: closed, and a new one is opened |
/// | `bool recycle(Conn&)` | on every return, before anyone else can see it | false or throw: closed |
/// | `void close(Conn&)` | once per resource, before its destructor | |
///
/// A plain `recycle` or `close` at a return runs on the thread that gives back, so it should be short; other closes
/// run where the pool decides. A plain `check`, `apply` or `reset` runs where a plain connect for that acquire would.
/// An awaitable hook has the connect policy's timeout.
struct ConnectContext {
    /// Of the pool that asks. Copies of it hold back the end of a close.
    Lifetime lifetime{};
    /// When the attempt will have failed.
    std::chrono::steady_clock::time_point deadline{};
    /// The pool's executor: what a resource with I/O of its own is to be made on. (An awaitable connector's own
    /// executor, `co_await this_coro::executor`, is a strand on it that serves the one attempt.)
    boost::asio::any_io_executor executor{};
    /// Of the resource that is being opened.
    Evictor evictor{};
    /// The same, where it is to be shared.
    Streams streams{};
};

/// The latest attempt that failed.
struct ConnectFailure {
    boost::system::error_code error{};
    std::string text{};  ///< what the connector said, for people
    std::chrono::steady_clock::time_point when{};
};

}  // namespace weir
