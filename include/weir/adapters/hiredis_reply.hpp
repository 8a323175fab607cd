#pragma once
// What a Redis server says, and what it says when it refuses.

#include <hiredis/hiredis.h>

#include <algorithm>
#include <array>
#include <boost/system/error_category.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace weir::hiredis {

/// Why a server refused, by the first word of what it said, or why a connection cannot be used.
enum class Errc {
    refused = 1,          ///< ERR, and whatever has no name here
    unknown_command,      ///< ERR unknown command: an older server
    wrong_password,       ///< WRONGPASS, or no such user
    no_auth,              ///< NOAUTH: it wants a password, and none was given
    no_permission,        ///< NOPERM: the user may not do that
    too_many_clients,     ///< ERR max number of clients reached
    protected_mode,       ///< DENIED: it serves its own machine only
    loading,              ///< LOADING: it has just started
    read_only,            ///< READONLY: a replica, as after a failover
    master_down,          ///< MASTERDOWN: a replica that has lost its master
    too_few_replicas,     ///< NOREPLICAS
    not_saved,            ///< MISCONF: it cannot write to its disk
    out_of_memory,        ///< OOM
    busy,                 ///< BUSY: a script runs
    wrong_type,           ///< WRONGTYPE
    no_script,            ///< NOSCRIPT
    transaction_aborted,  ///< EXECABORT
    unblocked,            ///< UNBLOCKED: somebody ended the wait, or the master has become a replica
    moved,                ///< MOVED or ASK: another node of the cluster has the key
    cluster_down,         ///< CLUSTERDOWN
    not_understood,       ///< what came is no Redis protocol, or not the part that hiredis knows
    unusable,             ///< an earlier command on this connection did not end; nothing was sent
    another_type          ///< the reply is of another type than was asked for
};

namespace detail {

struct Refusal {
    std::string_view beginning;  // of what the server says
    Errc code;
    char const* message;
};

inline constexpr std::array refusals{
    Refusal{"ERR unknown command", Errc::unknown_command, "the server does not know the command"},
    Refusal{"WRONGPASS ", Errc::wrong_password, "wrong user or password"},
    Refusal{"ERR invalid password", Errc::wrong_password, "wrong user or password"},  // before version 6
    Refusal{"NOAUTH ", Errc::no_auth, "the server wants a password"},
    Refusal{"NOPERM ", Errc::no_permission, "the user may not do that"},
    Refusal{"ERR max number of clients", Errc::too_many_clients, "the server has too many clients"},
    Refusal{"DENIED ", Errc::protected_mode, "the server serves its own machine only"},
    Refusal{"LOADING ", Errc::loading, "the server has just started and loads its data"},
    Refusal{"READONLY ", Errc::read_only, "the server is a replica"},
    Refusal{"MASTERDOWN ", Errc::master_down, "the server is a replica without its master"},
    Refusal{"NOREPLICAS ", Errc::too_few_replicas, "the server has too few replicas"},
    Refusal{"MISCONF ", Errc::not_saved, "the server cannot write to its disk"},
    Refusal{"OOM ", Errc::out_of_memory, "the server has no more memory"},
    Refusal{"BUSY ", Errc::busy, "the server runs a script"},
    Refusal{"WRONGTYPE ", Errc::wrong_type, "the key holds a value of another type"},
    Refusal{"NOSCRIPT ", Errc::no_script, "the server does not have the script"},
    Refusal{"EXECABORT ", Errc::transaction_aborted, "the transaction was given up"},
    Refusal{"UNBLOCKED ", Errc::unblocked, "the wait was ended"},
    Refusal{"MOVED ", Errc::moved, "another node of the cluster has the key"},
    Refusal{"ASK ", Errc::moved, "another node of the cluster has the key"},
    Refusal{"CLUSTERDOWN ", Errc::cluster_down, "the cluster is down"},
};

class ErrorCategory final : public boost::system::error_category {
public:
    // An id of its own makes the category of two shared libraries the same one.
    constexpr ErrorCategory() noexcept : boost::system::error_category{0x77656972'72656469ULL} {}

    char const* name() const noexcept override { return "redis"; }

    std::string message(int value) const override { return text(value); }
    char const* message(int value, char*, std::size_t) const noexcept override { return text(value); }

private:
    static constexpr char const* text(int value) noexcept {
        for (Refusal const& refusal : refusals)
            if (static_cast<int>(refusal.code) == value) return refusal.message;
        switch (static_cast<Errc>(value)) {
            case Errc::refused: return "the server refuses";
            case Errc::not_understood: return "what the server says is not understood";
            case Errc::unusable: return "an earlier command on this connection did not end";
            case Errc::another_type: return "the reply is of another type";
            default: return "unknown Redis error";
        }
    }
};

inline constexpr ErrorCategory error_category_instance{};

}  // namespace detail

/// The category of `Errc`, named "redis".
inline boost::system::error_category const& error_category() noexcept { return detail::error_category_instance; }

inline boost::system::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), error_category()}; }

}  // namespace weir::hiredis

template <>
struct boost::system::is_error_code_enum<weir::hiredis::Errc> : std::true_type {};

namespace weir::hiredis {

/// A reply, or an element of one, that somebody else owns. Errors: `system_error` with Errc::another_type.
class ReplyView {
public:
    explicit ReplyView(redisReply const* reply) noexcept : reply_{reply} {}

    bool is_nil() const noexcept { return reply_->type == REDIS_REPLY_NIL; }
    bool is_array() const noexcept { return reply_->type == REDIS_REPLY_ARRAY; }

    /// Why the server refused, or success. Its words are in `text()`.
    boost::system::error_code error() const noexcept {
        if (reply_->type != REDIS_REPLY_ERROR) return {};
        std::string_view const words{reply_->str, reply_->len};
        for (detail::Refusal const& refusal : detail::refusals)
            if (words.starts_with(refusal.beginning)) return refusal.code;
        return Errc::refused;
    }

    /// What a string, a status or an error holds, zeros included. Good for as long as the reply.
    std::string_view text() const {
        auto const type = reply_->type;
        if (type != REDIS_REPLY_STRING && type != REDIS_REPLY_STATUS && type != REDIS_REPLY_ERROR) fail("a string");
        return {reply_->str, reply_->len};
    }

    /// An integer, or a string that is one.
    std::int64_t integer() const {
        if (reply_->type == REDIS_REPLY_INTEGER) return reply_->integer;
        std::int64_t value{};
        auto const digits = reply_->type == REDIS_REPLY_STRING ? text() : std::string_view{};
        auto const [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (digits.empty() || ec != std::errc{} || end != digits.data() + digits.size()) fail("an integer");
        return value;
    }

    /// The number of elements of an array.
    std::size_t size() const {
        if (!is_array()) fail("an array");
        return reply_->elements;
    }
    /// Throws `std::out_of_range`.
    ReplyView operator[](std::size_t i) const {
        if (i >= size()) throw std::out_of_range{"weir: a Redis reply has no such element"};
        return ReplyView{reply_->element[i]};
    }

    /// Throws `system_error` with `error()` and the server's words, if it has refused.
    void throw_error() const {
        if (auto const ec = error()) throw boost::system::system_error{ec, std::string{text()}};
    }

    redisReply const* native_handle() const noexcept { return reply_; }

private:
    [[noreturn]] static void fail(char const* wanted) {
        throw boost::system::system_error{Errc::another_type, std::string{"weir: wanted "} + wanted};
    }

    redisReply const* reply_;
};

/// A reply that owns itself. Movable; an empty one (moved from) may only be destroyed or assigned to.
class Reply : public ReplyView {
public:
    /// Takes what hiredis has made.
    explicit Reply(void* reply) noexcept : ReplyView{static_cast<redisReply*>(reply)}, owned_{reply} {}

private:
    struct Free {
        void operator()(void* reply) const noexcept { freeReplyObject(reply); }
    };
    std::unique_ptr<void, Free> owned_;
};

}  // namespace weir::hiredis
