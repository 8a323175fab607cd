#pragma once

#include <algorithm>
#include <bit>
#include <boost/asio/buffer.hpp>
#include <chrono>
#include <cstddef>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>
#include <weir/detail/config.hpp>
#include <weir/detail/object_core.hpp>
#include <weir/detail/trimmer.hpp>
#include <weir/fwd.hpp>
#include <weir/stats.hpp>

namespace weir {

/// Sizes of a buffer pool's classes, and bounds on what it keeps.
struct BufferPoolOptions {
    /// Bytes of the smallest class; a power of two.
    std::size_t min = 512;
    /// Bytes of the largest class; a power of two. What is larger is made for the occasion, and not kept.
    std::size_t max = std::size_t{1} << 20;
    /// How many buffers of each class may be idle at once; see `ObjectPoolOptions`.
    std::optional<std::size_t> max_idle = std::nullopt;
    /// How often to trim in the background; 0: never.
    std::chrono::steady_clock::duration trim_every{};

    void validate() const {
        if (!std::has_single_bit(min))
            throw std::invalid_argument{"weir: BufferPool::Options::min must be a power of two"};
        if (!std::has_single_bit(max))
            throw std::invalid_argument{"weir: BufferPool::Options::max must be a power of two"};
        if (min > max)
            throw std::invalid_argument{"weir: BufferPool::Options::min must not be above BufferPool::Options::max"};
        if (trim_every < trim_every.zero())
            throw std::invalid_argument{"weir: BufferPool::Options::trim_every must not be negative"};
    }
};

namespace detail {

// Of one class, or of those that are too large for any.
class BufferCore final : public ObjectCore {
public:
    BufferCore(std::size_t capacity, std::optional<std::size_t> max_idle)
        : ObjectCore{max_idle, Returns::as_they_are}, capacity_{capacity} {}

    std::size_t capacity() const noexcept { return capacity_; }

    /// One of another size, counted here.
    void* make_large(std::size_t size) {
        // No object is larger, and rounded up to the alignment the largest numbers would be none: libstdc++ does not look.
        if (size > std::size_t{std::numeric_limits<std::ptrdiff_t>::max()}) throw std::bad_alloc{};
        void* const data = ::operator new(size, alignment);
        admit();
        return data;
    }

private:
    static constexpr std::align_val_t alignment{cache_line};

    void* create() override { return ::operator new(capacity_, alignment); }
    bool clean(void*) noexcept override { return true; }
    void destroy(void* data) noexcept override { ::operator delete(data, alignment); }

    std::size_t const capacity_;
};

}  // namespace detail

/// Memory for a message or a block of a file, in classes by size: powers of two.
///
/// An `ObjectPool` for each class, with all that is said there: there are always enough, the latest returned on this
/// thread comes first, `trim` gives back what nobody has used for a while. Buffers are neither zeroed nor constructed.
///
/// Distinct objects: safe. Shared objects: safe, but for construction and destruction. Buffers may outlive the pool.
class BufferPool {
public:
    using Options = BufferPoolOptions;
    class Buffer;

    /// What a class holds and has done.
    struct ClassStats : ObjectStats {
        std::size_t capacity = 0;  ///< of each of its buffers, in bytes; 0: of those too large for any class
    };

    BufferPool() : BufferPool{Options{}} {}

    /// Throws `std::invalid_argument` naming the option that is wrong.
    explicit BufferPool(Options const& options) : BufferPool{options, Made{}} {
        if (options.trim_every > options.trim_every.zero()) trimmer_.emplace(options.trim_every, cores());
    }

    /// With an executor of the user's for `trim_every`; see `ObjectPool`.
    template <detail::Executes Executor>
    explicit BufferPool(Executor executor, Options const& options = {}) : BufferPool{options, Made{}} {
        if (options.trim_every > options.trim_every.zero())
            trimmer_.emplace(options.trim_every, cores(), std::move(executor));
    }

    BufferPool(BufferPool const&) = delete;
    BufferPool& operator=(BufferPool const&) = delete;

    /// Frees what is idle; what is lent is freed when it comes back.
    ~BufferPool() = default;

    /// Lends a buffer with room for `size` bytes, whose contents are whatever they are. Never waits for a return; throws
    /// `std::bad_alloc` when there is no memory.
    [[nodiscard]] Buffer acquire(std::size_t size);

    /// Frees on this thread what has been idle since the last trim but one, and says how many buffers that were.
    std::size_t trim() noexcept {
        std::size_t count = 0;
        for (auto const& core : classes_) count += core->trim();
        return count;
    }

    /// Of each class, the smallest first, and of those too large for any.
    std::vector<ClassStats> class_stats() const {
        std::vector<ClassStats> all;
        all.reserve(classes_.size() + 1);
        for (auto const& core : classes_) all.push_back({core->stats(), core->capacity()});
        all.push_back({large_->stats(), 0});
        return all;
    }

    /// Of the class that serves such a size.
    ObjectStats stats(std::size_t size) const noexcept {
        auto const index = class_of(size);
        return index < classes_.size() ? classes_[index]->stats() : large_->stats();
    }

    /// Of all.
    ObjectStats stats() const noexcept {
        ObjectStats sum = large_->stats();
        for (auto const& core : classes_) {
            auto const stats = core->stats();
            sum.made += stats.made;
            sum.reused += stats.reused;
            sum.dropped += stats.dropped;
            sum.detached += stats.detached;
            sum.idle += stats.idle;
            sum.leased += stats.leased;
        }
        return sum;
    }

private:
    using Core = std::unique_ptr<detail::BufferCore, detail::ObjectCore::Close>;
    struct Made {};

    BufferPool(Options const& options, Made) : min_{(options.validate(), options.min)} {
        for (std::size_t capacity = options.min;; capacity *= 2) {
            classes_.emplace_back(new detail::BufferCore{capacity, options.max_idle});
            if (capacity == options.max) break;
        }
        large_.reset(new detail::BufferCore{0, 0});
    }

    // The number of classes: too large for any.
    std::size_t class_of(std::size_t size) const noexcept {
        if (size <= min_) return 0;
        auto const index = static_cast<std::size_t>(std::bit_width(size - 1) - std::bit_width(min_ - 1));
        return std::min(index, classes_.size());
    }

    detail::Trimmer::Cores cores() const {
        detail::Trimmer::Cores all;
        for (auto const& core : classes_) all.push_back(core.get());
        return all;
    }

    std::size_t const min_;
    std::vector<Core> classes_;
    Core large_;
    std::optional<detail::Trimmer> trimmer_;  // ends first
};

/// Exclusive use of a buffer, given back by its destructor. Move-only, like `std::unique_ptr`, and like it empty when
/// default-made or moved from.
///
/// It is what Asio's functions take for one buffer by `asio::buffer(buffer)`: its first `size()` bytes.
///
/// Distinct objects: safe. Shared objects: unsafe. It may be given back on any thread, and after the pool has gone.
class [[nodiscard]] BufferPool::Buffer {
public:
    Buffer() = default;
    Buffer(Buffer&& other) noexcept
        : data_{std::exchange(other.data_, nullptr)},
          size_{std::exchange(other.size_, 0)},
          capacity_{std::exchange(other.capacity_, 0)},
          core_{other.core_} {}

    /// The memory it held is given back. Moving a buffer into itself changes nothing.
    Buffer& operator=(Buffer&& other) noexcept {
        if (this == &other) return *this;
        release();
        data_ = std::exchange(other.data_, nullptr);
        size_ = std::exchange(other.size_, 0);
        capacity_ = std::exchange(other.capacity_, 0);
        core_ = other.core_;
        return *this;
    }

    ~Buffer() { release(); }

    std::byte* data() const noexcept { return data_; }
    /// As many bytes as were asked for, until `resize`.
    std::size_t size() const noexcept { return size_; }
    /// As many bytes as there are.
    std::size_t capacity() const noexcept { return capacity_; }
    explicit operator bool() const noexcept { return data_ != nullptr; }

    /// Has `size()` be another number, at most `capacity()`. Nothing else happens.
    void resize(std::size_t size) noexcept {
        WEIR_ASSERT(size <= capacity_ && "a buffer does not grow");
        size_ = size;
    }

    std::byte& operator[](std::size_t index) const noexcept {
        WEIR_ASSERT(index < capacity_);
        return data_[index];
    }
    std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
    // NOLINTNEXTLINE(google-explicit-constructor): Asio takes what converts
    operator boost::asio::mutable_buffer() const noexcept { return {data_, size_}; }

    /// Gives the memory back now. Never throws, never waits. Nothing happens when empty.
    void release() noexcept {
        if (void* const data = take()) core_->release(data);
    }

    /// Has the memory freed. Nothing happens when empty.
    void discard() noexcept {
        if (void* const data = take()) core_->discard(data);
    }

private:
    friend BufferPool;

    Buffer(void* data, std::size_t size, std::size_t capacity, detail::ObjectCore& core) noexcept
        : data_{static_cast<std::byte*>(data)}, size_{size}, capacity_{capacity}, core_{&core} {}

    void* take() noexcept {
        size_ = capacity_ = 0;
        return std::exchange(data_, nullptr);
    }

    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
    detail::ObjectCore* core_ = nullptr;
};

inline BufferPool::Buffer BufferPool::acquire(std::size_t size) {
    auto const index = class_of(size);
    if (index == classes_.size()) [[unlikely]]
        return {large_->make_large(size), size, size, *large_};
    auto& core = *classes_[index];
    return {core.acquire(), size, core.capacity(), core};
}

}  // namespace weir
