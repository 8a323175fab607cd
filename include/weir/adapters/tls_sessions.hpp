#pragma once
// What servers hand out for the next handshake to be shorter.

#include <openssl/ssl.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

namespace weir::tls::detail {

struct FreeSession {
    void operator()(SSL_SESSION* session) const noexcept { ::SSL_SESSION_free(session); }
};
using Session = std::unique_ptr<SSL_SESSION, FreeSession>;

/// The newest few sessions of one server. Belongs to the SSL_CTX it serves, and so outlives all connections.
///
/// Thread-safe: tickets come whenever some connection reads.
class Sessions {
public:
    /// Has the context gather them here. None when there is no memory for it, or `most` is 0.
    static Sessions* attach_to(SSL_CTX* context, std::size_t most) {
        if (most == 0) return nullptr;
        auto sessions = std::make_unique<Sessions>(most);
        if (::SSL_CTX_set_ex_data(context, index(), sessions.get()) != 1) return nullptr;
        ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        ::SSL_CTX_sess_set_new_cb(context, [](SSL* ssl, SSL_SESSION* session) {
            if (auto* const self = of(::SSL_get_SSL_CTX(ssl))) self->put(session);
            return 0;  // not kept: a copy is
        });
        return sessions.release();
    }

    explicit Sessions(std::size_t most) : most_{most} {}

    /// The newest. One of TLS 1.3 is given once only, so that nobody on the wire can tell two connections to be one
    /// client's (RFC 8446, C.4); those before it are for many uses.
    Session take() noexcept {
        std::lock_guard const lock{mutex_};
        if (kept_.empty()) return nullptr;
        if (::SSL_SESSION_get_protocol_version(kept_.back().get()) < TLS1_3_VERSION)
            return Session{::SSL_SESSION_dup(kept_.back().get())};
        Session newest = std::move(kept_.back());
        kept_.pop_back();
        return newest;
    }

private:
    // A copy, because OpenSSL spoils the session of a connection that ends without a close_notify.
    void put(SSL_SESSION* session) noexcept {
        Session copy{::SSL_SESSION_dup(session)};
        if (!copy) return;
        try {
            std::lock_guard const lock{mutex_};
            kept_.push_back(std::move(copy));
            if (kept_.size() > most_) kept_.pop_front();
        } catch (...) {
            // No memory: the next handshake is a long one.
        }
    }

    static Sessions* of(SSL_CTX const* context) noexcept {
        return static_cast<Sessions*>(::SSL_CTX_get_ex_data(context, index()));
    }

    static int index() noexcept {
        static int const mine = ::SSL_CTX_get_ex_new_index(
            0, nullptr, nullptr, nullptr,
            [](void*, void* self, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<Sessions*>(self); });
        return mine;
    }

    std::size_t const most_;
    std::mutex mutex_;  // protects what is kept; held for a few instructions
    std::deque<Session> kept_;
};

}  // namespace weir::tls::detail
