#pragma once
// A network of the test's own, whose only link can be cut.

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>

#include <cerrno>
#include <exception>
#include <future>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "process.hpp"
#include "server.hpp"

namespace weir::test {

/// A thread in a network namespace of its own. What it starts lives there too.
class Host {
public:
    /// Runs it on this host, and returns what it returns.
    template <class Function>
    auto run(Function function) {
        return boost::asio::post(io_, boost::asio::use_future(std::move(function))).get();
    }

    /// Throws `system_error` where the kernel allows none: that takes the rights of an administrator.
    Host() : thread_{[this] { io_.run(); }} {
        try {
            id_ = run([] {
                if (::unshare(CLONE_NEWNET) != 0)
                    throw std::system_error{errno, std::generic_category(), "cannot make a network namespace"};
                ip({"link", "set", "lo", "up"});
                return ::syscall(SYS_gettid);
            });
        } catch (...) {
            end();
            throw;
        }
    }
    Host(Host const&) = delete;
    Host& operator=(Host const&) = delete;
    ~Host() { end(); }

    long id() const noexcept { return id_; }

    /// The program of that name, on the host that calls this.
    static void ip(Command words) {
        words.insert(words.begin(), program({"/usr/sbin/ip", "/sbin/ip", "/bin/ip"}));
        test::run({.command = std::move(words), .directory = "/", .log = {}, .account = {}});
    }

private:
    void end() {
        work_.reset();
        thread_.join();
    }

    boost::asio::io_context io_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
    std::thread thread_;
    long id_ = 0;
};

/// Two hosts and the cable between them.
class Cable {
public:
    static constexpr char const* near_address = "10.231.0.1";
    static constexpr char const* far_address = "10.231.0.2";

    Cable() {
        near_.run([this] {
            Host::ip(
                {"link", "add", "near", "type", "veth", "peer", "name", "far", "netns", std::to_string(far_.id())});
            Host::ip({"address", "add", std::string{near_address} + "/24", "dev", "near"});
            Host::ip({"link", "set", "near", "up"});
        });
        far_.run([] {
            Host::ip({"address", "add", std::string{far_address} + "/24", "dev", "far"});
            Host::ip({"link", "set", "far", "up"});
        });
    }

    Host& near() noexcept { return near_; }
    Host& far() noexcept { return far_; }

    /// Nothing comes through any more, and nobody is told.
    void cut() {
        far_.run([] { Host::ip({"link", "set", "far", "down"}); });
    }
    void mend() {
        far_.run([] { Host::ip({"link", "set", "far", "up"}); });
    }

private:
    Host near_;
    Host far_;
};

}  // namespace weir::test
