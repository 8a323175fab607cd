// Bad nights of an HTTP server, and quiet ones.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/stream_traits.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <weir/adapters/tcp.hpp>
#include <weir/adapters/tls.hpp>
#include <weir/error.hpp>
#include <weir/pool.hpp>
#include <weir/testing/manual_clock.hpp>

#include "faults.hpp"
#include "servers/fixture.hpp"
#include "servers/nginx.hpp"
#include "support/coroutine.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

namespace {

using namespace weir::test;
using namespace std::chrono_literals;
namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::asio::error::make_error_code;

http::request<http::empty_body> request_for(std::int64_t question) {
    http::request<http::empty_body> request{http::verb::get, "/" + std::to_string(question), 11};
    request.set(http::field::host, "localhost");
    return request;
}

struct Answer {
    std::int64_t number;
    bool keeps_alive;  // or the server hangs up after this one
};

Answer answer_of(http::response<http::string_body> const& response) {
    return {std::stoll(response.body()), response.keep_alive()};
}

template <class Stream>
asio::awaitable<Answer> async_get(Stream& stream, std::int64_t question) {
    auto const request = request_for(question);
    co_await http::async_write(stream, request, asio::use_awaitable);
    boost::beast::flat_buffer buffer;
    http::response<http::string_body> response;
    co_await http::async_read(stream, buffer, response, asio::use_awaitable);
    co_return answer_of(response);
}

/// An nginx that answers a number with the same number.
NginxOptions echoing(NginxOptions options = {}) {
    options.config += "location ~ ^/(?<number>[0-9]+)$ { return 200 $number; }\n";
    return options;
}

/// Clients of such a server, by `tcp` or by `tls`.
template <class Connector>
class HttpBackend {
public:
    using Connection = typename decltype(std::declval<Connector>().connect({}))::value_type;
    using Drop = weir::DiscardOnException;
    static constexpr char const* name = std::is_same_v<Connector, weir::tls::Connector> ? "nginx, TLS" : "nginx";

    explicit HttpBackend(Nginx& server) : server_{server} {}

    Connector connector(std::string const&) const {
        weir::tcp::Options const tcp{.host = "127.0.0.1", .service = std::to_string(server_.port())};
        if constexpr (std::is_same_v<Connector, weir::tls::Connector>)
            return Connector{{.tcp = tcp, .ca_file = server_.root_certificate()}};
        else
            return Connector{tcp};
    }

    static std::int64_t answer(std::int64_t question) { return question; }
    static asio::awaitable<std::int64_t> async_ask(Connection& conn, std::int64_t question) {
        auto const answer = co_await async_get(conn.stream(), question);
        co_return answer.number;
    }
    /// Only where the server answers: Beast's blocking calls know no deadline.
    static std::int64_t ask(Connection& conn, std::int64_t question) {
        http::write(conn.stream(), request_for(question));
        boost::beast::flat_buffer buffer;
        http::response<http::string_body> response;
        http::read(conn.stream(), buffer, response);
        return answer_of(response).number;
    }

    /// Of everybody: nginx knows no names.
    std::size_t sessions(std::string const&) const { return server_.clients(); }

private:
    Nginx& server_;
};

std::string const end = http::make_error_code(http::error::end_of_stream).message();
std::string const eof = make_error_code(asio::error::eof).message();
std::string const truncated = asio::ssl::error::make_error_code(asio::ssl::error::stream_truncated).message();
std::string const reset = make_error_code(asio::error::connection_reset).message();
std::string const broken = make_error_code(asio::error::broken_pipe).message();
std::string const refused = make_error_code(asio::error::connection_refused).message();
std::string const cancelled = make_error_code(asio::error::operation_aborted).message();
std::string const timed_out = make_error_code(weir::Errc::timed_out).message();

constexpr LoadOptions only_coroutines{.coroutines = 14, .threads = 0};

template <class Connector>
class HttpFaults : public ServerTest<Nginx> {
protected:
    static NginxOptions options(NginxOptions options = {}) {
        if constexpr (std::is_same_v<Connector, weir::tls::Connector>) options.tls = Flaw::none;
        return echoing(std::move(options));
    }
};
using Connectors = ::testing::Types<weir::tcp::Connector, weir::tls::Connector>;
TYPED_TEST_SUITE(HttpFaults, Connectors);

TYPED_TEST(HttpFaults, KilledAndRestarted) {
    Nginx server{TestFixture::options()};
    HttpBackend<TypeParam> backend{server};
    endure(backend,
           {.name = "killed (-9), restarted",
            .begin = [&] { server.kill(); },
            .end = [&] { server.restart(); },
            .cause = refused,
            .others = {end, eof, truncated, reset, broken, timed_out}},
           only_coroutines);
}

TYPED_TEST(HttpFaults, StoppedAndContinued) {
    Nginx server{TestFixture::options()};
    HttpBackend<TypeParam> backend{server};
    endure(backend,
           {.name = "stopped (SIGSTOP), continued",
            .begin = [&] { server.freeze(); },
            .end = [&] { server.thaw(); },
            .cause = cancelled,
            .others = {timed_out}},
           only_coroutines);
}

// The server hangs up after every so many requests, and on those who are quiet for long. By TLS it may only say so, and
// leave the stream open: then the check before a lease has to see it. Nobody notices.
TYPED_TEST(HttpFaults, NoRequestFailsWhereConnectionsEndBetweenRequests) {
    using weir::testing::ManualClock;
    // Longer than we may be held up between two requests, which must not make a night of it.
    Nginx server{TestFixture::options({.keepalive_timeout = 2s, .keepalive_requests = 7})};
    HttpBackend<TypeParam> backend{server};
    asio::io_context io;
    weir::Pool<typename HttpBackend<TypeParam>::Connection, weir::Upkeep, ManualClock> pool{
        io.get_executor(), backend.connector(""), {.upkeep = {.check_after_idle = 1s}}};
    asio_test::run(io, [&]() -> asio::awaitable<void> {
        asio::steady_timer pause{io};
        for (int i = 0; i != 60; ++i) {
            auto lease = co_await pool.async_acquire();
            auto const answer = co_await async_get(lease->stream(), i);
            EXPECT_EQ(answer.number, i);
            // Of our own: the pool may close the connection's while we look.
            int const socket = ::dup(boost::beast::get_lowest_layer(lease->stream()).native_handle());
            answer.keeps_alive ? lease.release() : lease.discard();
            // A quiet night now and then, which ends when the server has said its last word.
            while (i % 20 == 19 && weir::adapters::look_at(socket) == weir::adapters::SocketState::quiet) {
                pause.expires_after(5ms);
                co_await pause.async_wait(asio::use_awaitable);
            }
            ::close(socket);
            if (i % 20 == 19) ManualClock::advance(2s);
        }
    });
    // 20 requests between two nights take three connections; the third is the one that a night ends.
    asio_test::expect_clean_end(pool, io);
    EXPECT_EQ(pool.stats().connected, 9u);
    EXPECT_EQ(pool.stats().closed_discarded, 6u);
    EXPECT_EQ(pool.stats().closed_unhealthy + pool.stats().closed_drained, 3u);
}

}  // namespace
