// The vocabulary of failures: codes, category, and the text of the exception that people will read in a log.
// rule 5, rule 7, rule 8 and rule 38 as far as they name an error

#include "support/asio.hpp"
#include "support/asio_connector.hpp"

#include <boost/system/error_condition.hpp>
#include <boost/system/system_error.hpp>

#include <weir/error.hpp>

#include <cctype>
#include <iterator>
#include <set>
#include <string>
#include <type_traits>

namespace {

using namespace asio_test;
using namespace std::chrono_literals;
using weir::Errc;

static_assert(boost::system::is_error_code_enum<Errc>::value);
static_assert(std::is_convertible_v<Errc, error_code>);
static_assert(static_cast<int>(Errc::closed) == 1, "0 is success");
static_assert(std::is_enum_v<Errc> && !std::is_convertible_v<Errc, int>, "an enum class");

constexpr Errc all[] = {Errc::closed,    Errc::timed_out, Errc::too_many_waiters,
                        Errc::exhausted, Errc::shed,      Errc::connect_failed};

TEST(Error, EveryCodeIsAFailureWithAMessageOfItsOwn) {
    std::set<std::string> messages;
    std::set<int> values;
    for (Errc e : all) {
        error_code const ec = e;
        EXPECT_TRUE(ec.failed());
        EXPECT_EQ(ec, e);
        EXPECT_EQ(ec, make_error_code(e));
        EXPECT_FALSE(ec.message().empty());
        messages.insert(ec.message());
        values.insert(ec.value());
    }
    EXPECT_EQ(messages.size(), std::size(all));
    EXPECT_EQ(values, (std::set<int>{1, 2, 3, 4, 5, 6}));
}

TEST(Error, AllCodesShareOneCategoryNamedWeir) {
    error_code const first = Errc::closed;
    for (Errc e : all) {
        EXPECT_EQ(error_code{e}.category(), first.category());
    }
    EXPECT_STREQ(first.category().name(), "weir");
    EXPECT_NE(first.category(), boost::system::generic_category());
    EXPECT_NE(first.category(), boost::system::system_category());
}

TEST(Error, IsNothingElsesError) {
    for (Errc e : all) {
        EXPECT_NE(error_code{e}, asio::error::operation_aborted);
        EXPECT_NE(error_code{e}, asio::error::timed_out);
        EXPECT_NE(error_code{e}, error_code{});
    }
}

TEST(Error, AnUnknownValueHasAMessageToo) {
    error_code const unknown{4711, make_error_code(Errc::closed).category()};
    EXPECT_FALSE(unknown.message().empty());
}

// ---- what acquire() throws

// The message of a timed_out exception says why nothing came: open, idle, leased, waiting, the last connect failure.
std::string timed_out_text(bool with_failure) {
    Ledger ledger;
    bool fails = false;
    weir::Pool<Conn> pool{[&] {
                              if (fails) throw boost::system::system_error{refused(), "dialling db7.example"};
                              return Conn{ledger};
                          },
                          {.size = {.low = 0, .high = 2}, .wait = {.timeout = 100ms}}};
    Lease first = pool.try_acquire_for(1min).value();
    if (with_failure) {
        fails = true;
        EXPECT_EQ(pool.try_acquire_for(1min).error(), refused());
        fails = false;
    }
    Lease second = pool.try_acquire_for(1min).value();
    std::string text;
    try {
        Lease third = pool.acquire();
        ADD_FAILURE() << "leased more than high";
    } catch (boost::system::system_error const& e) {
        EXPECT_EQ(e.code(), Errc::timed_out);
        text = e.what();
    }
    first.release();
    second.release();
    EXPECT_TRUE(pool.close(patience));
    return text;
}

// Whether a text gives a number beside a word, in either order: "2 leased", "leased: 2", "leased=2".
bool tells(std::string const& text, std::string const& word, int number) {
    std::string const n = std::to_string(number);
    for (std::string const& phrase : {n + " " + word, word + " " + n, word + ": " + n, word + "=" + n}) {
        auto const at = text.find(phrase);
        if (at == std::string::npos) continue;
        auto const end = at + phrase.size();
        if (at != 0 && std::isdigit(static_cast<unsigned char>(text[at - 1]))) continue;
        if (end != text.size() && std::isalnum(static_cast<unsigned char>(text[end]))) continue;
        return true;
    }
    return false;
}

TEST(Error, ATimedOutExceptionTellsTheStateOfThePool) {
    std::string const text = timed_out_text(false);
    EXPECT_TRUE(tells(text, "open", 2)) << text;
    EXPECT_TRUE(tells(text, "idle", 0)) << text;
    EXPECT_TRUE(tells(text, "leased", 2)) << text;
    EXPECT_NE(text.find("waiting"), std::string::npos) << text;
    EXPECT_EQ(text.find("db7"), std::string::npos) << text;
}

TEST(Error, ATimedOutExceptionTellsTheLastConnectFailure) {
    std::string const text = timed_out_text(true);
    EXPECT_NE(text.find("dialling db7.example"), std::string::npos) << text;
}

TEST(Error, Rule8AcquireThrowsTooManyWaiters) {
    Ledger ledger;
    weir::Pool<Conn> pool{PlainOpener{ledger}, {.size = {.low = 0, .high = 1, .max_waiters = 0}}};
    Lease held = pool.acquire();
    try {
        Lease second = pool.acquire();
        ADD_FAILURE() << "leased more than high";
    } catch (boost::system::system_error const& e) {
        EXPECT_EQ(e.code(), Errc::too_many_waiters);
    }
    EXPECT_EQ(pool.try_acquire_for(1min).error(), Errc::too_many_waiters);
    EXPECT_EQ(pool.try_acquire().error(), Errc::exhausted);
    held.release();
    EXPECT_TRUE(pool.close(patience));
}

}  // namespace
