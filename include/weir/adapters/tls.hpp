#pragma once
// TLS streams, by Asio and OpenSSL. Link with it (`-lssl -lcrypto`, or CMake's `OpenSSL::SSL`).
//
//     using namespace weir;
//     Pool<tls::Connection, Upkeep> pool{io.get_executor(),
//                                        tls::Connector{{.tcp = {.host = "example.org", .service = "https"}}},
//                                        {.upkeep = {.check_after_idle = 1s}}};
//     auto lease = co_await pool.async_acquire(asio::use_awaitable);
//     co_await asio::async_write(lease->stream(), asio::buffer(request), asio::use_awaitable);

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <poll.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/ssl/stream_base.hpp>
#include <boost/asio/ssl/verify_mode.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <weir/adapters/hangup_watch.hpp>
#include <weir/adapters/socket.hpp>
#include <weir/adapters/stream.hpp>
#include <weir/adapters/tcp.hpp>
#include <weir/adapters/tls_error.hpp>
#include <weir/adapters/tls_sessions.hpp>
#include <weir/connector.hpp>

namespace weir::tls {

/// A connected stream: `conn.stream()` is a `boost::asio::ssl::stream<boost::asio::ip::tcp::socket>`.
///
/// As `tcp::Connection`, also in that it must not outlive the context of the pool's executor, and that who leaves half
/// an answer in it calls `lease.discard()`.
class Connection {
public:
    using Stream = boost::asio::ssl::stream<boost::asio::ip::tcp::socket>;

    explicit Connection(Stream stream) : stream_{std::move(stream)} {}

    /// For all that Asio and Boost.Beast do with streams. Its executor is the pool's; handlers run where they say.
    Stream& stream() noexcept { return stream_; }

    SSL* native_handle() noexcept { return stream_.native_handle(); }

    /// From now on the pool is told when the peer hangs up while it lies idle.
    void watch(Evictor const& evictor) {
        hangup_ = adapters::HangupWatch{stream_.next_layer().native_handle(), evictor};
    }

    /// Whether the peer is known to have hung up. Looks at nothing but memory.
    bool hung_up() const noexcept { return hangup_.heard(); }

    /// Whether its handshake went on from an earlier connection's.
    bool resumed() noexcept { return ::SSL_session_reused(native_handle()) == 1; }

    /// The protocol of `Options::alpn` that the server has chosen, or nothing.
    std::string_view alpn() noexcept {
        unsigned char const* name = nullptr;
        unsigned size = 0;
        ::SSL_get0_alpn_selected(native_handle(), &name, &size);
        return {reinterpret_cast<char const*>(name), size};
    }

    /// Whether it is open as far as is known here, and no data has come that nobody has read. After a no there is
    /// nothing to do with it but to close it.
    ///
    /// Takes in what TLS sends on its own account, such as session tickets. Waits for nothing.
    bool is_quiet() noexcept {
        // Not by a look at the socket, as a close may have come together with the last answer, and lie in a buffer.
        boost::system::error_code ec;
        auto& socket = stream_.next_layer();
        bool const was_non_blocking = socket.non_blocking();
        socket.non_blocking(true, ec);
        if (ec) return false;
        char byte{};
        stream_.read_some(boost::asio::buffer(&byte, 1), ec);
        bool const is_quiet = ec == boost::asio::error::would_block || ec == boost::asio::error::try_again;
        socket.non_blocking(was_non_blocking, ec);
        return is_quiet;
    }

private:
    Stream stream_;
    adapters::HangupWatch hangup_{};
};

/// What of the server's certificate is verified.
enum class Verify {
    host,       ///< that it is signed by an authority we trust, for the server's name
    authority,  ///< that it is signed by an authority we trust, for whomever
    nothing     ///< nothing: whoever sits in between can read all
};

/// What to connect to, and whom to trust. TLS 1.2 is the oldest version spoken.
struct Options {
    tcp::Options tcp{};
    /// Whom the certificate must name, and who is asked for where several live at one address (SNI). Empty: `tcp.host`.
    std::string server_name{};
    Verify verify = Verify::host;
    /// A file with the certificates (PEM) of the authorities to trust. Empty: the system's.
    std::string ca_file{};
    /// Protocols to offer, the best first, such as "http/1.1". Empty: none are.
    std::vector<std::string> alpn{};
    /// How many sessions are kept at most to make later handshakes shorter. 0: none.
    std::size_t max_sessions = 16;
    /// For all else, such as a certificate of the client's own. Called once, after everything above is done.
    std::function<void(boost::asio::ssl::context&)> configure{};

    /// Throws `std::invalid_argument` naming the field that is wrong.
    void validate() const {
        tcp.validate();
        for (auto const& protocol : alpn)
            if (protocol.empty() || protocol.size() > 255)
                throw std::invalid_argument{"weir: tls::Options::alpn must have names of 1 to 255 bytes"};
    }
};

namespace detail {

/// What all connections of a connector share.
class Client {
public:
    explicit Client(Options const& options)
        : server_{options.server_name.empty() ? options.tcp.host : options.server_name},
          where_{options.tcp.name()},
          is_address_{is_address(server_)} {
        auto* const native = context_.native_handle();
        if (::SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION) != 1)
            throw last_error("weir: tls: cannot ask for TLS 1.2");
        if (options.verify != Verify::nothing) trust(options.ca_file);
        if (options.verify == Verify::host) expect_server();
        if (!options.alpn.empty()) offer(options.alpn);
        sessions_ = Sessions::attach_to(native, options.max_sessions);
        if (options.configure) options.configure(context_);
    }

    Connection wrap(boost::asio::ip::tcp::socket socket) {
        Connection conn{Connection::Stream{std::move(socket), context_}};
        auto* const ssl = conn.native_handle();
        if (!is_address_ && ::SSL_set_tlsext_host_name(ssl, server_.c_str()) != 1)
            throw last_error("weir: tls: cannot ask for " + server_);
        if (sessions_)
            if (auto const session = sessions_->take()) ::SSL_set_session(ssl, session.get());
        return conn;
    }

    [[noreturn]] void fail(boost::system::error_code failed, Connection& conn) const {
        throw boost::system::system_error{cause_of(failed, conn.native_handle()),
                                          "weir: no TLS connection to " + where_};
    }

private:
    static bool is_address(std::string const& name) {
        boost::system::error_code ec;
        boost::asio::ip::make_address(name, ec);
        return !ec;
    }

    void trust(std::string const& ca_file) {
        context_.set_verify_mode(boost::asio::ssl::verify_peer);
        if (ca_file.empty())
            context_.set_default_verify_paths();
        else
            context_.load_verify_file(ca_file);
    }

    // OpenSSL's own check rather than Asio's callback: it tells a wrong name from a wrong signature.
    void expect_server() {
        auto* const rules = ::SSL_CTX_get0_param(context_.native_handle());
        ::X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        int const done = is_address_ ? ::X509_VERIFY_PARAM_set1_ip_asc(rules, server_.c_str())
                                     : ::X509_VERIFY_PARAM_set1_host(rules, server_.data(), server_.size());
        if (done != 1) throw last_error("weir: tls: cannot expect " + server_);
    }

    void offer(std::vector<std::string> const& protocols) {
        std::vector<unsigned char> list;
        for (auto const& protocol : protocols) {
            list.push_back(static_cast<unsigned char>(protocol.size()));
            list.insert(list.end(), protocol.begin(), protocol.end());
        }
        // 0 is success here.
        if (::SSL_CTX_set_alpn_protos(context_.native_handle(), list.data(), static_cast<unsigned>(list.size())) != 0)
            throw last_error("weir: tls: cannot offer protocols");
    }

    boost::asio::ssl::context context_{boost::asio::ssl::context::tls_client};
    std::string const server_;
    std::string const where_;
    bool const is_address_;
    Sessions* sessions_ = nullptr;  // the context's
};

/// The hooks that are the same for threads and coroutines.
struct Hooks {
    /// One that is closed, by either side, or has part of an answer in it is not kept. Looks at nothing but memory.
    bool recycle(Connection& conn) const noexcept {
        auto* const ssl = conn.native_handle();
        return conn.stream().next_layer().is_open() && !conn.hung_up() && ::SSL_get_shutdown(ssl) == 0 &&
               ::SSL_pending(ssl) == 0;
    }

    /// Says goodbye (close_notify), and waits for no answer.
    void close(Connection& conn) const noexcept {
        boost::system::error_code ignored;
        auto& socket = conn.stream().next_layer();
        socket.non_blocking(true, ignored);
        conn.stream().shutdown(ignored);
        socket.shutdown(boost::asio::socket_base::shutdown_both, ignored);
        socket.close(ignored);
    }
};

}  // namespace detail

/// Opens connections on the pool's executor; the pool's connect timeout is for TCP and the handshake together.
///
/// Errors are those of `tcp::Connector`, and of `tls::Errc` where it is the server's certificate, or TLS is not what it
/// speaks. Later handshakes resume the sessions of earlier ones where the server allows it.
///
/// Distinct objects: safe. Shared objects: safe. Copies share their sessions.
class Connector : public detail::Hooks {
public:
    /// Throws `std::invalid_argument` naming the option that is wrong, `system_error` when there is no such `ca_file`,
    /// and what `configure` throws.
    explicit Connector(Options const& options) : tcp_{options.tcp} {
        options.validate();
        client_ = std::make_shared<detail::Client>(options);
    }

    boost::asio::awaitable<Connection> connect(ConnectContext const& context) const {
        auto transport = co_await tcp_.connect(context);
        auto conn = client_->wrap(std::move(transport.stream()));
        auto const [failed] = co_await conn.stream().async_handshake(boost::asio::ssl::stream_base::client,
                                                                     boost::asio::as_tuple(boost::asio::use_awaitable));
        if (failed) client_->fail(failed, conn);
        conn.watch(context.evictor);
        co_return conn;
    }

    /// Whether it is quiet: open, as far as is known here, and no data in it that nobody has asked for. No round trip.
    boost::asio::awaitable<bool> check(Connection& conn) const { co_return conn.is_quiet(); }

private:
    tcp::Connector tcp_;
    std::shared_ptr<detail::Client> client_;
};

/// Opens connections on the thread that asks, for those who use `stream()` without an event loop.
///
/// As `Connector` in all else. A wait ends at the deadline, or when the pool closes.
class BlockingConnector : public detail::Hooks {
public:
    explicit BlockingConnector(Options const& options) : tcp_{options.tcp} {
        options.validate();
        client_ = std::make_shared<detail::Client>(options);
    }

    Connection connect(ConnectContext const& context) const {
        auto conn = client_->wrap(std::move(tcp_.connect(context).stream()));
        auto& socket = conn.stream().next_layer();
        adapters::EndOnStop const interrupt{context.lifetime, socket.native_handle()};
        // What a client sends in a handshake fits into the socket's buffer, so only answers are waited for.
        socket.non_blocking(true);
        for (;;) {
            boost::system::error_code failed;
            conn.stream().handshake(boost::asio::ssl::stream_base::client, failed);
            if (!failed) break;
            if (failed == boost::asio::error::would_block || failed == boost::asio::error::try_again)
                failed = await_answer(socket.native_handle(), context);
            if (context.lifetime.stopped()) failed = boost::asio::error::operation_aborted;
            if (failed) client_->fail(failed, conn);
        }
        socket.non_blocking(false);
        conn.watch(context.evictor);
        return conn;
    }

    bool check(Connection& conn) const noexcept { return conn.is_quiet(); }

private:
    static boost::system::error_code await_answer(int socket, ConnectContext const& context) {
        try {
            adapters::wait_for(socket, POLLIN, context.deadline);
        } catch (boost::system::system_error const& error) {
            return error.code();
        }
        return {};
    }

    tcp::BlockingConnector tcp_;
    std::shared_ptr<detail::Client> client_;
};

}  // namespace weir::tls
