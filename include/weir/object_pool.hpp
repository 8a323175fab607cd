#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <exception>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <weir/detail/config.hpp>
#include <weir/detail/object_core.hpp>
#include <weir/detail/trimmer.hpp>
#include <weir/fwd.hpp>
#include <weir/stats.hpp>

namespace weir {

/// Bounds on what an object pool keeps.
struct ObjectPoolOptions {
    /// How many objects may be idle at once; one more that comes back is destroyed. None: no bound. 0: none is kept.
    ///
    /// A bound below how many are in use at a time costs: while more objects exist than may be idle, none is kept by a
    /// thread for itself.
    std::optional<std::size_t> max_idle = std::nullopt;
    /// How often to trim in the background; 0: never.
    std::chrono::steady_clock::duration trim_every{};

    void validate() const {
        if (trim_every < trim_every.zero())
            throw std::invalid_argument{"weir: ObjectPool::Options::trim_every must not be negative"};
    }
};

namespace detail {

template <class T>
struct MakeByDefault {
    T operator()() const { return T(); }
};

struct ResetNothing {};

// What must hold of `make` and `reset`, in a place where it is said before anything else complains.
template <class T, class Make, class Reset>
struct ObjectHooks {
    static constexpr bool resets = !std::is_same_v<Reset, ResetNothing>;

    static_assert(
        !std::is_same_v<Make, MakeByDefault<T>> || std::is_default_constructible_v<T>,
        "this type has no default constructor: give the object pool a make, callable with () and returning one");
    static_assert(
        requires(Make & make) { T(make()); },
        "this is no make for an object pool: it must be callable with () and return an object of its type");
    static_assert(
        !resets || requires(Reset & reset, T& object) { reset(object); },
        "this is no reset for an object pool: it must be callable with (T&), the object that comes back");
};

// What an object pool and its leases have in common that knows the type of the objects.
template <class T, class Make, class Reset>
class TypedObjectCore final : public ObjectCore {
    using Hooks = ObjectHooks<T, Make, Reset>;

public:
    TypedObjectCore(Make make, Reset reset, std::optional<std::size_t> max_idle)
        : ObjectCore{max_idle, Hooks::resets ? Returns::after_reset : Returns::as_they_are},
          make_{std::move(make)},
          reset_{std::move(reset)} {}

private:
    void* create() override { return new T(make_()); }
    bool clean(void* object) noexcept override {
        if constexpr (Hooks::resets) {
            try {
                reset_(*static_cast<T*>(object));
            } catch (...) {
                return false;
            }
        }
        return true;
    }
    void destroy(void* object) noexcept override { delete static_cast<T*>(object); }

    Make make_;
    Reset reset_;
};

}  // namespace detail

/// Objects that are dear to make, for use now and then: parsers, arenas, big vectors, compression contexts.
///
/// There are always enough: `acquire` lends an idle one, else it makes one. The latest returned on this thread comes
/// first, then others that nobody needs, then what other threads keep for themselves. An acquire and a return by a thread
/// that does no more than that are a handful of plain loads and stores, without a locked instruction.
///
/// Memory comes back by `trim`, as in Go's sync.Pool: an object that nobody uses is destroyed by the second trim after
/// its return. What a thread has returned is found by others when the thread has ended, too.
///
/// What threads keep for themselves others get at by membarrier(2). Where the system has none from the beginning threads
/// keep nothing. A process that forbids itself the call later, in a sandbox, must not have used a pool before: what other
/// threads have then is not trimmed, may exceed `max_idle`, and outlives the pool.
///
/// `make` and `reset` are called from several threads at once. No lock is held meanwhile, nor while an object is
/// destroyed: all may use the pool.
///
/// Distinct objects: safe. Shared objects: safe, but for construction and destruction. Leases may outlive the pool:
/// their objects are then destroyed when they come back.
//
// What is shared with the pool of connections, and what is not. The depot behind the threads' slots is made of that
// one's parts: the same stack on a 128-bit head, parted by processor, the same arena. Its core is not: that one counts
// what is open in one step with every opening, lines up who waits, closes in order and tells when it is done, for which
// each resource has a slot of 256 bytes and each return an exchange. Objects need none of that; they may be many, small
// and of any number, and what remains, to keep them near and to let them go again, is another question. Nor has that
// one's place in front of each processor's stack a use here: its two exchanges cost four times what a thread-local list
// does (see bench/README.md), and a slot that belongs to a thread needs none.
template <class T>
class ObjectPool {
    static_assert(
        std::is_object_v<T> && !std::is_array_v<T> && std::is_same_v<T, std::remove_cv_t<T>>,
        "an object pool holds objects: write weir::ObjectPool<T> for a T that is no reference, array or const");

public:
    using value_type = T;
    using Options = ObjectPoolOptions;
    using Stats = ObjectStats;
    class Lease;

    /// Objects are made by `T()`.
    ObjectPool() : ObjectPool{Options{}} {}
    explicit ObjectPool(Options options) : ObjectPool{detail::MakeByDefault<T>{}, options} {}

    /// Objects are made by `make()`; what it throws leaves `acquire`, and nothing is lost. It may return an object that
    /// cannot be moved.
    ///
    /// Throws `std::invalid_argument` naming the option that is wrong.
    template <class Make>
        requires(!detail::Executes<Make>)
    explicit ObjectPool(Make make, Options options = {})
        : ObjectPool{std::move(make), detail::ResetNothing{}, options} {}

    /// And `reset(T&)` is called on every return, by who returns, but for those after the pool's end; if it throws the
    /// object is destroyed.
    template <class Make, class Reset>
        requires(!detail::Executes<Make>)
    ObjectPool(Make make, Reset reset, Options options = {})
        : core_{core_of(std::move(make), std::move(reset), options)} {
        if (options.trim_every > options.trim_every.zero()) trimmer_.emplace(options.trim_every, Cores{core_.get()});
    }

    /// With an executor of the user's (Asio's, or anything with a member `execute`) for `trim_every`: trims run on it,
    /// and objects are destroyed there. It must be usable for as long as the pool lives; it is given no work to keep it
    /// from ending, and a trim that it has not run when the pool ends does nothing.
    ///
    /// Without one trims run on a thread that all such pools share, which is started with the first object that any of
    /// them makes and joined when the last of them ends; the pool's destructor waits for a trim that is under way.
    template <detail::Executes Executor, class Make, class Reset>
    ObjectPool(Executor executor, Make make, Reset reset, Options options = {})
        : core_{core_of(std::move(make), std::move(reset), options)} {
        if (options.trim_every > options.trim_every.zero())
            trimmer_.emplace(options.trim_every, Cores{core_.get()}, std::move(executor));
    }
    template <detail::Executes Executor, class Make>
    ObjectPool(Executor executor, Make make, Options options = {})
        : ObjectPool{std::move(executor), std::move(make), detail::ResetNothing{}, options} {}

    ObjectPool(ObjectPool const&) = delete;
    ObjectPool& operator=(ObjectPool const&) = delete;

    /// Destroys what is idle; what is lent is destroyed when it comes back.
    ~ObjectPool() = default;

    /// Lends an idle object, or makes one. Never waits for a return; throws what `make` throws, or `std::bad_alloc` when
    /// there is no memory to make one in.
    [[nodiscard]] Lease acquire() {
        void* const object = core_->acquire();
        return Lease{static_cast<T*>(object), *core_};
    }

    /// Destroys on this thread what has been idle since the last trim but one, and says how many that were. What has come
    /// back since the last one is spared, and destroyed by the next trim if nobody uses it meanwhile.
    std::size_t trim() noexcept { return core_->trim(); }

    Stats stats() const noexcept { return core_->stats(); }

private:
    using Cores = detail::Trimmer::Cores;

    template <class Make, class Reset>
    static detail::ObjectCore::Handle core_of(Make make, Reset reset, Options const& options) {
        options.validate();
        return detail::ObjectCore::Handle{
            new detail::TypedObjectCore<T, Make, Reset>(std::move(make), std::move(reset), options.max_idle)};
    }

    detail::ObjectCore::Handle const core_;
    std::optional<detail::Trimmer> trimmer_;  // ends first
};

/// Exclusive use of one object, given back by its destructor. As `weir::Lease`: move-only, like `std::unique_ptr`, and
/// like it empty when default-made or moved from.
///
/// Distinct objects: safe. Shared objects: unsafe. It may be given back on any thread, and after the pool has gone.
//
// Not that class itself: its resource lies in a slot of the core, beside all that a connection needs, and a return goes
// through a virtual function. Here the object is as `new` made it.
template <class T>
class [[nodiscard]] ObjectPool<T>::Lease {
public:
    Lease() = default;
    Lease(Lease&& other) noexcept : object_{std::exchange(other.object_, nullptr)}, core_{other.core_} {}

    /// The object it held is given back. Moving a lease into itself changes nothing.
    Lease& operator=(Lease&& other) noexcept {
        if (this == &other) return *this;
        release();
        object_ = std::exchange(other.object_, nullptr);
        core_ = other.core_;
        return *this;
    }

    /// Gives the object back, as `release` does.
    ~Lease() { release(); }

    T& operator*() const {
        WEIR_ASSERT(object_ && "an empty lease has no object");
        return *object_;
    }
    T* operator->() const {
        WEIR_ASSERT(object_ && "an empty lease has no object");
        return object_;
    }
    T* get() const noexcept { return object_; }
    explicit operator bool() const noexcept { return object_ != nullptr; }

    /// Gives the object back now, after its reset; destroys it if that throws, or when the pool has gone. Never throws,
    /// never waits. Nothing happens when empty.
    void release() noexcept {
        if (T* const object = std::exchange(object_, nullptr)) core_->release(object);
    }

    /// Has the object destroyed: it is of no more use. Nothing happens when empty.
    void discard() noexcept {
        if (T* const object = std::exchange(object_, nullptr)) core_->discard(object);
    }

    /// Takes the object out of the pool for good. Throws what moving it throws; then nothing has changed.
    T detach() requires std::move_constructible<T> {
        WEIR_ASSERT(object_ && "an empty lease has no object");
        struct Detached {
            Lease& lease;
            int uncaught = std::uncaught_exceptions();
            ~Detached() {
                if (std::uncaught_exceptions() > uncaught) return;
                lease.core_->detached(std::exchange(lease.object_, nullptr));
            }
        } const done{*this};
        return T(std::move(*object_));
    }

private:
    friend ObjectPool;

    Lease(T* object, detail::ObjectCore& core) noexcept : object_{object}, core_{&core} {}

    T* object_ = nullptr;
    detail::ObjectCore* core_ = nullptr;
};

}  // namespace weir
