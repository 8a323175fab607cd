#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <utility>
#include <weir/detail/task.hpp>

namespace weir::detail {

/// Whether an operation is begun although it was told to stop before: one that has to be done is, and is told again.
enum class Begins { unless_cancelled, always };

/// An awaitable operation in a strand of its own, so that it can be cancelled from any thread.
template <class Executor>
class AwaitableTask final : public Task, public std::enable_shared_from_this<AwaitableTask<Executor>> {
public:
    using Operation = std::function<boost::asio::awaitable<void>()>;

    /// Told once how an operation ended; destroyed untold when the executor's context went first.
    class Listener {
    public:
        virtual ~Listener() = default;
        virtual void ended(std::exception_ptr) noexcept = 0;
    };

    explicit AwaitableTask(Executor const& executor, Begins begins = Begins::unless_cancelled)
        : strand_{boost::asio::make_strand(executor)}, begins_{begins} {}

    /// Starts the operation. Throws when the executor does not take it; then the listener has been destroyed.
    void start(Operation operation, std::unique_ptr<Listener> listener) {
        boost::asio::post(strand_, [self = this->shared_from_this(), operation = std::move(operation),
                                    listener = std::move(listener)]() mutable {
            auto const slot = self->signal_.slot();
            auto tell = [told = std::move(listener)](std::exception_ptr e) { told->ended(std::move(e)); };
            try {
                // The frame first: g++ 12 is not to be trusted with what is made inside the expression that awaits it.
                auto frame = run(self, std::move(operation));
                boost::asio::co_spawn(self->strand_, std::move(frame),
                                      boost::asio::bind_cancellation_slot(slot, std::move(tell)));
            } catch (...) {
                // No memory for it: the listener, destroyed untold, says so. Nothing is thrown into the user's loop.
            }
        });
    }

    void cancel() noexcept override {
        try {
            boost::asio::post(strand_, [self = this->shared_from_this()] {
                // Asio of Boost 1.81 ends the program when a coroutine is cancelled before it has begun.
                self->cancelled_ = true;
                if (self->begun_) self->signal_.emit(boost::asio::cancellation_type::terminal);
            });
        } catch (...) {
            // No memory to ask with: it ends by itself.
        }
    }

    bool is_running_here() const noexcept override { return strand_.running_in_this_thread(); }

private:
    // No type here depends on the pool's, so a translation unit compiles this once.
    static boost::asio::awaitable<void> run(std::shared_ptr<AwaitableTask> self, Operation operation) {
        self->begun_ = true;
        if (self->cancelled_) {
            if (self->begins_ != Begins::always)
                throw boost::system::system_error{boost::asio::error::operation_aborted};
            self->cancel();  // takes effect when it first waits
        }
        co_await operation();
    }

    boost::asio::strand<Executor> strand_;
    Begins const begins_;
    boost::asio::cancellation_signal signal_;  // this and the flags: touched in the strand only
    bool begun_ = false;
    bool cancelled_ = false;
};

}  // namespace weir::detail
