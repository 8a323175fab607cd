#pragma once
// The asynchronous pool that Asio offers ready-made: a channel with the idle ones in it.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace bench {

template <class T>
class Channel {
public:
    struct GiveBack {
        void operator()(T* item) const { channel->idle_.try_send(boost::system::error_code{}, item); }
        Channel* channel;
    };
    using Held = std::unique_ptr<T, GiveBack>;

    template <class Argument>
    Channel(boost::asio::any_io_executor executor, std::size_t size, Argument& argument)
        : idle_{std::move(executor), size} {
        for (std::size_t i = 0; i < size; ++i) {
            items_.push_back(std::make_unique<T>(argument));
            idle_.try_send(boost::system::error_code{}, items_.back().get());
        }
    }

    /// Completes with what is then to be `hold`en.
    template <class Token>
    auto async_acquire(Token&& token) {
        return idle_.async_receive(std::forward<Token>(token));
    }

    Held hold(T* item) noexcept { return {item, {this}}; }

private:
    std::vector<std::unique_ptr<T>> items_;
    boost::asio::experimental::concurrent_channel<void(boost::system::error_code, T*)> idle_;
};

}  // namespace bench
