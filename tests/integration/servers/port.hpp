#pragma once
// Ports of 127.0.0.1, and whether somebody listens there.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>

namespace weir::test {

/// A descriptor that is closed at its end.
class Descriptor {
public:
    explicit Descriptor(int fd) noexcept : fd_{fd} {}
    Descriptor(Descriptor const&) = delete;
    Descriptor& operator=(Descriptor const&) = delete;
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const noexcept { return fd_; }

private:
    int fd_;
};

inline sockaddr_in loopback(std::uint16_t port) noexcept {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/// A port that nobody has now.
///
/// Below those that the kernel gives to clients: while a server on one of those is down, a client that tries to reach it
/// again and again is given that very port some day, is connected to itself, and keeps the server from coming back.
inline std::uint16_t free_port() {
    int clients_from = 32768;
    std::ifstream{"/proc/sys/net/ipv4/ip_local_port_range"} >> clients_from;
    std::random_device random;
    std::uniform_int_distribution<int> any{10'000, std::max(clients_from - 1, 20'000)};
    for (int attempt = 0; attempt < 1000; ++attempt) {
        auto const port = static_cast<std::uint16_t>(any(random));
        sockaddr_in const address = loopback(port);
        Descriptor const probe{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        int const yes = 1;
        ::setsockopt(probe.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        if (::bind(probe.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) == 0) return port;
    }
    throw std::runtime_error{"no free port on 127.0.0.1"};
}

/// Says something to a listener and returns all it answers until it hangs up, falls silent for five seconds, or is not
/// there at all.
inline std::string talk(sockaddr const* address, std::size_t size, std::string const& words) {
    Descriptor const peer{::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (::connect(peer.get(), address, static_cast<socklen_t>(size)) != 0) return {};
    if (::send(peer.get(), words.data(), words.size(), MSG_NOSIGNAL) < 0) return {};
    std::string answer;
    for (;;) {
        pollfd readable{.fd = peer.get(), .events = POLLIN, .revents = 0};
        char buffer[4096];
        if (::poll(&readable, 1, 5000) <= 0) return answer;
        auto const got = ::recv(peer.get(), buffer, sizeof buffer, 0);
        if (got <= 0) return answer;
        answer.append(buffer, static_cast<std::size_t>(got));
    }
}
inline std::string talk(std::uint16_t port, std::string const& words) {
    sockaddr_in const address = loopback(port);
    return talk(reinterpret_cast<sockaddr const*>(&address), sizeof address, words);
}
inline std::string talk(std::string const& path, std::string const& words) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) throw std::runtime_error{"too long for a socket: " + path};
    std::memcpy(address.sun_path, path.data(), path.size());
    return talk(reinterpret_cast<sockaddr const*>(&address), sizeof address, words);
}

/// Whether somebody accepts connections there.
inline bool listening(std::uint16_t port) {
    sockaddr_in const address = loopback(port);
    Descriptor const peer{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    return ::connect(peer.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) == 0;
}

}  // namespace weir::test
