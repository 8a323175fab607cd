#pragma once
// A directory for a server, which goes with whatever runs in it, also when the test program dies.

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdlib.h>
#include <string>
#include <system_error>

#include "process.hpp"

namespace weir::test {

/// A temporary directory that belongs to an account.
///
/// A shell with that account's rights stands guard. When this object ends, or the test program does in whatever way, it
/// kills all that runs in the directory, frozen or not, and removes it. It is no child of the test, so that whoever
/// kills the test with all its children, as ctest does when the time is up, leaves it to its work.
class Scratch {
public:
    Scratch(std::string const& name, std::optional<Account> account) : account_{account} {
        std::string path = (std::filesystem::temp_directory_path() / ("weir-" + name + ".XXXXXX")).string();
        if (::mkdtemp(path.data()) == nullptr) throw std::system_error{errno, std::generic_category(), path};
        path_ = path;
        give_away(path_);
        try {
            post_guard();
        } catch (...) {
            std::filesystem::remove_all(path_);
            throw;
        }
    }
    Scratch(Scratch const&) = delete;
    Scratch& operator=(Scratch const&) = delete;
    ~Scratch() {
        ::shutdown(guard_, SHUT_WR);
        char byte{};
        while (::read(guard_, &byte, 1) < 0 && errno == EINTR) {
        }  // until it has ended
        ::close(guard_);
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);  // should somebody have killed the guard
    }

    std::filesystem::path const& path() const noexcept { return path_; }
    std::optional<Account> account() const noexcept { return account_; }

    /// Writes a file that nobody else may read, and returns where it is.
    std::filesystem::path write(std::string const& name, std::string const& text) const {
        auto const path = path_ / name;
        std::filesystem::remove(path);
        std::ofstream{path} << text;
        std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
        give_away(path);
        return path;
    }

    /// Makes a directory, and returns where it is.
    std::filesystem::path make_directory(std::string const& name) const {
        auto const path = path_ / name;
        std::filesystem::create_directory(path);
        std::filesystem::permissions(path, std::filesystem::perms::owner_all);
        give_away(path);
        return path;
    }

private:
    void give_away(std::filesystem::path const& path) const {
        if (account_ && ::chown(path.c_str(), account_->user, account_->group) != 0)
            throw std::system_error{errno, std::generic_category(), path.string()};
    }

    void post_guard() {
        // The inner shell is orphaned on purpose. What runs in the directory is known by its working directory, also
        // when its parent is dead and what it calls itself has changed.
        static constexpr char script[] = R"sh(
            exec 3<&0
            (
                while read -r _; do :; done
                while
                    left=$(ls -ld /proc/[0-9]*/cwd 2>/dev/null | while read -r entry; do
                        case $entry in
                            *" -> $0" | *" -> $0/"*)
                                entry=${entry##* /proc/}
                                echo "${entry%%/*}"
                                ;;
                        esac
                    done)
                    [ "$left" ]
                do
                    kill -KILL $left
                done
                # The one thing of a killed PostgreSQL that its directory does not hold.
                memory=$(sed -n '7s/.*[[:space:]]//p' "$0/data/postmaster.pid" 2>/dev/null)
                [ -z "$memory" ] || ipcrm -m "$memory"
                rm -rf -- "$0"
            ) <&3 >/dev/null 2>&1 &
        )sh";
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
            throw std::system_error{errno, std::generic_category(), "socketpair"};
        guard_ = ends[0];
        try {
            Process shell{{.command = {"/bin/sh", "-c", script, path_.string()},
                           .directory = "/",
                           .log = {},
                           .account = account_,
                           .input = ends[1]}};
            shell.wait_for(std::chrono::seconds{30});
        } catch (...) {
            ::close(ends[0]);
            ::close(ends[1]);
            throw;
        }
        ::close(ends[1]);
    }

    std::optional<Account> account_;
    std::filesystem::path path_;
    int guard_ = -1;
};

}  // namespace weir::test
