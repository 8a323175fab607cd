#pragma once
// Everything that calls the user's connector, behind an interface that knows the resource's type only.

#include <boost/asio/awaitable.hpp>
#include <boost/system/result.hpp>
#include <boost/system/system_error.hpp>
#include <concepts>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <weir/connector.hpp>
#include <weir/detail/slot.hpp>
#include <weir/policy/settings.hpp>

namespace weir::detail {

template <class T>
struct IsAwaitable : std::false_type {};
template <class T>
struct IsAwaitable<boost::asio::awaitable<T>> : std::true_type {
    using type = T;
};
template <class T>
constexpr bool is_awaitable = IsAwaitable<T>::value;

/// T of an awaitable<T>, else the type itself.
template <class T>
struct Awaited : std::type_identity<T> {};
template <class T>
struct Awaited<boost::asio::awaitable<T>> : std::type_identity<T> {};
template <class T>
using Awaited_t = typename Awaited<T>::type;

// How a connector is called: as itself or by its member, with the context or without.
template <class C>
decltype(auto) call_connect(C& c, ConnectContext const& context) {
    if constexpr (requires { c.connect(context); })
        return c.connect(context);
    else if constexpr (requires { c.connect(); })
        return c.connect();
    else if constexpr (requires { c(context); })
        return c(context);
    else
        return c();
}

template <class C>
constexpr bool wants_context = requires(C& c, ConnectContext const& x) {
    c.connect(x);
}
|| (
       !requires(C & c) { c.connect(); } && requires(C & c, ConnectContext const& x) { c(x); });

template <class C>
constexpr bool is_connector = wants_context<C> || requires(C& c) {
    c.connect();
}
|| requires(C& c) { c(); };

/// A hook is there when it can be called with a resource; one that is there by name only is a mistake to be told of.
template <class C, class Conn>
constexpr bool has_recycle = requires(C& c, Conn& conn) {
    c.recycle(conn);
};
template <class C, class Conn>
constexpr bool recycles_as_task() {
    if constexpr (has_recycle<C, Conn>)
        return is_awaitable<decltype(std::declval<C&>().recycle(std::declval<Conn&>()))>;
    return false;
}
template <class C, class Conn>
constexpr bool has_close = requires(C& c, Conn& conn) {
    c.close(conn);
};
template <class C, class Conn>
constexpr bool has_check = requires(C& c, Conn& conn) {
    c.check(conn);
};
template <class C, class Conn>
constexpr bool has_reset = requires(C& c, Conn& conn) {
    c.reset(conn);
};
template <class C, class Conn, class Setting>
constexpr bool has_apply = requires(C& c, Conn& conn, Setting const& setting) {
    c.apply(conn, setting);
};
template <class C>
constexpr bool names_reset = requires {
    &C::reset;
};
template <class C>
constexpr bool names_apply = requires {
    &C::apply;
};
template <class C>
constexpr bool names_check = requires {
    &C::check;
};
template <class C>
constexpr bool names_recycle = requires {
    &C::recycle;
};
template <class C>
constexpr bool names_close = requires {
    &C::close;
};

/// Always true: says what is wrong with hooks that are there and cannot be called.
template <class Connector, class Conn, class Setting>
constexpr bool hooks_fit() {
    constexpr bool with_settings = !std::same_as<Setting, NoSetting>;
    static_assert(!with_settings || has_reset<Connector, Conn> || !names_reset<Connector>,
                  "this connector has a reset that weir cannot call: write void reset(Conn&)");
    static_assert(!with_settings || has_apply<Connector, Conn, Setting> || !names_apply<Connector>,
                  "this connector has an apply that weir cannot call: write void apply(Conn&, Setting const&)");
    static_assert(has_check<Connector, Conn> || !names_check<Connector>,
                  "this connector has a check that weir cannot call: write bool check(Conn&)");
    static_assert(has_recycle<Connector, Conn> || !names_recycle<Connector>,
                  "this connector has a recycle that weir cannot call: write bool recycle(Conn&)");
    static_assert(has_close<Connector, Conn> || !names_close<Connector>,
                  "this connector has a close that weir cannot call: write void close(Conn&)");
    return true;
}

/// What a connector can do, in terms of slots.
///
/// The plain functions block; the awaitable ones return at once a coroutine that refers to its arguments.
template <class Conn>
class Supply {
public:
    /// How a function of the connector is written.
    enum class Shape { none, plain, awaitable };

    virtual ~Supply() = default;

    Shape connects = Shape::plain;
    Shape checks = Shape::none;
    Shape resets = Shape::none;
    Shape applies = Shape::none;
    Shape recycles = Shape::none;
    Shape closes = Shape::none;
    bool takes_context = false;

    // Fills the slot; what the connector throws, or the error it returns, is thrown.
    virtual void connect(Slot<Conn>&, ConnectContext const&) = 0;
    virtual boost::asio::awaitable<void> async_connect(Slot<Conn>&, ConnectContext const&) = 0;

    virtual bool check(Conn&) = 0;
    virtual boost::asio::awaitable<bool> async_check(Conn&) = 0;

    virtual void reset(Conn&) = 0;
    virtual boost::asio::awaitable<void> async_reset(Conn&) = 0;

    virtual void apply(Slot<Conn>&) = 0;  // its target
    virtual boost::asio::awaitable<void> async_apply(Slot<Conn>&) = 0;

    virtual bool recycle(Conn&) = 0;
    virtual boost::asio::awaitable<bool> async_recycle(Conn&) = 0;

    virtual void close(Conn&) = 0;
    virtual boost::asio::awaitable<void> async_close(Conn&) = 0;
};

/// `Setting` is `NoSetting` in a pool without settings: then `reset` and `apply` are never called, whatever they take.
template <class Conn, class Connector, class Setting>
class ConnectorSupply final : public Supply<Conn> {
    static_assert(
        is_connector<Connector>,
        "this is no connector for weir: make it callable with () or (weir::ConnectContext const&), or give it "
        "a member connect that is");

    using Result =
        std::remove_cvref_t<decltype(call_connect(std::declval<Connector&>(), std::declval<ConnectContext const&>()))>;
    using Product = Awaited_t<Result>;

    static constexpr bool gives_conn = std::same_as<Product, Conn>;
    static constexpr bool gives_result = std::same_as<Product, boost::system::result<Conn>>;
    static_assert(gives_conn || gives_result || std::convertible_to<Product, Conn>,
                  "this connector returns something else than the pool holds: it must return Conn, "
                  "boost::system::result<Conn>, or a boost::asio::awaitable of one of the two");

    static constexpr bool with_settings = !std::same_as<Setting, NoSetting>;
    static_assert(hooks_fit<Connector, Conn, Setting>());

public:
    using typename Supply<Conn>::Shape;

    explicit ConnectorSupply(Connector given) : connector_{std::move(given)} {
        this->connects = is_awaitable<Result> ? Shape::awaitable : Shape::plain;
        this->takes_context = wants_context<Connector>;
        if constexpr (has_check<Connector, Conn>) {
            using Checked = decltype(connector_.check(std::declval<Conn&>()));
            static_assert(std::convertible_to<Awaited_t<Checked>, bool>,
                          "check must return bool, or a boost::asio::awaitable<bool>: false closes the resource");
            this->checks = is_awaitable<Checked> ? Shape::awaitable : Shape::plain;
        }
        if constexpr (with_settings && has_reset<Connector, Conn>)
            this->resets =
                is_awaitable<decltype(connector_.reset(std::declval<Conn&>()))> ? Shape::awaitable : Shape::plain;
        if constexpr (with_settings && has_apply<Connector, Conn, Setting>) {
            using Applied = decltype(connector_.apply(std::declval<Conn&>(), std::declval<Setting const&>()));
            this->applies = is_awaitable<Applied> ? Shape::awaitable : Shape::plain;
        }
        if constexpr (has_recycle<Connector, Conn>) {
            using Recycled = decltype(connector_.recycle(std::declval<Conn&>()));
            static_assert(std::convertible_to<Awaited_t<Recycled>, bool>,
                          "recycle must return bool, or a boost::asio::awaitable<bool>: false closes the resource");
            this->recycles = is_awaitable<Recycled> ? Shape::awaitable : Shape::plain;
        }
        if constexpr (has_close<Connector, Conn>) {
            using Closed = decltype(connector_.close(std::declval<Conn&>()));
            static_assert(!is_awaitable<Closed> || std::same_as<Awaited_t<Closed>, void>,
                          "close must return void, or a boost::asio::awaitable<void>");
            this->closes = is_awaitable<Closed> ? Shape::awaitable : Shape::plain;
        }
    }

    Connector const& connector() const noexcept { return connector_; }

    void connect(Slot<Conn>& slot, ConnectContext const& context) override {
        if constexpr (!is_awaitable<Result>) {
            if constexpr (gives_result)
                fill(slot, call_connect(connector_, context));
            else
                slot.emplace([&]() -> decltype(auto) { return call_connect(connector_, context); });
        }
    }

    boost::asio::awaitable<void> async_connect(Slot<Conn>& slot, ConnectContext const& context) override {
        if constexpr (is_awaitable<Result>) {
            auto product = co_await call_connect(connector_, context);
            fill(slot, std::move(product));
        }
        co_return;
    }

    bool check(Conn& conn) override {
        if constexpr (has_check<Connector, Conn>) {
            if constexpr (!is_awaitable<decltype(connector_.check(conn))>) return connector_.check(conn);
        }
        return true;
    }

    boost::asio::awaitable<bool> async_check(Conn& conn) override {
        if constexpr (has_check<Connector, Conn>) {
            if constexpr (is_awaitable<decltype(connector_.check(conn))>) {
                bool const fit = co_await connector_.check(conn);
                co_return fit;
            }
        }
        co_return true;
    }

    void reset(Conn& conn) override {
        if constexpr (with_settings && has_reset<Connector, Conn>) {
            if constexpr (!is_awaitable<decltype(connector_.reset(conn))>) connector_.reset(conn);
        }
    }

    boost::asio::awaitable<void> async_reset(Conn& conn) override {
        if constexpr (with_settings && has_reset<Connector, Conn>) {
            if constexpr (is_awaitable<decltype(connector_.reset(conn))>) co_await connector_.reset(conn);
        }
        co_return;
    }

    void apply(Slot<Conn>& slot) override {
        if constexpr (with_settings && has_apply<Connector, Conn, Setting>) {
            auto const& setting = target_of(slot);
            if constexpr (!is_awaitable<decltype(connector_.apply(*slot.conn(), setting))>)
                connector_.apply(*slot.conn(), setting);
        }
    }

    boost::asio::awaitable<void> async_apply(Slot<Conn>& slot) override {
        if constexpr (with_settings && has_apply<Connector, Conn, Setting>) {
            auto const& setting = target_of(slot);
            if constexpr (is_awaitable<decltype(connector_.apply(*slot.conn(), setting))>)
                co_await connector_.apply(*slot.conn(), setting);
        }
        co_return;
    }

    bool recycle(Conn& conn) override {
        if constexpr (has_recycle<Connector, Conn>) {
            if constexpr (!is_awaitable<decltype(connector_.recycle(conn))>) return connector_.recycle(conn);
        }
        return true;
    }

    boost::asio::awaitable<bool> async_recycle(Conn& conn) override {
        if constexpr (has_recycle<Connector, Conn>) {
            if constexpr (is_awaitable<decltype(connector_.recycle(conn))>) {
                bool const clean = co_await connector_.recycle(conn);
                co_return clean;
            }
        }
        co_return true;
    }

    void close(Conn& conn) override {
        if constexpr (has_close<Connector, Conn>) {
            if constexpr (!is_awaitable<decltype(connector_.close(conn))>) connector_.close(conn);
        }
    }

    boost::asio::awaitable<void> async_close(Conn& conn) override {
        if constexpr (has_close<Connector, Conn>) {
            if constexpr (is_awaitable<decltype(connector_.close(conn))>) co_await connector_.close(conn);
        }
        co_return;
    }

private:
    static Setting const& target_of(Slot<Conn>& slot) {
        auto const& target = static_cast<SettingSlot<Conn, Setting>&>(slot).target;
        if (!target) throw std::bad_alloc{};  // there was no memory for a copy of it
        return *target;
    }

    static void fill(Slot<Conn>& slot, Product&& product) {
        if constexpr (gives_result) {
            if (product.has_error()) throw boost::system::system_error{product.error()};
            slot.emplace([&]() -> Conn&& { return std::move(*product); });
        } else {
            slot.emplace([&]() -> Product&& { return std::move(product); });
        }
    }

    Connector connector_;
};

}  // namespace weir::detail
