#pragma once
// An acquire, or a wait for a close, that ends in a handler.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <boost/asio/version.hpp>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <weir/detail/context_watch.hpp>
#include <weir/detail/deadline.hpp>
#include <weir/detail/hand_over.hpp>
#include <weir/detail/inside.hpp>
#include <weir/detail/placed_allocator.hpp>
#include <weir/detail/recent_time.hpp>
#include <weir/detail/spare_work.hpp>
#include <weir/detail/waiter.hpp>
#include <weir/lease.hpp>
#if BOOST_ASIO_VERSION >= 102700
#include <boost/asio/associated_immediate_executor.hpp>
#include <boost/asio/dispatch.hpp>
#endif

namespace weir::detail {

namespace asio = boost::asio;

/// The executor that a handler is to run on. A pool's own loop is not started for one that names another.
template <class Handler, class Core>
auto executor_for(Handler const& handler, Core const& core) {
    using Executor = asio::associated_executor_t<Handler, asio::any_io_executor>;
    if constexpr (std::is_same_v<Executor, asio::any_io_executor>)
        return Executor{asio::get_associated_executor(handler, core.executor().get())};
    else
        return Executor{asio::get_associated_executor(handler, asio::any_io_executor{})};
}

/// A handler with what it is to be called with: what an executor runs.
template <class Handler, class... Args>
class Completion {
public:
    using allocator_type = asio::associated_allocator_t<Handler>;

    Completion(Inside::Name pool, Handler handler, Args... args)
        : pool_{pool}, handler_{std::move(handler)}, args_{std::move(args)...} {}

    allocator_type get_allocator() const noexcept { return asio::get_associated_allocator(handler_); }

    void operator()() {
        Inside const inside{pool_};
        std::apply([this](Args&... args) { std::move(handler_)(std::move(args)...); }, args_);
    }

private:
    Inside::Name pool_;
    Handler handler_;
    std::tuple<Args...> args_;
};

/// Completes an operation that needed no wait: through the handler's executor, never from inside the initiating
/// function, unless the handler has an immediate executor of its own that says otherwise.
template <class Core, class Handler, class... Args>
void complete_now(Core const& core, Handler handler, Args... args) {
    auto const kept = core.executor().loop();
    auto const executor = executor_for(handler, core);
#if BOOST_ASIO_VERSION >= 102700
    auto const immediate = asio::get_associated_immediate_executor(handler, executor);
    asio::dispatch(immediate, Completion<Handler, Args...>{core.identity(), std::move(handler), std::move(args)...});
#else
    asio::post(executor, Completion<Handler, Args...>{core.identity(), std::move(handler), std::move(args)...});
#endif
}

/// A handler in line: one node in memory of the handler's allocator. What is posted when it is served is a part of it,
/// so who serves it allocates nothing.
///
/// It has exactly one owner at each moment: the line, or the `Visit` that was posted to the handler's executor. A
/// cancellation reaches it through a link that both ends cut when they die, so that either may die first.
///
/// The core lives as long as it does, and it need not count for that. As long as an acquire is in line there is the pool,
/// whose end begins with a close that takes all out; who waits for the end of that close waits for what keeps the core. Who
/// is told has a slot, which keeps it, or a reference of his own, which he gets in the step that takes him out.
///
/// `Result::of(core, waiter)` is the tuple that the handler is called with. The payload is what the operation needs
/// until its end.
template <class Core, class Handler, class Result, class Payload>
class AsyncWaiter final : public Waiter {
public:
    using Executor = asio::associated_executor_t<Handler, asio::any_io_executor>;
    /// Where the handler has none of its own, that with which Asio's own operations use their memory again.
    using Allocator = asio::associated_allocator_t<Handler, asio::recycling_allocator<void>>;

    /// Makes one and has `enter(core, waiter, payload)` put it in line; when that says no, it has its outcome and completes.
    /// Once it is in line its handler may run, and be the last that knew of the core, while `enter` is still in there:
    /// who touches it then keeps it.
    template <class Given, class Enter>
    static void start(std::shared_ptr<Core> const& core, Given&& handler, std::chrono::steady_clock::duration wait,
                      Payload payload, Enter enter) {
        auto const asked = recent_time();
        auto const executor = executor_for(handler, *core);
        auto cancellation = asio::get_associated_cancellation_slot(handler);
        NodeAllocator allocator{allocator_of(handler)};

        asio::execution_context* const context = context_of(executor);
        if (context) core->watch(*context);

        AsyncWaiter* const memory = NodeTraits::allocate(allocator, 1);
        try {
            ::new (static_cast<void*>(memory))
                AsyncWaiter{*core, std::forward<Given>(handler), executor, after(asked, wait), std::move(payload)};
        } catch (...) {
            NodeTraits::deallocate(allocator, memory, 1);
            throw;
        }
        Owner node{memory};
        node->context = context;
        node->asked = asked;
        node->hold_pool_executor();
        if (cancellation.is_connected()) node->canceller_ = &cancellation.template emplace<Canceller>(memory);
        if (enter(*core, *node, node->payload_))
            static_cast<void>(node.release());  // the line's, and perhaps gone already
        else
            node.release()->end_at_once();
    }

    /// To another core of the same pool, before it stands in line.
    void move_to(std::shared_ptr<Core> core) noexcept {
        core_ = core.get();
        keep = std::move(core);
    }

    void deliver() noexcept override {
        auto const kept = core_->executor().loop();
        // They end after all that touches the contexts, also after our copy of the executor, which may be a strand's last.
        HandOver const handed_to_handler{std::move(to_handler)};
        HandOver const handed_to_pool{std::move(to_pool)};
        // One that was only summoned to try stays in line, where it may have to connect yet.
        if (!core_->has_patience()) pool_work_.reset();
        auto const executor = work_.get_executor();
        try {
            asio::post(executor, Visit{this});
        } catch (...) {
            // The visit has ended the node: the handler goes unheard, and what was granted goes back.
        }
    }

    void leave_pool_executor(asio::execution_context const* of) noexcept override {
        if (pool_work_ && (!of || context_of(pool_work_->get_executor()) == of)) pool_work_.reset();
    }

    void abandon() noexcept override { destroy(NodeAllocator{allocator_of(handler_)}); }

private:
    using NodeAllocator = typename std::allocator_traits<Allocator>::template rebind_alloc<AsyncWaiter>;
    using NodeTraits = std::allocator_traits<NodeAllocator>;

    struct Unheard {
        void operator()(AsyncWaiter* node) const noexcept { node->end_unheard(); }
    };
    using Owner = std::unique_ptr<AsyncWaiter, Unheard>;

    struct Canceller {
        explicit Canceller(AsyncWaiter* n) noexcept : node{n} {}
        Canceller(Canceller const&) = delete;
        Canceller& operator=(Canceller const&) = delete;
        ~Canceller() {
            if (node) node->canceller_ = nullptr;
        }

        void operator()(asio::cancellation_type type) const noexcept {
            if (!node || (type & asio::cancellation_type::all) == asio::cancellation_type::none) return;
            Core& core = *node->core_;
            auto const kept = core.shared_from_this();  // it may outlive the node by this call
            core.cancel(*node);
        }

        AsyncWaiter* node;
    };

    // What lies in the executor's queue.
    class Visit {
    public:
        static constexpr bool is_placed = frees_before_it_calls<Executor>;
        using allocator_type = std::conditional_t<is_placed, PlacedAllocator<void, Allocator>, Allocator>;

        explicit Visit(AsyncWaiter* node) noexcept : node_{node} {}

        allocator_type get_allocator() const noexcept {
            if constexpr (is_placed)
                return {node_->visit_space_, allocator_of(node_->handler_)};
            else
                return allocator_of(node_->handler_);
        }

        void operator()() {
            AsyncWaiter* const node = node_.release();
            if (node->core_->visit(*node)) node->complete();
        }

    private:
        Owner node_;
    };

    static Allocator allocator_of(Handler const& handler) noexcept {
        return asio::get_associated_allocator(handler, asio::recycling_allocator<void>{});
    }

    template <class Given>
    AsyncWaiter(Core& core, Given&& handler, Executor const& executor, time_point by, Payload&& payload)
        : Waiter{Kind::handler, by},
          core_{&core},
          handler_{std::forward<Given>(handler)},
          work_{SpareWork<Executor>::take(executor)},
          payload_{std::move(payload)} {}
    ~AsyncWaiter() = default;

    // Connectors and hooks that are awaitable run there, for a waiter that may have nothing else to hope for.
    void hold_pool_executor() {
        if (!core_->may_use_executor()) return;
        auto const& executor = core_->executor();
        auto* const pools = executor.context();
        if (pools && pools == context) return;  // which the handler's own work keeps from running out of work
        pool_work_.emplace(executor.get());
        works_on = pools;
    }

    void complete() {
        Inside::Name const pool = core_->identity();
        SpareWork<Executor> const spare{std::move(work_)};
        auto [handler, result] = take_out();
        Inside const inside{pool};
        std::apply(std::move(handler), std::move(result));
    }

    // It has never been in line.
    void end_at_once() {
        Core const& core = *core_;
        auto const kept = std::move(keep);
        auto const work = work_;  // until it is posted: a context that is out of work stops
        auto [handler, result] = take_out();
        std::apply([&core, &to = handler](auto&&... args) { complete_now(core, std::move(to), std::move(args)...); },
                   std::move(result));
    }

    // All is moved out and the node given up: the handler may start its next operation in the same memory.
    auto take_out() {
        if (canceller_) asio::get_associated_cancellation_slot(handler_).clear();
        NodeAllocator const allocator{allocator_of(handler_)};
        struct Taken {
            Handler handler;
            decltype(Result::of(std::declval<Core&>(), std::declval<AsyncWaiter&>())) result;
        } taken{std::move(handler_), Result::of(*core_, *this)};
        destroy(allocator);
        return taken;
    }

    void end_unheard() noexcept {
        cut_link();  // what is given back may be the last that kept the core, and the node may stay a little longer
        core_->cancel(*this);  // if it is in line still, summoned to try
        Failure none;
        if (granted) Lease<typename Core::value_type> const given_back = core_->outcome(*this, none);
        if constexpr (Visit::is_placed)
            visit_space_.leave(*this);
        else
            abandon();
    }

    void cut_link() noexcept {
        if (canceller_) std::exchange(canceller_, nullptr)->node = nullptr;
    }

    void destroy(NodeAllocator allocator) noexcept {
        cut_link();
        auto const kept = std::move(keep);  // after the node, which may be its last
        this->~AsyncWaiter();
        NodeTraits::deallocate(allocator, this, 1);
    }

    Core* core_;
    Handler handler_;
    asio::executor_work_guard<Executor> work_;
    std::optional<asio::executor_work_guard<typename Core::Executor>> pool_work_{};
    Canceller* canceller_ = nullptr;
    // Without braces, which would have all of the memory set to zero first.
    [[no_unique_address]] std::conditional_t<Visit::is_placed, PlacedMemory, NoMemory> visit_space_;
    [[no_unique_address]] Payload payload_;
};

}  // namespace weir::detail
