// A coroutine of a connector, told to stop before it has begun.

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>
#include <weir/detail/awaitable_task.hpp>

namespace weir::detail {
namespace {

namespace asio = boost::asio;
using Task = AwaitableTask<asio::any_io_executor>;

struct Account {
    int begun = 0;
    int told = 0;
    bool failed = false;
    asio::cancellation_type asked_to_stop = asio::cancellation_type::none;
};

struct Listener final : Task::Listener {
    explicit Listener(Account& a) : account{a} {}
    void ended(std::exception_ptr exception) noexcept override {
        ++account.told;
        account.failed = exception != nullptr;
    }
    Account& account;
};

Account run_cancelled(Begins begins) {
    Account account;
    asio::io_context io;
    auto const task = std::make_shared<Task>(io.get_executor(), begins);
    auto const operation = [&account]() -> asio::awaitable<void> {
        ++account.begun;
        co_await asio::this_coro::throw_if_cancelled(false);
        co_await asio::post(asio::use_awaitable);
        co_await asio::post(asio::use_awaitable);
        auto const state = co_await asio::this_coro::cancellation_state;
        account.asked_to_stop = state.cancelled();
    };
    task->cancel();
    task->start(operation, std::make_unique<Listener>(account));
    io.run();
    return account;
}

// rule 40
TEST(AwaitableTask, Rule40WhatIsCancelledBeforeItBeginsNeverBegins) {
    auto const account = run_cancelled(Begins::unless_cancelled);
    EXPECT_EQ(account.begun, 0);
    EXPECT_EQ(account.told, 1);
    EXPECT_TRUE(account.failed);
}

// rule Z: a resource whose close is late is closed all the same.
TEST(AwaitableTask, RuleZWhatMustBeDoneBeginsAllTheSameAndIsToldToStopThen) {
    auto const account = run_cancelled(Begins::always);
    EXPECT_EQ(account.begun, 1);
    EXPECT_EQ(account.told, 1);
    EXPECT_FALSE(account.failed);
    EXPECT_EQ(account.asked_to_stop, asio::cancellation_type::terminal);
}

}  // namespace
}  // namespace weir::detail
