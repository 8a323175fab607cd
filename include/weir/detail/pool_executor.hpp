#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <weir/detail/context_watch.hpp>
#include <weir/detail/workers.hpp>

namespace weir::detail {

/// The executor of a pool: the user's, or that of a loop of the pool's own, whose thread starts when it is first asked
/// for and ends when the pool has gone and what was posted has run.
template <class Executor>
class PoolExecutor {
public:
    /// An empty executor asks for a loop of the pool's own.
    explicit PoolExecutor(Executor users) : executor_{std::move(users)} {
        if (!*executor_) {
            loop_ = std::make_shared<boost::asio::io_context>(1);
            executor_ = loop_->get_executor();
            work_.emplace(*executor_);
        }
        context_ = context_of(*executor_);
    }

    Executor const& get() const noexcept {
        if (loop_) {
            std::call_once(started_, [this]() noexcept {
                // The thread keeps the loop: the pool may end on it.
                start_thread([loop = loop_] { loop->run(); });
            });
        }
        return *executor_;
    }

    /// Its context ends: a strand may not outlive that, even if one of the pool's threads keeps the rest.
    void drop() noexcept { executor_.reset(); }

    bool is_own() const noexcept { return loop_ != nullptr; }

    /// The loop of the pool's own, if there is one, for who posts to it: the pool may end there before he is back.
    std::shared_ptr<void> loop() const noexcept { return loop_; }

    /// Where it runs, or nullptr where it does not say. Kept, as whoever joins the line as a handler asks.
    boost::asio::execution_context* context() const noexcept { return context_; }

private:
    std::optional<Executor> executor_;
    boost::asio::execution_context* context_ = nullptr;
    std::shared_ptr<boost::asio::io_context> loop_;
    std::optional<boost::asio::executor_work_guard<Executor>> work_;
    mutable std::once_flag started_;
};

}  // namespace weir::detail
