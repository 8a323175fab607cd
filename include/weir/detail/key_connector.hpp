#pragma once
// One connector for all keys, as each key's core sees it.

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <weir/connector.hpp>
#include <weir/detail/supply.hpp>

namespace weir::detail {

template <class Key>
constexpr bool is_key = requires(Key const& key) {
    static_cast<bool>(key == key);
    static_cast<std::size_t>(std::hash<Key>{}(key));
};

template <class C, class Key>
constexpr bool connects_to_key = requires(C& c, Key const& key) {
    c.connect(key);
};
template <class C, class Key>
constexpr bool connects_to_key_in_context = requires(C& c, Key const& key, ConnectContext const& context) {
    c.connect(key, context);
};
template <class C, class Key>
constexpr bool calls_key = requires(C& c, Key const& key) {
    c(key);
};
template <class C, class Key>
constexpr bool calls_key_in_context = requires(C& c, Key const& key, ConnectContext const& context) {
    c(key, context);
};

template <class C, class Key>
constexpr bool is_key_connector =
    connects_to_key<C, Key> || connects_to_key_in_context<C, Key> || calls_key<C, Key> || calls_key_in_context<C, Key>;

/// Binds a key, and refers to the connector.
template <class Key, class Conn, class Connector, class Setting>
class KeyConnector {
    static constexpr bool as_member = connects_to_key<Connector, Key> || connects_to_key_in_context<Connector, Key>;
    static constexpr bool in_context =
        as_member ? connects_to_key_in_context<Connector, Key> : calls_key_in_context<Connector, Key>;

public:
    KeyConnector(Connector& connector, Key const& key) : connector_{&connector}, key_{key} {}

    Key const& key() const noexcept { return key_; }

    decltype(auto) connect(ConnectContext const& context) requires in_context {
        if constexpr (as_member)
            return connector_->connect(std::as_const(key_), context);
        else
            return (*connector_)(std::as_const(key_), context);
    }
    decltype(auto) connect() requires(!in_context) {
        if constexpr (as_member)
            return connector_->connect(std::as_const(key_));
        else
            return (*connector_)(std::as_const(key_));
    }

    decltype(auto) check(Conn& conn) requires has_check<Connector, Conn> { return connector_->check(conn); }
    decltype(auto) reset(Conn& conn) requires has_reset<Connector, Conn> { return connector_->reset(conn); }
    decltype(auto) recycle(Conn& conn) requires has_recycle<Connector, Conn> { return connector_->recycle(conn); }
    decltype(auto) close(Conn& conn) requires has_close<Connector, Conn> { return connector_->close(conn); }
    decltype(auto) apply(Conn& conn, Setting const& setting) requires has_apply<Connector, Conn, Setting> {
        return connector_->apply(conn, setting);
    }

private:
    Connector* connector_;
    Key key_;
};

/// What a key's core opens with, and the key, which lives as long.
template <class Key, class Conn>
struct KeySupply {
    std::unique_ptr<Supply<Conn>> supply;
    Key const* key;
};

/// Makes them.
template <class Key, class Conn>
class KeySupplies {
public:
    virtual ~KeySupplies() = default;
    virtual KeySupply<Key, Conn> make(Key const& key) = 0;
};

template <class Key, class Conn, class Connector, class Setting>
class KeySuppliesOf final : public KeySupplies<Key, Conn> {
    static_assert(is_key_connector<Connector, Key>,
                  "this is no connector for weir::KeyedPool: make it callable with (Key const&) or (Key const&, "
                  "weir::ConnectContext const&), or give it a member connect that is");
    static_assert(hooks_fit<Connector, Conn, Setting>());

public:
    explicit KeySuppliesOf(Connector connector) : connector_{std::move(connector)} {}

    KeySupply<Key, Conn> make(Key const& key) override {
        using Bound = KeyConnector<Key, Conn, Connector, Setting>;
        auto supply = std::make_unique<ConnectorSupply<Conn, Bound, Setting>>(Bound{connector_, key});
        Key const* const kept = &supply->connector().key();
        return {std::move(supply), kept};
    }

private:
    Connector connector_;
};

}  // namespace weir::detail
