#pragma once
// Threads that stay where they are.

#include <cstddef>
#include <sched.h>
#include <vector>
#include <weir/detail/cpu.hpp>

namespace weir::test {

/// The processors that this program may run on.
inline std::vector<int> const& cpus() {
    // Once, before any thread has bound itself to one of them.
    static std::vector<int> const all = [] {
        cpu_set_t allowed;
        std::vector<int> found;
        if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
            for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
                if (CPU_ISSET(static_cast<std::size_t>(cpu), &allowed)) found.push_back(cpu);
        return found;
    }();
    return all;
}

/// Keeps this thread on the so-many-th of its processors (modulo how many there are) until destroyed.
class OnCpu {
public:
    explicit OnCpu(std::size_t which) {
        sched_getaffinity(0, sizeof before_, &before_);
        auto const& all = cpus();
        if (all.empty()) return;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(static_cast<std::size_t>(all[which % all.size()]), &one);
        sched_setaffinity(0, sizeof one, &one);
        detail::remember_cpu();  // where the kernel does not keep it up to date
    }
    ~OnCpu() {
        sched_setaffinity(0, sizeof before_, &before_);
        detail::remember_cpu();  // where the kernel does not keep it up to date
    }
    OnCpu(OnCpu const&) = delete;
    OnCpu& operator=(OnCpu const&) = delete;

private:
    cpu_set_t before_{};
};

}  // namespace weir::test
