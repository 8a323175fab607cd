// Streams of UNIX domain sockets in a pool.

#include "support/asio.hpp"
#include "support/stream_server.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>
#include <weir/adapters/local.hpp>
#include <weir/pool.hpp>
#include <weir/testing/manual_clock.hpp>

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using asio::local::stream_protocol;
using testing::ManualClock;

using LocalPool = Pool<weir::local::Connection, Upkeep, ManualClock>;
using Server = StreamServer<stream_protocol>;

/// A name that nobody else has, in no directory.
std::string fresh_path() {
    static std::atomic<int> number = 0;
    return '\0' + ("weir_local_" + std::to_string(::getpid()) + "_" + std::to_string(++number));
}

template <class Connector>
class Local : public ::testing::Test {
protected:
    std::unique_ptr<LocalPool> pool_at(std::string const& path) {
        return std::make_unique<LocalPool>(
            io.get_executor(), Unwatched<Connector>{{.path = path}},
            LocalPool::Options{.size = {.high = 1}, .upkeep = {.check_after_idle = 1ms}});
    }

    asio::io_context io;
    asio_test::Runner runner{io};
};

using Connectors = ::testing::Types<weir::local::Connector, weir::local::BlockingConnector>;
TYPED_TEST_SUITE(Local, Connectors);

TYPED_TEST(Local, LendsAnIdleOneAgainUnlessItsPeerHasClosed) {
    auto const path = fresh_path();
    Server server{path};
    auto const pool = this->pool_at(path);
    auto const use = [&] {
        auto const conn = pool->acquire();
        EXPECT_EQ(exchange(conn->stream(), "hello"), "hello");
        return conn.id();
    };
    EXPECT_EQ(use(), 1u);
    ManualClock::advance(1s);
    EXPECT_EQ(use(), 1u);
    server.close_all();
    ManualClock::advance(1s);
    EXPECT_EQ(use(), 2u);
    EXPECT_TRUE(pool->close(20s));
    EXPECT_EQ(pool->stats().closed_unhealthy, 1u);
}

TYPED_TEST(Local, ClosesAnIdleOneWhenItsPeerHangsUp) {
    auto const path = fresh_path();
    Server server{path};
    LocalPool pool{this->io.get_executor(), TypeParam{{.path = path}}};
    EXPECT_EQ(exchange(pool.acquire()->stream(), "hello"), "hello");
    server.close_all();
    EXPECT_TRUE(eventually([&] { return pool.stats().closed_unhealthy == 1; }));
    EXPECT_TRUE(pool.close(20s));
}

TYPED_TEST(Local, SaysWhereNobodyListens) {
    auto const pool = this->pool_at("/nowhere/to/be/found");
    auto const error = failure_of(*pool);
    EXPECT_EQ(error.code(), boost::system::errc::no_such_file_or_directory);
    EXPECT_NE(std::string{error.what()}.find("/nowhere/to/be/found"), std::string::npos) << error.what();
}

// Asio takes that for a connection.
TYPED_TEST(Local, SaysThatAServerHasNoRoom) {
    auto const path = fresh_path();
    stream_protocol::acceptor full{this->io, path};
    full.listen(0);
    std::vector<stream_protocol::socket> waiting;
    waiting.emplace_back(this->io).connect(path);
    auto const pool = this->pool_at(path);
    EXPECT_EQ(failure_of(*pool).code(), asio::error::try_again);
    EXPECT_TRUE(pool->close(20s));
}

TYPED_TEST(Local, RefusesPathsThatCannotBe) {
    auto const text_for = [](std::string const& path) -> std::string {
        try {
            TypeParam const connector{{.path = path}};
        } catch (std::invalid_argument const& error) {
            return error.what();
        }
        return "accepted";
    };
    EXPECT_EQ(text_for(std::string(107, 'x')), "accepted");
    EXPECT_NE(text_for(std::string(108, 'x')).find("Options::path"), std::string::npos);
    EXPECT_NE(text_for("").find("Options::path"), std::string::npos);
}

}  // namespace
}  // namespace weir::test
