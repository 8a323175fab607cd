#pragma once
// A program in a process of its own, with fewer rights than the test and a shorter life.

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "account.hpp"

namespace weir::test {

using Command = std::vector<std::string>;

/// What to start, and how.
struct Launch {
    Command command;                  ///< the program's path first
    std::filesystem::path directory;  ///< where it runs
    std::filesystem::path log;        ///< takes what it prints
    std::optional<Account> account;   ///< whose rights it gets
    Command environment{};            ///< "NAME=value", beside a PATH, a HOME and a locale
    int input = -1;                   ///< what it reads, and writes to unless there is a log; -1: nothing
};

/// A child process, from its start to its end.
///
/// It dies with the test program, however that dies. Thread-safe.
class Process {
public:
    /// Throws `system_error` when it cannot be started. What cannot be executed ends with status 127.
    explicit Process(Launch const& launch) {
        std::unique_lock lock{mutex_};
        // The kernel ends the child when the thread that forked it ends, so one thread does nothing but wait for it.
        keeper_ = std::thread{[this, &launch] { keep(launch); }};
        changed_.wait(lock, [this] { return pid_ != 0; });
        if (pid_ > 0) return;
        lock.unlock();
        keeper_.join();
        throw std::system_error{error_, std::generic_category(), "cannot start " + launch.command.front()};
    }
    Process(Process const&) = delete;
    Process& operator=(Process const&) = delete;
    ~Process() {
        signal(SIGKILL);
        keeper_.join();
    }

    pid_t pid() const noexcept { return pid_; }

    /// Nothing happens when it has ended: its number may belong to somebody else.
    void signal(int number) {
        std::lock_guard const lock{mutex_};
        if (!status_) ::kill(pid_, number);
    }

    bool running() const {
        std::lock_guard const lock{mutex_};
        return !status_;
    }

    /// How it ended, as waitpid tells it; nothing when it still runs after so long.
    std::optional<int> wait_for(std::chrono::steady_clock::duration patience) {
        std::unique_lock lock{mutex_};
        changed_.wait_for(lock, patience, [this] { return status_.has_value(); });
        return status_;
    }

private:
    // All a child needs, made before the fork: after it, in a program with threads, only system calls are safe.
    struct Image {
        explicit Image(Launch const& launch)
            : strings{launch.environment}, directory{launch.directory}, account{launch.account}, input{launch.input} {
            strings.insert(strings.end(), {"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C",
                                           "HOME=" + launch.directory.string()});
            for (std::string& text : strings) environment.push_back(text.data());
            environment.push_back(nullptr);
            words = launch.command;
            for (std::string& text : words) arguments.push_back(text.data());
            arguments.push_back(nullptr);
            if (input < 0) input = null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
            output = input;
            if (!launch.log.empty())
                output = log = ::open(launch.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        }
        Image(Image const&) = delete;
        Image& operator=(Image const&) = delete;
        ~Image() {
            if (null >= 0) ::close(null);
            if (log >= 0) ::close(log);
        }

        Command strings;
        Command words;
        std::vector<char*> environment{};
        std::vector<char*> arguments{};
        std::string directory;
        std::optional<Account> account;
        int input;
        int output = -1;
        int null = -1;
        int log = -1;
    };

    void keep(Launch const& launch) {
        Image const image{launch};
        pid_t const parent = ::getpid();
        pid_t const pid = ::fork();
        if (pid == 0) become(image, parent);
        {
            std::lock_guard const lock{mutex_};
            error_ = errno;
            pid_ = pid;
        }
        changed_.notify_all();
        if (pid < 0) return;
        siginfo_t ended{};
        while (::waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
        }
        {
            std::lock_guard const lock{mutex_};  // from here on nobody may send signals to that number
            int status = 0;
            ::waitpid(pid, &status, 0);
            status_ = status;
        }
        changed_.notify_all();
    }

    [[noreturn]] static void become(Image const& image, pid_t parent) noexcept {
        ::setsid();
        struct sigaction by_default {};
        by_default.sa_handler = SIG_DFL;
        for (int number = 1; number < 32; ++number) ::sigaction(number, &by_default, nullptr);
        sigset_t none;
        ::sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);

        // The bare system calls: the library's would want to tell the other threads, which are not here.
        if (image.account) {
            auto const [user, group] = *image.account;
            if (::syscall(SYS_setgroups, 0, nullptr) != 0 || ::syscall(SYS_setresgid, group, group, group) != 0 ||
                ::syscall(SYS_setresuid, user, user, user) != 0)
                ::_exit(126);
        }
        // Not before: a change of rights takes it back.
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) ::_exit(126);

        if (::chdir(image.directory.c_str()) != 0) ::_exit(126);
        ::dup2(image.input, 0);
        ::dup2(image.output, 1);
        ::dup2(image.output, 2);
        // Above all not a client's sockets, which a server started anew would hold open.
        if (::syscall(SYS_close_range, 3U, ~0U, 0U) != 0)
            for (int fd = 3; fd < 4096; ++fd) ::close(fd);
        ::execve(image.arguments.front(), image.arguments.data(), image.environment.data());
        ::_exit(127);
    }

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    pid_t pid_ = 0;  // written once, before the constructor ends
    int error_ = 0;
    std::optional<int> status_;
    std::thread keeper_;
};

/// What a file holds; nothing when there is none.
inline std::string contents(std::filesystem::path const& path) {
    std::ifstream file{path};
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

/// Runs a program to its end and returns what it printed. Throws `runtime_error`, with that, when it fails or takes
/// longer than a minute.
inline std::string run(Launch launch) {
    std::string name = (launch.directory / ".output.XXXXXX").string();
    int const fd = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd < 0) throw std::system_error{errno, std::generic_category(), name};
    ::close(fd);
    launch.log = name;
    std::optional<int> status;
    {
        Process process{launch};
        status = process.wait_for(std::chrono::minutes{1});
    }
    std::string output = contents(name);
    std::filesystem::remove(name);
    if (status != 0) {
        std::string failure;
        for (std::string const& word : launch.command) failure += word + ' ';
        throw std::runtime_error{failure + (status ? "failed:\n" : "takes too long:\n") + output};
    }
    while (!output.empty() && output.back() == '\n') output.pop_back();
    return output;
}

}  // namespace weir::test
