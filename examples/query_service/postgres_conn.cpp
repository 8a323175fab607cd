#include "postgres_conn.hpp"

#ifdef WEIR_HAVE_LIBPQ

#include <poll.h>

#include <algorithm>
#include <array>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <system_error>

#include "postgres_error.hpp"

namespace query_service {

namespace asio = boost::asio;

namespace {

constexpr Oid int8_oid = 20;  // pg_type.dat: `int8`

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

}  // namespace

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
        throw postgres_failure(PQerrorMessage(conn_.get()));
    }
}

bool PgConn::flushed() {
    int const left = PQflush(conn_.get());
    if (left < 0) {
        throw postgres_failure(PQerrorMessage(conn_.get()));
    }
    return left == 0;
}

void PgConn::receive() {
    if (PQconsumeInput(conn_.get()) == 0) {
        throw postgres_failure(PQerrorMessage(conn_.get()));
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
        throw postgres_failure(PQerrorMessage(conn_.get()));
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
        throw postgres_failure(answer.error);
    }
    co_return answer.outcome;
}

void PgConn::wait_for(short events, std::chrono::steady_clock::time_point deadline) {
    using std::chrono::milliseconds;
    auto const left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd watched{.fd = PQsocket(conn_.get()), .events = events, .revents = 0};
    int const ready = ::poll(&watched, 1, static_cast<int>(std::max(left, milliseconds{0}).count()));
    if (ready == 0) {
        throw postgres_failure("the server does not answer");
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
        throw postgres_failure(answer.error);
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

}  // namespace query_service

#endif
