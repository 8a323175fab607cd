#pragma once

#include <array>
#include <atomic>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution/context_as.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/strand.hpp>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>
#include <weir/detail/config.hpp>
#include <weir/detail/hand_over.hpp>

namespace weir::detail {

/// The context behind an executor, or nullptr where it has none to show.
template <class Executor>
boost::asio::execution_context* context_of(Executor const& executor) {
    using Property = boost::asio::execution::context_as_t<boost::asio::execution_context&>;
    if constexpr (boost::asio::can_query_v<Executor const&, Property>)
        return &boost::asio::query(executor, Property{});
    else if constexpr (requires { executor.context(); })
        return &static_cast<boost::asio::execution_context&>(executor.context());
    else
        return nullptr;
}

/// Who wants to know when a context shuts down.
class ContextUser {
public:
    virtual void context_gone(boost::asio::execution_context&) noexcept = 0;

    /// After that, when none of the pools' threads hands over anything there any more.
    virtual void forget_executor(boost::asio::execution_context&) noexcept = 0;

protected:
    ~ContextUser() = default;
};

/// In each context on which handlers wait for a pool: when it shuts down, the pools let go of what runs there, and it goes
/// when their threads have.
///
/// Asio destroys what is queued in a context, but a waiter is queued in a pool.
///
/// A template, as what follows, so that it costs nothing to include.
template <class User>
class ContextWatch final : public boost::asio::execution_context::service {
public:
    static inline boost::asio::execution_context::id id;

    explicit ContextWatch(boost::asio::execution_context& context) : boost::asio::execution_context::service{context} {
        // What a context has last goes first. A strand that is made for an operation when the strands have gone, and we
        // are not told yet, would never run nor end.
        boost::asio::strand<Shown> const after_us{Shown{&context}};
    }

    void add(std::weak_ptr<User> user) {
        std::lock_guard const lock{mutex_};
        std::erase_if(users_, [](auto const& old) { return old.expired(); });
        users_.push_back(std::move(user));
    }

private:
    /// No more of an executor than a strand asks for.
    struct Shown {
        boost::asio::execution_context* context;

        boost::asio::execution_context& query(boost::asio::execution::context_t) const noexcept { return *context; }
        template <class Function>
        void execute(Function&&) const {}
        bool operator==(Shown const&) const noexcept = default;
    };

    void shutdown() override {
        std::unique_lock lock{mutex_};
        auto const users = std::exchange(users_, {});
        lock.unlock();
        for (auto const& user : users)
            if (auto const alive = user.lock()) alive->context_gone(context());
        HandOver::await_all(&context());
        for (auto const& user : users)
            if (auto const alive = user.lock()) alive->forget_executor(context());
        // One that has just gone was told of nothing, and its executor may be going with it.
        std::atomic_thread_fence(std::memory_order_acquire);
        HandOver::await_all(&context());
    }

    std::mutex mutex_;  // protects the list
    std::vector<std::weak_ptr<User>> users_;
};

/// The contexts that one user has asked to be told of.
template <class User>
class WatchedContexts {
public:
    using Context = Late<User, boost::asio::execution_context>;

    /// Whether it is one of those that were added last. Lock-free, as every asynchronous operation asks.
    /// Relaxed: who uses a context has been told of it, and who makes another at its address comes after its end, which
    /// has called `forget`.
    bool knows(Context const& context) const noexcept {
        for (auto const& recent : recent_)
            if (recent.load(std::memory_order_relaxed) == &context) return true;
        return false;
    }

    void add(Context& context, std::shared_ptr<User> user) {
        {
            std::lock_guard const lock{mutex_};
            for (Context const* known : known_)
                if (known == &context) return remember(context);
        }
        boost::asio::use_service<ContextWatch<User>>(context).add(std::move(user));
        // Two threads may come here at once: to be told twice does no harm.
        std::lock_guard const lock{mutex_};
        known_.push_back(&context);
        remember(context);
    }

    /// It is shutting down: another may get its address.
    void forget(Context& context) noexcept {
        std::lock_guard const lock{mutex_};
        std::erase(known_, &context);
        for (auto& recent : recent_)
            if (recent.load(std::memory_order_relaxed) == &context) recent.store(nullptr, std::memory_order_relaxed);
    }

private:
    void remember(Context const& context) noexcept {
        recent_[oldest_].store(&context, std::memory_order_relaxed);
        oldest_ = 1 - oldest_;
    }

    std::mutex mutex_;  // protects all below; what is recent is also read without
    std::vector<Context*> known_;
    std::array<std::atomic<Context const*>, 2> recent_{};  // a pool's own and its handlers', most of the time
    unsigned oldest_ = 0;
};

}  // namespace weir::detail
