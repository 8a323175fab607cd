#pragma once
// A process and all that descend from it.

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace weir::test {

/// What the kernel says of a process: its parent, and R(unning), S(leeping), T (stopped), Z(ombie) and so on; X when
/// there is none.
struct ProcessState {
    pid_t parent = 0;
    char letter = 'X';

    bool gone() const noexcept { return letter == 'X' || letter == 'Z'; }
};

inline ProcessState state_of(pid_t pid) {
    std::ifstream file{"/proc/" + std::to_string(pid) + "/stat"};
    std::string line;
    if (!std::getline(file, line)) return {};
    // The second field is the name, in brackets, and may hold anything.
    std::istringstream rest{line.substr(line.rfind(')') + 1)};
    ProcessState state;
    rest >> state.letter >> state.parent;
    return state;
}

/// A process and its descendants, parents first. Servers make sessions and groups of their own for their children
/// (PostgreSQL does for each), so only this finds them all.
inline std::vector<pid_t> tree_of(pid_t root) {
    std::multimap<pid_t, pid_t> children;
    std::error_code ignored;
    for (auto const& entry : std::filesystem::directory_iterator{"/proc", ignored}) {
        std::string const name = entry.path().filename();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        auto const pid = static_cast<pid_t>(std::stol(name));
        ProcessState const state = state_of(pid);
        if (!state.gone()) children.emplace(state.parent, pid);
    }
    std::vector<pid_t> tree;
    if (!state_of(root).gone()) tree.push_back(root);
    for (std::size_t i = 0; i < tree.size(); ++i) {
        auto const [first, last] = children.equal_range(tree[i]);
        for (auto child = first; child != last; ++child) tree.push_back(child->second);
    }
    return tree;
}

/// Stops a whole tree and returns it. A stopped parent makes no more children, so this ends.
inline std::vector<pid_t> stop_tree(pid_t root) {
    using namespace std::chrono_literals;
    auto const give_up = std::chrono::steady_clock::now() + 30s;
    std::vector<pid_t> before;
    for (;;) {
        std::vector<pid_t> tree = tree_of(root);
        bool all_stopped = tree == before;  // or else a child may have been born behind our back
        before = tree;
        for (pid_t const pid : tree) {
            ProcessState const state = state_of(pid);
            if (state.letter == 'T' || state.gone()) continue;
            all_stopped = false;
            ::kill(pid, SIGSTOP);
        }
        if (all_stopped || std::chrono::steady_clock::now() > give_up) return tree;
        std::this_thread::sleep_for(1ms);
    }
}

/// Waits until none of these runs any more; false after half a minute.
inline bool wait_for_end(std::vector<pid_t> const& processes) {
    using namespace std::chrono_literals;
    auto const give_up = std::chrono::steady_clock::now() + 30s;
    for (pid_t const pid : processes) {
        while (!state_of(pid).gone()) {
            if (std::chrono::steady_clock::now() > give_up) return false;
            std::this_thread::sleep_for(1ms);
        }
    }
    return true;
}

}  // namespace weir::test
