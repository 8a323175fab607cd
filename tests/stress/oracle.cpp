// Operations of all kinds at random, by threads and handlers, on pools of many kinds, against an oracle that keeps its
// own account of every resource (`support/oracle.hpp`): one owner at a time, the setting asked for, nothing closed, worn,
// too old, too long idle or out of date is lent, no more open than may be, counters that agree with what happened; each
// pool is closed, or destroyed, in the midst of it or when all is quiet (rules Z, 1 to 5, 8, 11 to 13, 15 to 18, 20, 22,
// 24, 26, 28, 31, 32, 35 to 43, 48, 50).
//
// WEIR_ORACLE_SECONDS is how long each kind of pool is tried, 2 unless told, and WEIR_ORACLE_SEED where chance begins: the
// scheduler has its say, too, so a failure may take some tries to come again. An argument names the one kind to be tried.

#include "support/oracle_life.hpp"

#include <charconv>
#include <cstring>
#include <string_view>

namespace {

using asio_stress::failures;
using namespace oracle;

/// A number from the environment.
std::uint64_t setting_of(char const* name, std::uint64_t usual) {
    char const* const text = std::getenv(name);
    if (!text) return usual;
    std::uint64_t number = 0;
    char const* const end = text + std::strlen(text);
    auto const [rest, error] = std::from_chars(text, end, number);
    if (error == std::errc{} && rest == end && rest != text) return number;
    std::cerr << name << " is no number: \"" << text << "\"\n";
    std::exit(2);
}

template <class Kind>
long long live(std::uint64_t& seed, std::uint64_t seconds) {
    auto const end = Clock::now() + std::chrono::seconds{seconds};
    long long lives = 0;
    do {
        auto const life = std::make_unique<Life<Kind>>(seed);
        life->run();
        ++lives;
        if (failures > 0)
            std::cerr << "try again: WEIR_ORACLE_SEED=" << seed << " stress_oracle " << Kind::name << '\n';
        ++seed;
    } while (failures == 0 && Clock::now() < end);
    return lives;
}

template <class... Kinds>
long long live_all(std::string_view only, std::uint64_t seed, std::uint64_t seconds) {
    return (0 + ... + (only.empty() || only == Kinds::name ? live<Kinds>(seed, seconds) : 0));
}

}  // namespace

int main(int argc, char** argv) {
    auto const seconds = setting_of("WEIR_ORACLE_SECONDS", 2);
    auto const seed = setting_of("WEIR_ORACLE_SEED", std::random_device{}());
    std::printf("WEIR_ORACLE_SEED=%llu WEIR_ORACLE_SECONDS=%llu\n", 0ULL + seed, 0ULL + seconds);
    std::string_view const only{argc > 1 ? argv[1] : ""};
    auto const lives =
        live_all<Usual, Limited, Walking, Retrying, Shedding, Dropping, Keeping, Eager>(only, seed, seconds);
    check(lives > 0, "there is such a kind of pool");
    return asio_stress::verdict("oracle", lives);
}
