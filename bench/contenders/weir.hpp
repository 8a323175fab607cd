#pragma once
// weir, with everything open and idle from the start.

#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <utility>
#include <vector>
#include <weir/pool.hpp>

namespace bench {

template <class T, class... Policies>
class Weir {
public:
    using Pool = weir::Pool<T, Policies...>;
    using Options = typename Pool::Options;

    template <class Argument>
    Weir(std::size_t size, Argument& argument, Options options = {})
        : pool_{[&argument] { return T{argument}; }, sized(std::move(options), size)} {
        fill(size);
    }

    /// On the user's executor, as asynchronous programs have it.
    template <class Argument>
    Weir(boost::asio::any_io_executor executor, std::size_t size, Argument& argument, Options options = {})
        : pool_{std::move(executor), [&argument] { return T{argument}; }, sized(std::move(options), size)} {
        fill(size);
    }

    weir::Lease<T> acquire() { return pool_.acquire(); }

    template <class Token>
    auto async_acquire(Token&& token) {
        return pool_.async_acquire(std::forward<Token>(token));
    }

    /// What `async_acquire` completes with needs no more than this.
    static weir::Lease<T> hold(weir::Lease<T> lease) noexcept { return lease; }

    Pool& get() noexcept { return pool_; }

private:
    static Options sized(Options options, std::size_t size) {
        options.size.high = size;
        return options;
    }

    void fill(std::size_t size) {
        std::vector<weir::Lease<T>> all;
        for (std::size_t i = 0; i < size; ++i) all.push_back(pool_.acquire());
    }

    Pool pool_;
};

}  // namespace bench
