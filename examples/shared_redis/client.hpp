#pragma once
// What makes one connection serve many: a client that sends what it is asked together.

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>
#include <weir/adapters/hiredis.hpp>

namespace asio = boost::asio;
namespace hiredis = weir::hiredis;

/// Puts together what is asked while the batch before is on its way. For one thread, as its connection.
struct Client : std::enable_shared_from_this<Client> {
    struct Batch {
        hiredis::Pipeline commands{};
        std::size_t size = 0;
        std::vector<hiredis::Reply> replies{};
        std::exception_ptr failure{};
    };

    Client(hiredis::Connection c, weir::ConnectContext const& context)
        : conn{std::move(c)},
          answered{context.executor, std::chrono::steady_clock::time_point::max()},
          evictor{context.evictor} {}

    asio::awaitable<hiredis::Reply> ask(std::string word, std::string key) {
        auto const batch = next;
        auto const place = batch->size++;
        batch->commands.add(word, key);
        if (!std::exchange(sends, true)) co_spawn(answered.get_executor(), send(shared_from_this()), asio::detached);
        while (batch->replies.empty() && !batch->failure)
            co_await answered.async_wait(asio::as_tuple(asio::use_awaitable));
        if (batch->failure) std::rethrow_exception(batch->failure);
        co_return std::move(batch->replies[place]);
    }

    static asio::awaitable<void> send(std::shared_ptr<Client> self) {
        for (; self->next->size > 0; ++self->round_trips, self->answered.cancel()) {
            auto const batch = std::exchange(self->next, std::make_shared<Batch>());
            try {
                batch->replies = co_await self->conn.async_pipeline(std::move(batch->commands));
            } catch (...) {
                batch->failure = std::current_exception();
                self->evictor.evict();  // the next acquire opens another
            }
        }
        self->sends = false;
    }

    hiredis::Connection conn;
    asio::steady_timer answered;
    weir::Evictor evictor;
    std::shared_ptr<Batch> next = std::make_shared<Batch>();
    bool sends = false;
    int round_trips = 0;
};
