#pragma once
// Which MariaDB server to connect to, and as whom.

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <weir/adapters/socket.hpp>

namespace weir::mariadb {

/// How a server proves who it is, and maybe the client: files in PEM. The server's certificate must be for
/// `Options::host`.
struct Tls {
    std::string authorities{};  ///< whose certificates are trusted
    std::string certificate{};  ///< the client's own, and what goes with it
    std::string key{};
};

/// How an idle session is looked at.
enum class Check : std::uint8_t {
    /// One look at the socket, without a round trip. Sees that the server has ended the session, not that it hangs or
    /// that the network is gone.
    passive,
    round_trip  ///< the server answers a COM_PING
};

/// What a connector connects to.
struct Options {
    /// A name or an address. "localhost" means TCP here, too.
    std::string host{};
    std::uint16_t port = 3306;
    /// The path of a socket, instead of a host.
    std::string unix_socket{};
    std::string user{};
    std::string password{};
    /// The one that unqualified names are of. None: there is none.
    std::string database{};
    std::string charset = "utf8mb4";
    /// Only for `BlockingConnector`: while it shakes hands Connector/C blocks, whatever it is asked for.
    std::optional<Tls> tls{};
    Check check = Check::passive;
    /// How long `query`, which blocks, waits for an answer; then the connection is lost. Coroutines wait until they are
    /// cancelled.
    std::chrono::milliseconds query_timeout = std::chrono::seconds{30};

    /// Throws `std::invalid_argument` naming the field that is wrong.
    void validate() const {
        auto const demand = [](bool good, char const* text) {
            if (!good) throw std::invalid_argument{text};
        };
        auto const is_text = [](std::string const& value) { return value.find('\0') == value.npos; };
        demand(host.empty() != unix_socket.empty(),
               "weir: mariadb::Options::host must be given, or else unix_socket, and not both");
        // Connector/C takes both for something else: several hosts, and a plugin.
        demand(is_text(host) && host.find(',') == host.npos && host.find("://") == host.npos,
               "weir: mariadb::Options::host must be one name or address");
        demand(port != 0, "weir: mariadb::Options::port must not be 0");
        demand(is_text(unix_socket) && unix_socket.size() < 108,  // sockaddr_un
               "weir: mariadb::Options::unix_socket must be a path of less than 108 bytes");
        demand(is_text(user), "weir: mariadb::Options::user must not contain a null");
        demand(is_text(password), "weir: mariadb::Options::password must not contain a null");
        demand(is_text(database), "weir: mariadb::Options::database must not contain a null");
        demand(!charset.empty() && is_text(charset), "weir: mariadb::Options::charset must not be empty");
        demand(!tls || unix_socket.empty(), "weir: mariadb::Options::tls must be left out with unix_socket");
        demand(!tls || (!tls->authorities.empty() && is_text(tls->authorities)),
               "weir: mariadb::Tls::authorities must not be empty");
        demand(!tls || tls->certificate.empty() == tls->key.empty(),
               "weir: mariadb::Tls::key must be given with certificate");
        demand(query_timeout > query_timeout.zero() && query_timeout <= adapters::longest_timeout,
               "weir: mariadb::Options::query_timeout must be above zero, and at most a year");
    }
};

}  // namespace weir::mariadb
