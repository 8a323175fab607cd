#pragma once
// A handle of Connector/C, and what it is told.

#include <mariadb/mysql.h>

#include <algorithm>
#include <boost/system/errc.hpp>
#include <chrono>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <weir/adapters/error.hpp>
#include <weir/adapters/mariadb_exchange.hpp>
#include <weir/adapters/mariadb_options.hpp>
#include <weir/adapters/session_settings.hpp>

namespace weir::mariadb::detail {

struct Close {
    // Says goodbye and waits for nothing.
    void operator()(MYSQL* mysql) const noexcept { mysql_close(mysql); }
};
using Handle = std::unique_ptr<MYSQL, Close>;

/// One that is not connected yet.
inline Handle make_handle(Options const& options, std::chrono::steady_clock::time_point deadline) {
    // The library prepares itself when it is first used, but not for several threads at once.
    static int const unprepared = mysql_server_init(0, nullptr, nullptr);
    Handle handle{unprepared == 0 ? mysql_init(nullptr) : nullptr};
    if (!handle) throw std::bad_alloc{};

    auto const set = [&](mysql_option option, auto value) {
        if (mysql_optionsv(handle.get(), option, value) != 0) throw std::bad_alloc{};
    };
    // Its own default is 60 KiB, on which it loads plugins and shakes hands. Only what is used is ever made.
    std::size_t const stack = 256UL * 1024;
    set(MYSQL_OPT_NONBLOCK, &stack);
    unsigned const protocol = options.unix_socket.empty() ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET;
    set(MYSQL_OPT_PROTOCOL, &protocol);
    set(MYSQL_SET_CHARSET_NAME, options.charset.c_str());
    unsigned const no = 0;
    set(MYSQL_OPT_LOCAL_INFILE, &no);  // a server could ask for any file
    if (!options.tls) return handle;

    my_bool const yes = 1;
    set(MYSQL_OPT_SSL_ENFORCE, &yes);
    set(MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
    set(MYSQL_OPT_SSL_CA, options.tls->authorities.c_str());
    if (!options.tls->certificate.empty()) {
        set(MYSQL_OPT_SSL_CERT, options.tls->certificate.c_str());
        set(MYSQL_OPT_SSL_KEY, options.tls->key.c_str());
    }
    // For the handshake, in which it waits by itself, and counts in seconds.
    auto const left = std::chrono::ceil<std::chrono::seconds>(deadline - std::chrono::steady_clock::now());
    unsigned const patience = static_cast<unsigned>(std::clamp<std::chrono::seconds::rep>(left.count(), 1, 3600));
    set(MYSQL_OPT_CONNECT_TIMEOUT, &patience);
    return handle;
}

/// Connects a handle.
class Opening final : public Exchange {
public:
    /// The options must live as long as this.
    Opening(MYSQL* mysql, Options const& options) : Exchange{mysql}, options_{options} {}

private:
    int begin() override {
        auto const or_none = [](std::string const& text) { return text.empty() ? nullptr : text.c_str(); };
        return mysql_real_connect_start(&opened_, mysql(), or_none(options_.host), options_.user.c_str(),
                                        options_.password.c_str(), or_none(options_.database), options_.port,
                                        or_none(options_.unix_socket), 0);
    }
    int go_on(int has_come) override { return mysql_real_connect_cont(&opened_, mysql(), has_come); }
    bool next() override {
        if (!opened_) fail();
        return false;
    }

    Options const& options_;
    MYSQL* opened_ = nullptr;
};

inline auto reset(MYSQL* mysql) {
    return Call{mysql, [mysql](int* result) { return mysql_reset_connection_start(result, mysql); },
                &mysql_reset_connection_cont};
}
inline auto ping(MYSQL* mysql) {
    return Call{mysql, [mysql](int* result) { return mysql_ping_start(result, mysql); }, &mysql_ping_cont};
}
inline auto set_charset(MYSQL* mysql, std::string const& name) {
    return Call{mysql,
                [mysql, &name](int* result) { return mysql_set_character_set_start(result, mysql, name.c_str()); },
                &mysql_set_character_set_cont};
}
inline auto use(MYSQL* mysql, std::string const& database) {
    return Call{mysql,
                [mysql, &database](int* result) { return mysql_select_db_start(result, mysql, database.c_str()); },
                &mysql_select_db_cont};
}

[[noreturn]] inline void refuse(std::string const& why) {
    throw adapters::Error{make_error_code(boost::system::errc::invalid_argument), "weir: mariadb: " + why};
}

/// Whether another database than that may be the default one now.
inline bool has_strayed(MYSQL const* mysql, std::string const& database) {
    std::string_view const current = mysql->db ? mysql->db : "";
    if (database.empty() && !current.empty()) refuse("a session cannot go back to no database");
    bool const is_told = (mysql->server_capabilities & CLIENT_SESSION_TRACKING) != 0;  // of every change
    return !database.empty() && (current != database || !is_told);
}

inline std::string quoted(MYSQL* mysql, std::string_view text) {
    std::string literal(2 * text.size() + 2, '\'');  // the library ends it with a null
    literal.resize(1 + mysql_real_escape_string(mysql, literal.data() + 1, text.data(), text.size()));
    return literal += '\'';
}

/// What settings ask for.
struct Wish {
    std::string assignments{};  ///< a statement, or nothing
    std::optional<std::string> database{};
};

inline bool is_identifier(std::string_view name) noexcept {
    auto const is_digit = [](char c) { return c >= '0' && c <= '9'; };
    auto const is_word = [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
    };
    return !name.empty() && !is_digit(name.front()) && std::all_of(name.begin(), name.end(), is_word);
}

inline bool is_number(std::string_view text) noexcept {
    auto const skip_digits = [&] {
        auto const size = std::min(text.find_first_not_of("0123456789"), text.size());
        text.remove_prefix(size);
        return size != 0;
    };
    if (text.starts_with('-')) text.remove_prefix(1);
    if (!skip_digits()) return false;
    if (!text.starts_with('.')) return text.empty();
    text.remove_prefix(1);
    return skip_digits() && text.empty();
}

inline Wish wish(MYSQL* mysql, adapters::SessionSettings const& settings) {
    Wish wish;
    for (auto const& [name, value] : settings) {
        if (name == "database") {
            if (value.empty() || value.find('\0') != value.npos) refuse("no name of a database: '" + value + "'");
            wish.database = value;
            continue;
        }
        bool const is_users = name.starts_with('@');
        if (!is_identifier(is_users ? std::string_view{name}.substr(1) : name))
            refuse("no name of a variable: '" + name + "'");
        // How literals are quoted would be another matter then.
        if (name == "character_set_client") refuse("the character set is one of the options, not a setting");
        wish.assignments += wish.assignments.empty() ? "SET " : ", ";
        // Variables that are numbers take no text.
        wish.assignments +=
            (is_users ? name : "SESSION " + name) + " = " + (is_number(value) ? value : quoted(mysql, value));
    }
    return wish;
}

}  // namespace weir::mariadb::detail
