// TLS streams in a pool: who is trusted, what is lent and what is not, what is resumed, and what the errors say.

#include "support/asio.hpp"
#include "support/certificates.hpp"
#include "support/stream_server.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>
#include <weir/adapters/tls.hpp>
#include <weir/pool.hpp>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

namespace ssl = asio::ssl;
using namespace std::chrono_literals;
using adapters::SocketState;
using testing::ManualClock;

using Stream = ssl::stream<tcp::socket>;
using TlsPool = Pool<weir::tls::Connection, Upkeep, ManualClock>;

// The last thread of a pool may see the end of main; OpenSSL is not to clean up behind its back.
[[maybe_unused]] int const no_cleanup = ::OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);

Identity const& authority() {
    static Identity const one = Identity::authority("the tests' authority");
    return one;
}

Identity const& good_identity() {
    static Identity const one = authority().issue({.names = "DNS:good.test,IP:127.0.0.1"});
    return one;
}

/// Echoes over TLS.
class Server : public StreamServer<tcp, Stream> {
public:
    explicit Server(Identity const& identity = good_identity(), Serve serve = &echo<Stream>)
        : Server{std::make_shared<ssl::context>(ssl::context::tls_server), identity, std::move(serve)} {}

    ssl::context& context() { return *context_; }

    /// Says goodbye, and leaves the socket open.
    static void say_goodbye(Stream& stream) {
        error_code no_answer_yet;
        stream.next_layer().non_blocking(true);
        stream.shutdown(no_answer_yet);
        EXPECT_EQ(no_answer_yet, asio::error::would_block);
    }
    void say_goodbye_to_all() {
        each([](Stream& stream) { say_goodbye(stream); });
    }

    /// How many handshakes went on from an earlier one.
    int resumed() { return static_cast<int>(::SSL_CTX_sess_hits(context_->native_handle())); }

private:
    Server(std::shared_ptr<ssl::context> const& context, Identity const& identity, Serve serve)
        : StreamServer{anywhere(),
                       [context](tcp::socket socket) -> asio::awaitable<Stream> {
                           Stream stream{std::move(socket), *context};
                           co_await stream.async_handshake(ssl::stream_base::server, asio::use_awaitable);
                           co_return stream;
                       },
                       std::move(serve)},
          context_{context} {
        context->use_certificate_chain(asio::buffer(identity.certificate()));
        context->use_private_key(asio::buffer(identity.key()), ssl::context::pem);
    }

    std::shared_ptr<ssl::context> const context_;
};

/// For whom the tests' authority is one.
weir::tls::Options trusting_at(std::string service) {
    return {.tcp = {.host = "127.0.0.1", .service = std::move(service)},
            .server_name = "good.test",
            .configure = [](ssl::context& context) {
                context.add_certificate_authority(asio::buffer(authority().certificate()));
            }};
}

template <class Connector>
class Tls : public ::testing::Test {
protected:
    // With room for one only, as an acquire that comes during a check is then given what is checked.
    std::unique_ptr<TlsPool> pool_at(weir::tls::Options to, TlsPool::Options options = {.size = {.high = 1}}) {
        return pool_of(Unwatched<Connector>{std::move(to)}, std::move(options));
    }
    std::unique_ptr<TlsPool> pool_at(std::string service) { return pool_at(trusting_at(std::move(service))); }

    template <class Any>
    std::unique_ptr<TlsPool> pool_of(Any connector, TlsPool::Options options = {}) {
        options.upkeep.check_after_idle = 1ms;
        return std::make_unique<TlsPool>(io.get_executor(), std::move(connector), std::move(options));
    }

    // Lends one and gives it back; its socket.
    static int make_idle(TlsPool& pool) {
        auto conn = pool.acquire();
        EXPECT_EQ(exchange(conn->stream(), "hello"), "hello");
        int const socket = conn->stream().next_layer().native_handle();
        conn.release();
        return socket;
    }

    // The one that is idle is seen to be unfit, and another lent in its place, which works.
    static void expect_replaced(TlsPool& pool) {
        ManualClock::advance(1s);
        auto conn = pool.acquire();
        EXPECT_EQ(exchange(conn->stream(), "again"), "again");
        EXPECT_EQ(conn.id(), 2u);
        EXPECT_TRUE(eventually([&] { return pool.stats().closed_unhealthy == 1; }));
    }

    static void expect_drained(TlsPool& pool) {
        EXPECT_TRUE(pool.close(20s));
        EXPECT_EQ(pool.stats().open, 0u);
    }

    // What an acquire from a server with that identity fails with.
    boost::system::system_error failure_with(
        Identity const& identity, std::function<void(weir::tls::Options&)> const& change = [](auto&) {}) {
        Server server{identity};
        auto options = trusting_at(server.service());
        change(options);
        auto const pool = pool_at(std::move(options));
        auto error = failure_of(*pool);
        EXPECT_NE(std::string{error.what()}.find("127.0.0.1:" + server.service()), std::string::npos) << error.what();
        expect_drained(*pool);
        EXPECT_TRUE(server.have_ended(1));
        EXPECT_EQ(server.opened(), 0u);
        return error;
    }

    asio::io_context io;
    tcp::socket unused{io, tcp::v4()};  // with it the context opens what it needs itself
    asio_test::Runner runner{io};
};

using Connectors = ::testing::Types<weir::tls::Connector, weir::tls::BlockingConnector>;
TYPED_TEST_SUITE(Tls, Connectors);

bool becomes(int socket, SocketState state) {
    return eventually([&] { return adapters::look_at(socket) == state; });
}

bool says(boost::system::system_error const& error, std::string const& text) {
    return std::string{error.what()}.find(text) != std::string::npos;
}

// ---- what is lent

TYPED_TEST(Tls, LendsAnIdleOneAgain) {
    Server server;
    auto const pool = this->pool_at(server.service());
    this->make_idle(*pool);
    ManualClock::advance(1s);
    {
        auto const conn = pool->acquire();
        EXPECT_EQ(conn.id(), 1u);
        EXPECT_EQ(exchange(conn->stream(), "again"), "again");
    }
    EXPECT_EQ(server.opened(), 1u);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, ClosesAnIdleOneAtOnceWhoseServerHangsUpThoughNothingIsChecked) {
    auto server = std::make_unique<Server>();
    auto const pool = this->pool_of(TypeParam{trusting_at(server->service())});
    this->make_idle(*pool);
    EXPECT_EQ(pool->stats().idle, 1u);
    server.reset();
    EXPECT_TRUE(eventually([&] { return pool->stats().open == 0; })) << "nobody has told the pool";
    EXPECT_EQ(pool->stats().closed_unhealthy, 1u);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, LendsOneToWhichOnlyTicketsHaveCome) {
    Server server;
    auto const pool = this->pool_at(server.service());
    auto conn = pool->acquire();
    int const socket = conn->stream().next_layer().native_handle();
    ASSERT_TRUE(becomes(socket, SocketState::readable));
    conn.release();
    ManualClock::advance(1s);
    conn = pool->acquire();
    EXPECT_EQ(conn.id(), 1u);
    EXPECT_EQ(adapters::look_at(socket), SocketState::quiet) << "the tickets have not been taken in";
    EXPECT_EQ(exchange(conn->stream(), "hello"), "hello");
    conn.release();
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, DoesNotLendOneWhosePeerHasSaidGoodbye) {
    Server server;
    auto const pool = this->pool_at(server.service());
    int const socket = this->make_idle(*pool);
    server.say_goodbye_to_all();
    ASSERT_TRUE(becomes(socket, SocketState::readable));
    this->expect_replaced(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, DoesNotLendOneWhosePeerHasSaidGoodbyeBehindTickets) {
    Server server;
    auto const pool = this->pool_at(server.service());
    auto conn = pool->acquire();
    int const socket = conn->stream().next_layer().native_handle();
    ASSERT_TRUE(becomes(socket, SocketState::readable));
    ASSERT_TRUE(eventually([&] { return server.open() == 1; }));
    server.say_goodbye_to_all();
    conn.release();
    this->expect_replaced(*pool);
    this->expect_drained(*pool);
}

// What came together with the answer has left the socket, which looks quiet.
TYPED_TEST(Tls, DoesNotLendOneWhosePeerHasSaidGoodbyeWithItsAnswer) {
    std::atomic<bool> said_goodbye = false;
    Server server{good_identity(), [&](Stream& stream) -> asio::awaitable<void> {
                      std::string question(5, '\0');
                      co_await asio::async_read(stream, asio::buffer(question), asio::use_awaitable);
                      co_await asio::async_write(stream, asio::buffer(question), asio::use_awaitable);
                      if (question == "hello") Server::say_goodbye(stream);
                      said_goodbye = true;
                      co_await swallow(stream);
                  }};
    auto const pool = this->pool_at(server.service());
    auto conn = pool->acquire();
    int const socket = conn->stream().next_layer().native_handle();
    asio::write(conn->stream(), asio::buffer("hello", 5));
    ASSERT_TRUE(eventually([&] { return said_goodbye.load(); }));
    std::string answer(5, '\0');
    asio::read(conn->stream(), asio::buffer(answer));
    EXPECT_EQ(answer, "hello");
    ASSERT_EQ(adapters::look_at(socket), SocketState::quiet);
    ASSERT_EQ(::SSL_get_shutdown(conn->native_handle()), 0);
    conn.release();
    this->expect_replaced(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, DoesNotLendOneWhosePeerHasClosed) {
    Server server;
    auto const pool = this->pool_at(server.service());
    int const socket = this->make_idle(*pool);
    server.close_all();
    ASSERT_TRUE(becomes(socket, SocketState::closed));
    this->expect_replaced(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, DoesNotLendOneWhosePeerWillSayNothingMore) {
    Server server;
    auto const pool = this->pool_at(server.service());
    int const socket = this->make_idle(*pool);
    server.half_close_all();
    ASSERT_TRUE(becomes(socket, SocketState::closed));
    this->expect_replaced(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, DoesNotLendOneWhosePeerHasReset) {
    Server server;
    auto const pool = this->pool_at(server.service());
    int const socket = this->make_idle(*pool);
    server.reset_all();
    ASSERT_TRUE(becomes(socket, SocketState::closed));
    this->expect_replaced(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, DoesNotLendOneInWhichDataWaitsThatNobodyAskedFor) {
    Server server;
    auto const pool = this->pool_at(server.service());
    int const socket = this->make_idle(*pool);
    server.say_to_all("by the way");
    ASSERT_TRUE(becomes(socket, SocketState::readable));
    this->expect_replaced(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, DoesNotKeepOneWithHalfAnAnswerInIt) {
    Server server;
    auto const pool = this->pool_at(server.service());
    {
        auto const conn = pool->acquire();
        asio::write(conn->stream(), asio::buffer("hello", 5));
        char begin = 0;
        asio::read(conn->stream(), asio::buffer(&begin, 1));
    }
    EXPECT_EQ(pool->stats().idle, 0u);
    EXPECT_EQ(pool->acquire().id(), 2u);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, DoesNotKeepOneWhoseUserHasReadTheGoodbye) {
    Server server;
    auto const pool = this->pool_at(server.service());
    {
        auto const conn = pool->acquire();
        EXPECT_EQ(exchange(conn->stream(), "hello"), "hello");
        server.say_goodbye_to_all();
        char byte = 0;
        error_code ec;
        conn->stream().read_some(asio::buffer(&byte, 1), ec);
        EXPECT_EQ(ec, asio::error::eof);
    }
    EXPECT_EQ(pool->stats().idle, 0u);
    EXPECT_EQ(pool->acquire().id(), 2u);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, DoesNotKeepOneWhosePeerHasHungUpWhileItWasHeld) {
    Server server;
    TypeParam const connector{trusting_at(server.service())};
    auto const pool = this->pool_of(connector);
    auto conn = pool->acquire();
    EXPECT_EQ(exchange(conn->stream(), "hello"), "hello");
    EXPECT_TRUE(connector.recycle(*conn));
    server.close_all();
    EXPECT_TRUE(eventually([&] { return !connector.recycle(*conn); }));
    conn.release();
    EXPECT_EQ(pool->stats().idle, 0u);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, SaysGoodbyeAtTheEnd) {
    Server server;
    auto const pool = this->pool_at(server.service());
    this->make_idle(*pool);
    this->expect_drained(*pool);
    ASSERT_TRUE(server.have_ended(1));
    EXPECT_EQ(server.ends().front(), asio::error::eof) << "not a goodbye, but " << server.ends().front().message();
}

// The server reads nothing and its goodbye never comes.
TYPED_TEST(Tls, WaitsForNoGoodbye) {
    Server server{good_identity(), [](Stream& stream) -> asio::awaitable<void> {
                      asio::steady_timer never{stream.get_executor(), 24h};
                      co_await never.async_wait(asio::use_awaitable);
                  }};
    auto const pool = this->pool_at(server.service());
    pool->acquire().release();
    auto const begin = std::chrono::steady_clock::now();
    this->expect_drained(*pool);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
    server.each([](Stream& stream) { stream.lowest_layer().close(); });
}

// ---- who is trusted

TYPED_TEST(Tls, TrustsAnAddressThatTheCertificateNames) {
    Server server;
    auto options = trusting_at(server.service());
    options.server_name.clear();
    auto const pool = this->pool_at(std::move(options));
    this->make_idle(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, AsksForTheServerByName) {
    Server server;
    std::string asked;
    auto const note = [](SSL* with, int*, void* out) {
        auto const* const name = ::SSL_get_servername(with, TLSEXT_NAMETYPE_host_name);
        *static_cast<std::string*>(out) = name ? name : "nobody";
        return SSL_TLSEXT_ERR_OK;
    };
    ::SSL_CTX_set_tlsext_servername_callback(server.context().native_handle(), +note);
    ::SSL_CTX_set_tlsext_servername_arg(server.context().native_handle(), &asked);
    auto const pool = this->pool_at(server.service());
    this->make_idle(*pool);
    this->expect_drained(*pool);
    EXPECT_EQ(asked, "good.test");
}

TYPED_TEST(Tls, DoesNotTrustWhoHasAnotherName) {
    auto const error = this->failure_with(good_identity(), [](auto& options) { options.server_name = "other.test"; });
    EXPECT_EQ(error.code(), weir::tls::Errc::wrong_host) << error.what();
    EXPECT_TRUE(says(error, "hostname mismatch")) << error.what();
}

TYPED_TEST(Tls, DoesNotTrustWhoHasAnotherAddress) {
    auto const error = this->failure_with(authority().issue({.names = "DNS:good.test,IP:127.0.0.2"}),
                                          [](auto& options) { options.server_name.clear(); });
    EXPECT_EQ(error.code(), weir::tls::Errc::wrong_address) << error.what();
}

TYPED_TEST(Tls, DoesNotTrustWhoseTimeIsOver) {
    auto const error = this->failure_with(authority().issue({.names = "DNS:good.test", .from = -2h, .to = -1h}));
    EXPECT_EQ(error.code(), weir::tls::Errc::expired) << error.what();
    EXPECT_TRUE(says(error, "certificate has expired")) << error.what();
}

TYPED_TEST(Tls, DoesNotTrustWhoseTimeIsToCome) {
    auto const error = this->failure_with(authority().issue({.names = "DNS:good.test", .from = 1h, .to = 2h}));
    EXPECT_EQ(error.code(), weir::tls::Errc::not_yet_valid) << error.what();
}

TYPED_TEST(Tls, DoesNotTrustWhomNobodyKnownHasSigned) {
    auto const stranger = Identity::authority("a stranger");
    auto const error = this->failure_with(stranger.issue({.names = "DNS:good.test"}));
    EXPECT_EQ(error.code(), weir::tls::Errc::unknown_authority) << error.what();
    EXPECT_EQ(error.code().category().name(), std::string{"weir.tls"});
}

TYPED_TEST(Tls, DoesNotTrustWhoHasSignedForHimself) {
    auto const error = this->failure_with(Identity::self_signed({.names = "DNS:good.test"}));
    EXPECT_EQ(error.code(), weir::tls::Errc::self_signed) << error.what();
}

// By default it is the system's authorities that are trusted, and they do not know the tests'.
TYPED_TEST(Tls, TrustsTheSystemsAuthoritiesOnly) {
    auto const error = this->failure_with(good_identity(), [](auto& options) { options.configure = nullptr; });
    EXPECT_EQ(error.code(), weir::tls::Errc::unknown_authority) << error.what();
}

/// A file with the tests' authority.
class AuthorityFile {
public:
    AuthorityFile() { std::ofstream{name_} << authority().certificate(); }
    AuthorityFile(AuthorityFile const&) = delete;
    AuthorityFile& operator=(AuthorityFile const&) = delete;
    ~AuthorityFile() { std::remove(name_.c_str()); }

    std::string const& name() const { return name_; }

private:
    std::string const name_ = ::testing::TempDir() + "weir_tls_" + std::to_string(::getpid()) + ".pem";
};

TYPED_TEST(Tls, TrustsTheAuthoritiesOfAFile) {
    Server server;
    AuthorityFile const file;
    auto options = trusting_at(server.service());
    options.configure = nullptr;
    options.ca_file = file.name();
    auto const pool = this->pool_at(std::move(options));
    this->make_idle(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, TrustsTheAuthoritiesThatTheSystemIsToldToTrust) {
    Server server;
    AuthorityFile const file;
    auto options = trusting_at(server.service());
    options.configure = nullptr;
    ::setenv("SSL_CERT_FILE", file.name().c_str(), 1);
    auto const pool = this->pool_at(std::move(options));
    ::unsetenv("SSL_CERT_FILE");
    this->make_idle(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, SaysWhichFileThereIsNot) {
    auto options = trusting_at("1");
    options.ca_file = "/nowhere/to/be/found";
    EXPECT_THROW(TypeParam{options}, boost::system::system_error);
}

TYPED_TEST(Tls, TrustsAnybodysNameWhereToldTo) {
    Server server;
    auto options = trusting_at(server.service());
    options.server_name = "other.test";
    options.verify = weir::tls::Verify::authority;
    auto const pool = this->pool_at(std::move(options));
    this->make_idle(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, TrustsEverybodyWhereToldTo) {
    Server server{Identity::self_signed({.names = "DNS:somebody.test"})};
    auto options = trusting_at(server.service());
    options.verify = weir::tls::Verify::nothing;
    auto const pool = this->pool_at(std::move(options));
    this->make_idle(*pool);
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, SpeaksNoVersionThatIsTooOld) {
    Server server;
    ::SSL_CTX_set_min_proto_version(server.context().native_handle(), TLS1_VERSION);
    ::SSL_CTX_set_max_proto_version(server.context().native_handle(), TLS1_1_VERSION);
    // The system may refuse them, too; then the handshake alone says nothing.
    long oldest = 0;
    auto options = trusting_at(server.service());
    options.configure = [&](ssl::context& context) { oldest = SSL_CTX_get_min_proto_version(context.native_handle()); };
    auto const pool = this->pool_at(std::move(options));
    EXPECT_EQ(oldest, TLS1_2_VERSION);
    EXPECT_EQ(failure_of(*pool).code().category().name(), std::string{"asio.ssl"});
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, AgreesOnAProtocol) {
    Server server;
    auto const choose = [](SSL*, unsigned char const** out, unsigned char* size, unsigned char const* offered,
                           unsigned length, void*) {
        // The second of those on offer.
        unsigned const second = 1u + offered[0];
        EXPECT_LT(second, length);
        *out = offered + second + 1;
        *size = offered[second];
        return SSL_TLSEXT_ERR_OK;
    };
    ::SSL_CTX_set_alpn_select_cb(server.context().native_handle(), +choose, nullptr);
    auto options = trusting_at(server.service());
    options.alpn = {"h2", "http/1.1"};
    auto const pool = this->pool_at(std::move(options));
    EXPECT_EQ(pool->acquire()->alpn(), "http/1.1");
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, AgreesOnNoProtocolWhereNoneIsOffered) {
    Server server;
    auto const pool = this->pool_at(server.service());
    EXPECT_EQ(pool->acquire()->alpn(), "");
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, RefusesOptionsThatCannotBe) {
    auto const text_for = [](weir::tls::Options const& options) -> std::string {
        try {
            TypeParam const connector{options};
        } catch (std::invalid_argument const& error) {
            return error.what();
        }
        return "accepted";
    };
    auto options = trusting_at("1");
    EXPECT_EQ(text_for(options), "accepted");
    options.alpn = {"h2", ""};
    EXPECT_NE(text_for(options).find("tls::Options::alpn"), std::string::npos);
    options.alpn = {std::string(256, 'x')};
    EXPECT_NE(text_for(options).find("tls::Options::alpn"), std::string::npos);
    options.alpn = {};
    options.tcp.host.clear();
    EXPECT_NE(text_for(options).find("tcp::Options::host"), std::string::npos);
}

// ---- what is resumed

TlsPool::Options const several{.size = {.high = 5}};

TYPED_TEST(Tls, ResumesASessionOnce) {
    Server server;
    ::SSL_CTX_set_num_tickets(server.context().native_handle(), 1);
    auto const pool = this->pool_at(trusting_at(server.service()), several);
    auto first = pool->acquire();
    EXPECT_FALSE(first->resumed());
    EXPECT_EQ(exchange(first->stream(), "hello"), "hello");  // with which the ticket has come
    auto const second = pool->acquire();
    EXPECT_TRUE(second->resumed());
    auto const third = pool->acquire();
    EXPECT_FALSE(third->resumed()) << "a ticket was used twice";
    EXPECT_EQ(exchange(second->stream(), "hello"), "hello");  // a new one
    auto const fourth = pool->acquire();
    EXPECT_TRUE(fourth->resumed());
    EXPECT_EQ(server.resumed(), 2);
}

TYPED_TEST(Tls, ResumesTheSessionOfOneThatWasDiscarded) {
    Server server;
    auto const pool = this->pool_at(trusting_at(server.service()), several);
    auto conn = pool->acquire();
    EXPECT_EQ(exchange(conn->stream(), "hello"), "hello");
    conn.discard();
    EXPECT_TRUE(pool->acquire()->resumed());
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, ResumesTheSessionOfOneThatWasCutOff) {
    Server server;
    auto const pool = this->pool_at(trusting_at(server.service()), several);
    {
        auto conn = pool->acquire().detach();
        EXPECT_EQ(exchange(conn.stream(), "hello"), "hello");
        conn.stream().lowest_layer().close();  // no goodbye
    }
    auto const conn = pool->acquire();
    EXPECT_TRUE(conn->resumed());
}

TYPED_TEST(Tls, ResumesASessionOfTls12ManyTimes) {
    Server server;
    ::SSL_CTX_set_max_proto_version(server.context().native_handle(), TLS1_2_VERSION);
    auto const pool = this->pool_at(trusting_at(server.service()), several);
    auto const first = pool->acquire();
    EXPECT_FALSE(first->resumed());
    EXPECT_TRUE(pool->acquire()->resumed());
    {
        auto conn = pool->acquire().detach();
        conn.stream().lowest_layer().close();
    }
    auto const second = pool->acquire();
    auto const third = pool->acquire();
    EXPECT_TRUE(second->resumed());
    EXPECT_TRUE(third->resumed());
}

TYPED_TEST(Tls, KeepsNoMoreSessionsThanItMay) {
    Server server;
    ::SSL_CTX_set_num_tickets(server.context().native_handle(), 4);
    auto options = trusting_at(server.service());
    options.max_sessions = 2;
    auto const pool = this->pool_at(std::move(options), several);
    auto const first = pool->acquire();
    EXPECT_EQ(exchange(first->stream(), "hello"), "hello");
    std::vector<Lease<weir::tls::Connection>> more;
    for (int i = 0; i != 3; ++i) more.push_back(pool->acquire());
    EXPECT_TRUE(more[0]->resumed());
    EXPECT_TRUE(more[1]->resumed());
    EXPECT_FALSE(more[2]->resumed());
}

TYPED_TEST(Tls, ResumesNothingWhereToldNotTo) {
    Server server;
    auto options = trusting_at(server.service());
    options.max_sessions = 0;
    auto const pool = this->pool_at(std::move(options), several);
    auto const first = pool->acquire();
    EXPECT_EQ(exchange(first->stream(), "hello"), "hello");
    EXPECT_FALSE(pool->acquire()->resumed());
}

TYPED_TEST(Tls, GathersSessionsWhileThePoolIsGone) {
    Server server;
    auto pool = this->pool_at(trusting_at(server.service()), several);
    auto conn = pool->acquire().detach();
    pool.reset();
    EXPECT_EQ(exchange(conn.stream(), "hello"), "hello");
}

// ---- who does not speak TLS

TYPED_TEST(Tls, SaysThatTheServerDoesNotSpeakTls) {
    StreamServer<tcp> server{anywhere(), [](tcp::socket socket) -> asio::awaitable<tcp::socket> { co_return socket; },
                             [](tcp::socket& socket) -> asio::awaitable<void> {
                                 co_await asio::async_write(
                                     socket, asio::buffer("HTTP/1.1 400 Bad Request\r\n\r\n", 28), asio::use_awaitable);
                                 co_await swallow(socket);
                             }};
    auto const pool = this->pool_at(server.service());
    auto const error = failure_of(*pool);
    EXPECT_EQ(error.code(), weir::tls::Errc::no_tls) << error.what();
    EXPECT_TRUE(says(error, "does not speak TLS")) << error.what();
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, SaysThatTheServerHungUp) {
    StreamServer<tcp> server{anywhere(), [](tcp::socket socket) -> asio::awaitable<tcp::socket> { co_return socket; },
                             [](tcp::socket& socket) -> asio::awaitable<void> {
                                 std::string hello(100, '\0');
                                 co_await asio::async_read(socket, asio::buffer(hello), asio::use_awaitable);
                                 socket.shutdown(tcp::socket::shutdown_send);
                                 co_await swallow(socket);
                             }};
    auto const pool = this->pool_at(server.service());
    auto const error = failure_of(*pool);
    EXPECT_EQ(error.code(), weir::tls::Errc::hung_up) << error.what();
    this->expect_drained(*pool);
}

TYPED_TEST(Tls, SaysWhoRefused) {
    DeadPort const nobody;
    auto const pool = this->pool_at(nobody.service());
    EXPECT_EQ(failure_of(*pool).code(), asio::error::connection_refused);
    this->expect_drained(*pool);
}

using Silent = StreamServer<tcp>;

TYPED_TEST(Tls, GivesUpAHandshakeAtItsTimeout) {
    Silent server{anywhere(), [](tcp::socket socket) -> asio::awaitable<tcp::socket> { co_return socket; },
                  &swallow<tcp::socket>};
    auto const before = open_descriptors();
    // Long enough for it to get there: who runs out of time before has not begun to connect.
    auto const pool = this->pool_at(trusting_at(server.service()), {.connect = {.timeout = 2s}});
    auto const error = failure_of(*pool);
    EXPECT_EQ(error.code(), Errc::timed_out) << error.what();
    this->expect_drained(*pool);
    EXPECT_TRUE(server.have_ended(1)) << "the socket is still open";
    EXPECT_EQ(server.opened(), 1u);
    EXPECT_EQ(open_descriptors(), before);
}

TYPED_TEST(Tls, EndsAHandshakeWhenThePoolCloses) {
    Silent server{anywhere(), [](tcp::socket socket) -> asio::awaitable<tcp::socket> { co_return socket; },
                  &swallow<tcp::socket>};
    auto const before = open_descriptors();
    auto const pool = this->pool_at(server.service());
    auto failure = std::async(std::launch::async, [&] { return failure_of(*pool); });
    ASSERT_TRUE(eventually([&] { return server.open() == 1; }));
    EXPECT_TRUE(pool->close(5s));
    EXPECT_EQ(failure.get().code(), Errc::closed);
    EXPECT_TRUE(server.have_ended(1)) << "the socket is still open";
    EXPECT_EQ(open_descriptors(), before);
}

// ---- all at once

TYPED_TEST(Tls, ServesManyThreads) {
    Server server;
    auto const pool = this->pool_at(trusting_at(server.service()), {.size = {.high = 3}});
    {
        std::vector<std::jthread> clients;
        for (int i = 0; i != 4; ++i)
            clients.emplace_back([&, i] {
                for (int round = 0; round != 25; ++round) {
                    auto conn = pool->acquire();
                    EXPECT_EQ(exchange(conn->stream(), "hello"), "hello");
                    ManualClock::advance(1s);
                    if (round % 5 == i) conn.discard();
                }
            });
    }
    EXPECT_GT(server.resumed(), 0);
    this->expect_drained(*pool);
}

TEST(TlsCoroutines, ShareAPoolOnThreeThreads) {
    Server server;
    asio::io_context io;
    TlsPool pool{io.get_executor(),
                 weir::tls::Connector{trusting_at(server.service())},
                 {.size = {.high = 4}, .upkeep = {.check_after_idle = 1ms}}};
    auto const client = [&](int number) -> asio::awaitable<void> {
        for (int round = 0; round != 20; ++round) {
            auto conn = co_await pool.async_acquire(asio::use_awaitable);
            std::string answer(5, '\0');
            co_await asio::async_write(conn->stream(), asio::buffer("hello", 5), asio::use_awaitable);
            co_await asio::async_read(conn->stream(), asio::buffer(answer), asio::use_awaitable);
            EXPECT_EQ(answer, "hello");
            ManualClock::advance(1s);
            if (round % 5 == number % 5) conn.discard();
        }
    };
    std::vector<std::future<void>> ends;
    {
        asio_test::Runner const runner{io, 3};
        for (int number = 0; number != 8; ++number)
            ends.push_back(asio::co_spawn(asio::make_strand(io), client(number), asio::use_future));
        for (auto& end : ends) EXPECT_NO_THROW(end.get());
        EXPECT_TRUE(pool.close(20s));
    }
    EXPECT_GT(server.resumed(), 0);
    asio_test::expect_clean_end(pool, io);
}

TEST(TlsCoroutines, ConnectCheckAndTalkOnOneThread) {
    Server server;
    asio::io_context io;
    TlsPool pool{io.get_executor(),
                 Unwatched<weir::tls::Connector>{trusting_at(server.service())},
                 {.size = {.high = 1}, .upkeep = {.check_after_idle = 1ms}}};
    auto const client = [&]() -> asio::awaitable<std::vector<std::uint64_t>> {
        std::vector<std::uint64_t> ids;
        for (int i = 0; i != 3; ++i) {
            auto conn = co_await pool.async_acquire(asio::use_awaitable);
            ids.push_back(conn.id());
            std::string answer(5, '\0');
            co_await asio::async_write(conn->stream(), asio::buffer("hello", 5), asio::use_awaitable);
            co_await asio::async_read(conn->stream(), asio::buffer(answer), asio::use_awaitable);
            EXPECT_EQ(answer, "hello");
            int const socket = conn->stream().next_layer().native_handle();
            conn.release();
            if (i == 1) {
                server.close_all();
                EXPECT_TRUE(becomes(socket, SocketState::closed));
            }
            ManualClock::advance(1s);
        }
        co_return ids;
    };
    auto ids = asio::co_spawn(io, client(), asio::use_future);
    EXPECT_TRUE(asio_test::run_dry(io));
    EXPECT_EQ(ids.get(), (std::vector<std::uint64_t>{1, 1, 2}));
    asio_test::expect_clean_end(pool, io);
}

}  // namespace
}  // namespace weir::test
