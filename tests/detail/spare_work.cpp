// The work guard that a handler hands on.

#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <weir/detail/spare_work.hpp>

namespace weir::detail {
namespace {

namespace asio = boost::asio;

struct Counts {
    asio::io_context io;
    int begun = 0;
    int ended = 0;
};

// Counts what an executor of Asio's counts in its context.
class Counting {
public:
    explicit Counting(Counts& counts) noexcept : counts_{&counts} {}

    asio::execution_context& context() const noexcept { return counts_->io; }
    void on_work_started() const noexcept { ++counts_->begun; }
    void on_work_finished() const noexcept { ++counts_->ended; }
    template <class Function, class Allocator>
    void dispatch(Function&& function, Allocator const&) const {
        function();
    }
    template <class Function, class Allocator>
    void post(Function&& function, Allocator const&) const {
        function();
    }
    template <class Function, class Allocator>
    void defer(Function&& function, Allocator const&) const {
        function();
    }
    friend bool operator==(Counting const&, Counting const&) = default;

private:
    Counts* counts_;
};

using Spare = SpareWork<Counting>;

TEST(SpareWork, IsANewGuardOutsideOfHandlers) {
    Counts counts;
    {
        auto const guard = Spare::take(Counting{counts});
        EXPECT_TRUE(guard.owns_work());
        EXPECT_EQ(counts.begun, 1);
        EXPECT_EQ(counts.ended, 0);
    }
    EXPECT_EQ(counts.ended, 1);
}

TEST(SpareWork, IsHandedOnOnce) {
    Counts counts;
    Spare const spare{Spare::Guard{Counting{counts}}};
    auto const first = Spare::take(Counting{counts});
    EXPECT_EQ(counts.begun, 1);
    auto const second = Spare::take(Counting{counts});
    EXPECT_EQ(counts.begun, 2);
    EXPECT_TRUE(first.owns_work() && second.owns_work());
}

TEST(SpareWork, EndsWithTheHandlerThatStartsNothing) {
    Counts counts;
    { Spare const spare{Spare::Guard{Counting{counts}}}; }
    EXPECT_EQ(counts.ended, 1);
    auto const guard = Spare::take(Counting{counts});
    EXPECT_EQ(counts.begun, 2);
}

TEST(SpareWork, IsOfNoUseElsewhere) {
    Counts here, there;
    Spare const spare{Spare::Guard{Counting{here}}};
    auto const guard = Spare::take(Counting{there});
    EXPECT_EQ(there.begun, 1);
    EXPECT_TRUE(guard.get_executor() == Counting{there});
}

TEST(SpareWork, IsThatOfTheInnermostHandler) {
    Counts outer, inner;
    Spare const one{Spare::Guard{Counting{outer}}};
    {
        Spare const other{Spare::Guard{Counting{inner}}};
        auto const guard = Spare::take(Counting{inner});
        EXPECT_EQ(inner.begun, 1);
    }
    auto const guard = Spare::take(Counting{outer});
    EXPECT_EQ(outer.begun, 1);
}

}  // namespace
}  // namespace weir::detail
