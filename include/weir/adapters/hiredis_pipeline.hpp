#pragma once
// Commands for a Redis server, and what they leave behind in a session.

#include <hiredis/hiredis.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>
#include <weir/adapters/hiredis_reply.hpp>

namespace weir::hiredis {

namespace detail {

/// What a command that goes well does to a session, beyond its reply.
enum class Effect : std::uint8_t { none, multi, watch, unwatch, end_transaction, lasting };

/// What is known to be left in a session by its commands.
class SessionState {
public:
    /// Nothing that the next user would stumble over.
    bool clean() const noexcept { return !multi_ && !watching_ && !altered_; }

    void take(Effect effect, boost::system::error_code error) noexcept {
        // A transaction that fails has ended all the same.
        if (error && !(effect == Effect::end_transaction && error == Errc::transaction_aborted)) return;
        switch (effect) {
            case Effect::none: break;
            case Effect::multi: multi_ = true; break;
            case Effect::watch: watching_ = true; break;
            case Effect::unwatch: watching_ = false; break;
            case Effect::end_transaction: multi_ = watching_ = false; break;
            case Effect::lasting: altered_ = true; break;
        }
    }

private:
    bool multi_ = false;
    bool watching_ = false;
    bool altered_ = false;
};

inline bool is_word(std::string_view word, std::string_view capitals) noexcept {
    return std::equal(word.begin(), word.end(), capitals.begin(), capitals.end(), [](char a, char b) {
        return (a >= 'a' && a <= 'z' ? static_cast<char>(a - 'a' + 'A') : a) == b;
    });
}
inline bool is_one_of(std::string_view word, std::initializer_list<std::string_view> all) noexcept {
    return std::any_of(all.begin(), all.end(), [&](std::string_view each) { return is_word(word, each); });
}

inline Effect effect_of(std::string_view command, std::string_view what) noexcept {
    if (is_word(command, "MULTI")) return Effect::multi;
    if (is_one_of(command, {"EXEC", "DISCARD"})) return Effect::end_transaction;
    if (is_word(command, "WATCH")) return Effect::watch;
    if (is_word(command, "UNWATCH")) return Effect::unwatch;
    if (is_word(command, "CLIENT")) {
        bool const asks = is_one_of(what, {"ID", "INFO", "LIST", "GETNAME", "GETREDIR", "TRACKINGINFO", "KILL", "PAUSE",
                                           "UNPAUSE", "UNBLOCK", "HELP"});
        return asks ? Effect::none : Effect::lasting;
    }
    if (is_word(command, "SCRIPT")) return is_word(what, "DEBUG") ? Effect::lasting : Effect::none;
    bool const lasts = is_one_of(command, {"SELECT", "AUTH", "HELLO", "RESET", "QUIT", "SUBSCRIBE", "PSUBSCRIBE",
                                           "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "MONITOR",
                                           "SYNC", "PSYNC", "REPLCONF", "READONLY", "READWRITE", "ASKING"});
    return lasts ? Effect::lasting : Effect::none;
}

template <class T>
concept Number = std::is_arithmetic_v<T> && !std::same_as<T, bool> && !std::same_as<T, char>;

/// One word of a command. Strings are referred to, numbers written out.
class Word {
public:
    template <std::convertible_to<std::string_view> T>
    Word(T const& text) noexcept : text_{text} {}  // NOLINT(google-explicit-constructor)
    template <Number T>
    Word(T number) noexcept {  // NOLINT(google-explicit-constructor)
        char* const end = std::to_chars(digits_.data(), digits_.data() + digits_.size(), number).ptr;
        length_ = static_cast<std::size_t>(end - digits_.data());
    }

    std::string_view view() const noexcept { return length_ != 0 ? std::string_view{digits_.data(), length_} : text_; }

private:
    std::string_view text_{};
    std::array<char, 32> digits_{};
    std::size_t length_ = 0;
};

}  // namespace detail

/// Commands that go to the server together, and whose replies come back together: one round trip.
///
///     Pipeline{}.add("SET", key, value).add("EXPIRE", key, 60)
///
/// Words are strings, with any bytes in them, and numbers; they are copied. Commands that are answered more or less
/// than once (SUBSCRIBE of several channels, MONITOR, CLIENT REPLY OFF) do not belong here.
class Pipeline {
public:
    template <class... Words>
        requires(sizeof...(Words) > 0)
    Pipeline& add(Words const&... words) {
        std::array<detail::Word, sizeof...(Words)> const held{detail::Word{words}...};
        std::array<std::string_view, sizeof...(Words)> views;
        std::transform(held.begin(), held.end(), views.begin(), [](detail::Word const& word) { return word.view(); });
        return add_words(views);
    }

    /// One command of as many words as there are. Throws `std::invalid_argument` without any.
    Pipeline& add_words(std::span<std::string_view const> words) {
        if (words.empty()) throw std::invalid_argument{"weir: hiredis::Pipeline: a command has at least one word"};
        std::vector<char const*> pointers;
        std::vector<std::size_t> lengths;
        for (std::string_view const word : words) {
            pointers.push_back(word.data());
            lengths.push_back(word.size());
        }
        char* bytes = nullptr;
        auto const size =
            redisFormatCommandArgv(&bytes, static_cast<int>(words.size()), pointers.data(), lengths.data());
        if (size < 0) throw std::bad_alloc{};
        struct Free {
            void operator()(char* p) const noexcept { redisFreeCommand(p); }
        };
        std::unique_ptr<char, Free> const owned{bytes};
        effects_.push_back(detail::effect_of(words[0], words.size() > 1 ? words[1] : std::string_view{}));
        bytes_.append(bytes, static_cast<std::size_t>(size));
        return *this;
    }

    /// How many commands, and so how many replies.
    std::size_t size() const noexcept { return effects_.size(); }

private:
    friend class Connection;

    std::string bytes_;
    std::vector<detail::Effect> effects_;
};

}  // namespace weir::hiredis
