#pragma once

#include <memory>
#include <stop_token>
#include <utility>

namespace weir {

namespace detail {
class LifetimeSource;
}

/// The life of a pool, as a token to copy.
///
/// Says when closing has begun, and while a copy lives, `close` goes on draining, exactly as for a lease: hold one in
/// background work that uses the pool. A resource keeps only its `stop_token()`, else the pool waits for itself.
///
/// A default-made one belongs to no pool and never stops. Distinct objects: safe. Shared objects: unsafe. Copies may
/// outlive the pool.
class Lifetime {
public:
    Lifetime() = default;

    /// Whether closing has begun.
    bool stopped() const noexcept { return token_.stop_requested(); }

    /// Stops when closing begins, and holds nothing back.
    std::stop_token stop_token() const { return token_; }

private:
    friend class detail::LifetimeSource;

    Lifetime(std::stop_token token, std::shared_ptr<void const> hold) noexcept
        : token_{std::move(token)}, hold_{std::move(hold)} {}

    std::stop_token token_;
    std::shared_ptr<void const> hold_;
};

}  // namespace weir
