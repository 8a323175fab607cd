// What went wrong: as a code, as an exception, as a text.

#include <gtest/gtest.h>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <weir/detail/failure.hpp>

namespace weir::detail {
namespace {

namespace sys = boost::system;

template <class E>
Failure thrown(E e) {
    try {
        throw e;
    } catch (...) {
        return Failure::current();
    }
}

TEST(Failure, IsNoneAtFirst) {
    Failure const none;
    EXPECT_FALSE(none);
    EXPECT_FALSE(none.is_foreign);
}

TEST(Failure, OfACodeIsThatCodeAndThrowsIt) {
    Failure const failure{Errc::closed, {}};
    EXPECT_TRUE(failure);
    EXPECT_EQ(failure.text(), failure.code.message());
    try {
        failure.raise();
        FAIL() << "it came back";
    } catch (sys::system_error const& e) {
        EXPECT_EQ(e.code(), Errc::closed);
    }
}

// The connector's own error or exception reaches the acquirer unchanged.
TEST(Failure, KeepsTheCodeOfASystemErrorAndItsText) {
    auto const code = sys::errc::make_error_code(sys::errc::connection_refused);
    auto const failure = thrown(sys::system_error{code, "to the moon"});
    EXPECT_EQ(failure.code, code);
    EXPECT_FALSE(failure.is_foreign);
    EXPECT_NE(failure.text().find("to the moon"), std::string::npos);
    EXPECT_THROW(failure.raise(), sys::system_error);
}

TEST(Failure, UnderstandsTheStandardsSystemError) {
    auto const failure = thrown(std::system_error{std::make_error_code(std::errc::timed_out)});
    EXPECT_EQ(failure.code, sys::errc::timed_out);
    EXPECT_FALSE(failure.is_foreign);
    EXPECT_THROW(failure.raise(), std::system_error) << "it stays what was thrown";
}

TEST(Failure, AnExceptionWithoutACodeIsConnectFailedAndStaysItself) {
    auto const failure = thrown(std::runtime_error{"no such thing"});
    EXPECT_EQ(failure.code, Errc::connect_failed);
    EXPECT_TRUE(failure.is_foreign);
    EXPECT_EQ(failure.text(), "no such thing");
    EXPECT_THROW(failure.raise(), std::runtime_error);
}

TEST(Failure, AnExceptionMayBeAnything) {
    auto const failure = thrown(42);
    EXPECT_EQ(failure.code, Errc::connect_failed);
    EXPECT_FALSE(failure.text().empty());
    EXPECT_THROW(failure.raise(), int);
    EXPECT_TRUE(thrown(std::bad_alloc{}).is_foreign);
}

TEST(Failure, AnExceptionWhoseCodeIsSuccessIsAFailureAllTheSame) {
    EXPECT_TRUE(thrown(sys::system_error{sys::error_code{}}));
}

TEST(Failure, IsMadeOfAnExceptionThatWasCarriedElsewhere) {
    auto const carried = std::make_exception_ptr(sys::system_error{Errc::shed});
    auto const failure = Failure::of(carried);
    EXPECT_EQ(failure.code, Errc::shed);
    EXPECT_EQ(failure.exception, carried);
}

}  // namespace
}  // namespace weir::detail
