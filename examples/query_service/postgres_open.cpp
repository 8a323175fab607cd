// How a connection to a PostgreSQL server is opened, and what it says of itself.
#include "postgres_conn.hpp"

#ifdef WEIR_HAVE_LIBPQ

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <system_error>

#include "postgres_error.hpp"

namespace query_service {

namespace asio = boost::asio;

namespace {

/// libpq wants two arrays of C strings, each ended by a null.
struct Arrays {
    explicit Arrays(PgParameters const& parameters) {
        for (auto const& [keyword, value] : parameters) {
            keywords.push_back(keyword.c_str());
            values.push_back(value.c_str());
        }
        keywords.push_back(nullptr);
        values.push_back(nullptr);
    }
    std::vector<char const*> keywords;
    std::vector<char const*> values;
};

constexpr int expand_dbname = 1;

}  // namespace

PgConn PgConn::open(PgParameters const& parameters) {
    Arrays const arrays{parameters};
    PgConn conn{PQconnectdbParams(arrays.keywords.data(), arrays.values.data(), expand_dbname)};
    if (PQstatus(conn.conn_.get()) != CONNECTION_OK) {
        throw postgres_failure(PQerrorMessage(conn.conn_.get()));
    }
    PQsetNoticeProcessor(
        conn.conn_.get(), [](void*, char const*) {}, nullptr);
    return conn;
}

PgConn::Socket PgConn::watch(PGconn* conn, asio::any_io_executor const& executor) {
    // A descriptor of Asio's own: libpq closes its socket when it likes, and a number closed behind the reactor's back
    // may by then belong to somebody else.
    int const copy = ::dup(PQsocket(conn));
    if (copy < 0) {
        throw std::system_error(errno, std::generic_category(), "cannot watch the connection");
    }
    return Socket{executor, copy};
}

asio::awaitable<PgConn> PgConn::async_open(PgParameters const& parameters) {
    auto const executor = co_await asio::this_coro::executor;
    Arrays const arrays{parameters};
    // Looks up host names before it returns; name an address, or keep a resolver's cache near, to spare that wait.
    PgConn conn{PQconnectStartParams(arrays.keywords.data(), arrays.values.data(), expand_dbname)};
    PGconn* const pg = conn.conn_.get();
    auto state = PQstatus(pg) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING) {
        // Watched anew at every step: libpq moves on to another socket when an address does not answer.
        Socket socket = watch(pg, executor);
        auto const event = state == PGRES_POLLING_READING ? Socket::wait_read : Socket::wait_write;
        co_await socket.async_wait(event, asio::use_awaitable);
        state = PQconnectPoll(pg);
    }
    if (state != PGRES_POLLING_OK || PQsetnonblocking(pg, 1) != 0) {
        throw postgres_failure(PQerrorMessage(pg));
    }
    PQsetNoticeProcessor(
        pg, [](void*, char const*) {}, nullptr);
    conn.socket_ = watch(pg, executor);
    co_return conn;
}

asio::generic::stream_protocol::endpoint PgConn::peer() const {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getpeername(PQsocket(conn_.get()), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        throw std::system_error(errno, std::generic_category(), "cannot tell where the server is");
    }
    return {&address, size};
}

PgParameters PgConn::by_way_of(std::uint16_t port) const {
    PgParameters way{{"hostaddr", "127.0.0.1"}, {"port", std::to_string(port)}};
    way.emplace_back("host", PQhost(conn_.get()));  // for its certificate, and the one of several that answered
    // It may come from a file that knows the server by its own port.
    if (char const* const password = PQpass(conn_.get()); password != nullptr && *password != '\0') {
        way.emplace_back("password", password);
    }
    return way;
}

std::string PgConn::describe() const {
    int const version = PQserverVersion(conn_.get());  // 150013 is 15.13
    return "PostgreSQL " + std::to_string(version / 10'000) + "." + std::to_string(version % 10'000) + ", database " +
           PQdb(conn_.get()) + " at " + PQhost(conn_.get()) + ":" + PQport(conn_.get());
}

}  // namespace query_service

#endif
