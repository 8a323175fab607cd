#pragma once
// Trims in the background.

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <new>
#include <utility>
#include <vector>
#include <weir/detail/object_core.hpp>
#include <weir/detail/timetable.hpp>

namespace weir::detail {

// clang-format off
/// What runs functions elsewhere, as Asio's executors do.
template <class E>
concept Executes = requires(E const& executor) { executor.execute([] {}); };
// clang-format on

/// Trims object cores now and then, as long as they have objects, on the program's timetable or an executor.
class Trimmer {
public:
    using Cores = std::vector<ObjectCore*>;

    Trimmer(Timetable::duration every, Cores const& cores) : entry_{every, {[cores] { trim(cores); }, wanted(cores)}} {
        join(cores);
    }

    /// The timetable only says when.
    template <Executes Executor>
    Trimmer(Timetable::duration every, Cores const& cores, Executor executor)
        : entry_{every,
                 {[cores, executor = std::move(executor), under_way = std::make_shared<std::atomic<bool>>(false)] {
                      post(executor, cores, under_way);
                  },
                  wanted(cores)}} {
        join(cores);
    }

private:
    void join(Cores const& cores) noexcept {
        for (ObjectCore* const core : cores) core->trimmed_by(entry_);
    }

    // Objects that end may end the pool. Without memory it is left for the next time.
    static void trim(Cores const& cores) noexcept {
        try {
            for (auto const& core : users_of(cores)) core->trim();
        } catch (std::bad_alloc const&) {
        }
    }

    // One at a time, however long the executor takes, and none for nothing: a job is a user, and has the trimmer stay.
    // One that is destroyed unrun is no job either.
    template <class Executor>
    static void post(Executor const& executor, Cores const& cores,
                     std::shared_ptr<std::atomic<bool>> const& under_way) noexcept {
        if (!have_objects(cores) || under_way->exchange(true)) return;
        try {
            std::shared_ptr<void> const end{nullptr, [under_way](void*) { under_way->store(false); }};
            executor.execute([end, users = users_of(cores)] {
                for (auto const& core : users) core->trim();
            });
        } catch (...) {
        }
    }

    static std::vector<ObjectCore::User> users_of(Cores const& cores) {
        std::vector<ObjectCore::User> users;
        users.reserve(cores.size());
        for (ObjectCore* const core : cores) users.emplace_back(*core);
        return users;
    }

    static std::function<bool()> wanted(Cores const& cores) {
        return [cores] { return have_objects(cores); };
    }

    static bool have_objects(Cores const& cores) noexcept {
        return std::any_of(cores.begin(), cores.end(), [](ObjectCore const* core) { return core->has_objects(); });
    }

    Timetable::Entry entry_;
};

}  // namespace weir::detail
