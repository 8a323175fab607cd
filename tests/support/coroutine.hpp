#pragma once

// How a test runs a coroutine to its end, and what an exception says.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include <gtest/gtest.h>

#include "asio.hpp"

#include <exception>
#include <optional>
#include <utility>

namespace asio_test {

/// Runs a coroutine and the context until it ends. What it throws is thrown.
template <class Function>
void run(asio::io_context& io, Function function) {
    std::optional<std::exception_ptr> ended;
    asio::co_spawn(io, std::move(function), [&](std::exception_ptr error) { ended = std::move(error); });
    ASSERT_TRUE(run_until(io, [&] { return ended.has_value(); })) << "a coroutine did not end";
    if (*ended) std::rethrow_exception(*ended);
}

/// The code of the `system_error` that the function throws, or none.
template <class Function>
error_code code_of(Function function) {
    try {
        function();
    } catch (boost::system::system_error const& error) {
        return error.code();
    }
    return {};
}

}  // namespace asio_test
