#pragma once
// A resolver of names under the test's control, in place of the system's: to be included once in a program.
//
//   slow.test   is waited for until the gate is opened, and is then 127.0.0.1
//   two.test    is 127.0.0.1 and 127.0.0.2, in that order
//   *.invalid   is nobody, whether there is a name server to say so or not

#include <dlfcn.h>
#include <netdb.h>

#include <condition_variable>
#include <mutex>
#include <string_view>

namespace weir::test {

/// Where look-ups of slow.test wait. Thread-safe.
class NameGate {
public:
    static NameGate& get() {
        static NameGate gate;
        return gate;
    }

    void shut() { set(false); }
    void open() { set(true); }

    void pass() {
        std::unique_lock lock{mutex_};
        ++waiting_;
        changed_.notify_all();
        changed_.wait(lock, [&] { return is_open_; });
        --waiting_;
        changed_.notify_all();
    }

    /// Waits until somebody is waiting, or nobody any more.
    void await_visitor() {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [&] { return waiting_ != 0; });
    }
    void await_nobody() {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [&] { return waiting_ == 0; });
    }

private:
    void set(bool open) {
        std::lock_guard const lock{mutex_};
        is_open_ = open;
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    bool is_open_ = true;
    int waiting_ = 0;
};

/// Shut while it lives; opened, and left by all, at its end.
struct SlowNames {
    SlowNames() { NameGate::get().shut(); }
    SlowNames(SlowNames const&) = delete;
    SlowNames& operator=(SlowNames const&) = delete;
    ~SlowNames() {
        NameGate::get().open();
        NameGate::get().await_nobody();
    }
};

}  // namespace weir::test

// NOLINTNEXTLINE: the C library's name
extern "C" int getaddrinfo(char const* node, char const* service, addrinfo const* hints, addrinfo** found) {
    using Function = int(char const*, char const*, addrinfo const*, addrinfo**);
    static auto* const system = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    std::string_view const name = node ? node : "";
    if (name.ends_with(".invalid")) return EAI_NONAME;
    if (name == "slow.test") weir::test::NameGate::get().pass();
    if (name == "slow.test") return system("127.0.0.1", service, hints, found);
    if (name != "two.test") return system(node, service, hints, found);
    if (int const failed = system("127.0.0.1", service, hints, found)) return failed;
    return system("127.0.0.2", service, hints, &(*found)->ai_next);
}
