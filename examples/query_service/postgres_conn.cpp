#include "postgres_conn.hpp"

#ifdef WEIR_HAVE_LIBPQ

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <system_error>

namespace query_service {

namespace asio = boost::asio;

namespace {

constexpr Oid int8_oid = 20;  // pg_type.dat: `int8`

class PgCategory final : public boost::system::error_category {
public:
    char const* name() const noexcept override { return "postgres"; }
    std::string message(int) const override { return "PostgreSQL failed"; }
};

DatabaseError failure(std::string_view text) {
    static PgCategory const category;
    std::string line;
    // libpq writes several, some indented, and breaks the last one, too.
    while (!text.empty()) {
        auto const end = std::min(text.find('\n'), text.size());
        auto const begin = std::min(text.find_first_not_of(" \t\n"), end);
        if (begin < end) {
            line += (line.empty() ? "" : "; ") + std::string(text.substr(begin, end - begin));
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return {boost::system::error_code{1, category}, line};
}

struct Clear {
    void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, Clear>;

std::int64_t number(std::string_view text) {
    std::int64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

Outcome outcome_of(PGresult* result) {
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        return {.rows = number(PQcmdTuples(result)), .value = 0};
    }
    int const rows = PQntuples(result);
    return {.rows = rows, .value = rows > 0 ? number(PQgetvalue(result, 0, 0)) : 0};
}

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
        throw failure(PQerrorMessage(conn.conn_.get()));
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
        throw failure(PQerrorMessage(pg));
    }
    PQsetNoticeProcessor(
        pg, [](void*, char const*) {}, nullptr);
    conn.socket_ = watch(pg, executor);
    co_return conn;
}

void PgConn::send(Statement const& statement) {
    std::array<std::array<char, 24>, 5> texts{};
    std::array<char const*, 5> values{};
    std::array<Oid, 5> types{};
    for (std::size_t i = 0; i < statement.arity; ++i) {
        std::to_chars(texts[i].data(), texts[i].data() + texts[i].size() - 1, statement.args[i]);
        values[i] = texts[i].data();
        types[i] = int8_oid;
    }
    char const* const sql = common_sql[static_cast<std::size_t>(statement.query)];
    if (PQsendQueryParams(conn_.get(), sql, static_cast<int>(statement.arity), types.data(), values.data(), nullptr,
                          nullptr, 0) == 0) {
        throw failure(PQerrorMessage(conn_.get()));
    }
}

bool PgConn::flushed() {
    int const left = PQflush(conn_.get());
    if (left < 0) {
        throw failure(PQerrorMessage(conn_.get()));
    }
    return left == 0;
}

void PgConn::receive() {
    if (PQconsumeInput(conn_.get()) == 0) {
        throw failure(PQerrorMessage(conn_.get()));
    }
}

/// Takes what has come. True when the answer is whole; until then nothing else may be sent.
bool PgConn::collect(Answer& answer) {
    while (PQisBusy(conn_.get()) == 0) {
        Result const result{PQgetResult(conn_.get())};
        if (!result) {
            return true;
        }
        auto const status = PQresultStatus(result.get());
        if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
            answer.outcome = outcome_of(result.get());
        } else {
            answer.error = PQresultErrorMessage(result.get());
        }
    }
    return false;
}

void PgConn::send_text(std::string const& sql) {
    if (PQsendQuery(conn_.get(), sql.c_str()) == 0) {
        throw failure(PQerrorMessage(conn_.get()));
    }
}

asio::awaitable<Outcome> PgConn::async_run(Statement const& statement) {
    send(statement);
    return async_finish();
}

asio::awaitable<Outcome> PgConn::async_run_text(std::string const& sql) {
    send_text(sql);
    return async_finish();
}

asio::awaitable<Outcome> PgConn::async_finish() {
    while (!flushed()) {
        // Statements here are far shorter than the server's buffers, so it cannot be waiting for us to read first.
        co_await socket_->async_wait(Socket::wait_write, asio::use_awaitable);
    }
    Answer answer;
    while (!collect(answer)) {
        co_await socket_->async_wait(Socket::wait_read, asio::use_awaitable);
        receive();
    }
    if (!answer.error.empty()) {
        throw failure(answer.error);
    }
    co_return answer.outcome;
}

void PgConn::wait_for(short events, std::chrono::steady_clock::time_point deadline) {
    using std::chrono::milliseconds;
    auto const left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd watched{.fd = PQsocket(conn_.get()), .events = events, .revents = 0};
    int const ready = ::poll(&watched, 1, static_cast<int>(std::max(left, milliseconds{0}).count()));
    if (ready == 0) {
        throw failure("the server does not answer");
    }
    if (ready < 0 && errno != EINTR) {
        throw std::system_error(errno, std::generic_category(), "poll");
    }
}

Outcome PgConn::finish(std::chrono::seconds patience) {
    auto const deadline = std::chrono::steady_clock::now() + patience;
    while (!flushed()) {
        wait_for(POLLOUT, deadline);
    }
    Answer answer;
    while (!collect(answer)) {
        wait_for(POLLIN, deadline);
        receive();
    }
    if (!answer.error.empty()) {
        throw failure(answer.error);
    }
    return answer.outcome;
}

Outcome PgConn::run(Statement const& statement) {
    send(statement);
    return finish(default_patience);
}

Outcome PgConn::run_text(std::string const& sql, std::chrono::seconds patience) {
    send_text(sql);
    return finish(patience);
}

bool PgConn::alive() noexcept {
    pollfd watched{.fd = PQsocket(conn_.get()), .events = POLLIN, .revents = 0};
    while (::poll(&watched, 1, 0) > 0) {
        if (PQconsumeInput(conn_.get()) == 0) {
            return false;
        }
    }
    return clean();
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
