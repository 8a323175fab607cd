// Cancelling an acquire at every step of its way: nothing is lost, whatever the step.
// rule 13, rule 17 (and rule Z): exactly one answer, the gauges agree, and the next acquire succeeds.

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <string>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using asio::cancellation_type;

// Opens and recycles in several steps of the pool's executor, so that there is something between the steps.
class Walker {
public:
    explicit Walker(Ledger& ledger) : ledger_{&ledger} {}
    asio::awaitable<Conn> connect() {
        co_await walk();
        co_return Conn{*ledger_};
    }
    asio::awaitable<bool> recycle(Conn&) {
        co_await walk();
        co_return true;
    }
    asio::awaitable<void> close(Conn& conn) {
        conn.closed();
        co_return;
    }

private:
    static asio::awaitable<void> walk() {
        for (int i = 0; i != 3; ++i) co_await asio::post(asio::use_awaitable);
    }

    Ledger* ledger_;
};

using Walk = World<Walker>;

// The situations an acquire can meet; the second thing each needs happens at step 2.
enum class Scene { opens, finds_idle, waits_for_a_return, waits_for_a_connect };

struct Step {
    Scene scene;
    cancellation_type type;
};

// Cancels after `step` handlers have run; false when the acquire had ended before.
bool cancel_at(Scene scene, cancellation_type type, int step) {
    Walk world{{.size = {.low = 0, .high = 1}}};
    Lease held;
    Got ahead;
    if (scene == Scene::waits_for_a_return) held = world.take();
    if (scene == Scene::finds_idle) {
        world.take().release();
        EXPECT_TRUE(run_until(world.io, [&] { return world.pool.stats().idle == 1; }));
    }
    if (scene == Scene::waits_for_a_connect) world.pool.async_acquire(ahead.handler());

    asio::cancellation_signal signal;
    Got got;
    world.pool.async_acquire(asio::bind_cancellation_slot(signal.slot(), got.handler()));
    world.io.restart();
    for (int i = 0; i != step; ++i) {
        if (i == 2) held.release();
        if (ahead.done()) ahead.lease.release();
        world.io.restart();
        world.io.poll_one();
    }
    bool const in_time = !got.done();
    signal.emit(type);
    held.release();
    EXPECT_TRUE(run_until(world.io, [&] {
        if (ahead.done()) ahead.lease.release();
        return got.done() && (scene != Scene::waits_for_a_connect || ahead.done());
    }));
    EXPECT_TRUE(got.succeeded() || got.failed_with(asio::error::operation_aborted)) << got.ec.message();
    if (scene == Scene::waits_for_a_connect) {
        EXPECT_FALSE(ahead.ec) << "somebody else paid for it: " << ahead.ec.message();
    }
    ahead.lease.release();
    got.lease.release();

    auto const stats = world.pool.stats();
    EXPECT_EQ(stats.open, stats.connecting + stats.idle + stats.leased + stats.closing);
    EXPECT_LE(stats.open, 1u);
    EXPECT_EQ(stats.waiting, 0u);
    EXPECT_EQ(got.calls, 1);
    world.take().release();
    EXPECT_EQ(world.ledger.opened(), 1) << "a resource was lost on the way";
    world.end();
    EXPECT_EQ(got.calls, 1);
    return in_time;
}

class EveryStep : public testing::TestWithParam<Step> {};

// rule 13, rule 17
TEST_P(EveryStep, Rule13LosesNothing) {
    int step = 0;
    while (cancel_at(GetParam().scene, GetParam().type, step) && !HasFailure()) {
        ASSERT_LT(++step, 1'000) << "the acquire never ended by itself";
    }
    EXPECT_GE(step, 1);
}

constexpr Step steps[] = {
    {Scene::opens, cancellation_type::terminal},
    {Scene::opens, cancellation_type::all},
    {Scene::finds_idle, cancellation_type::terminal},
    {Scene::finds_idle, cancellation_type::total},
    {Scene::waits_for_a_return, cancellation_type::terminal},
    {Scene::waits_for_a_return, cancellation_type::partial},
    {Scene::waits_for_a_connect, cancellation_type::terminal},
    {Scene::waits_for_a_connect, cancellation_type::total},
};

std::string name_of(testing::TestParamInfo<Step> const& tested) {
    static constexpr char const* names[] = {"Opens", "FindsIdle", "WaitsForAReturn", "WaitsForAConnect"};
    return names[static_cast<int>(tested.param.scene)] + std::to_string(tested.index);
}

INSTANTIATE_TEST_SUITE_P(Cancellation, EveryStep, testing::ValuesIn(steps), name_of);

}  // namespace
