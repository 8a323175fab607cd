# Which header may include which. A test: cmake -DINCLUDE_DIR=<include> -P layering.cmake
#
# Top first: a header may include its own layer (without a cycle) and those below. Each line is a name,
# then patterns relative to include/weir; neighbours of one name are one layer. A header that no line
# knows is an error: decide its place here.
# Users' extras stand on top, so nothing in the library can include them.
cmake_minimum_required(VERSION 3.21)
set(layers
    "extras:     testing/*.hpp adapters/*.hpp metrics/*.hpp"
    "umbrella:   weir.hpp"
    "pools:      pool.hpp keyed_pool.hpp shared_pool.hpp object_pool.hpp buffer_pool.hpp"
    "core:       detail/core.hpp detail/asking.hpp detail/operations.hpp detail/runner.hpp detail/async_waiter.hpp detail/outcome.hpp"
    "core:       detail/keyed_runner.hpp detail/house.hpp detail/keyed_house.hpp"
    "core:       detail/object_core.hpp detail/trimmer.hpp"
    "arbiter:    detail/keyed_arbiter.hpp"
    "arbiter:    detail/arbiter.hpp detail/ending.hpp detail/rounds.hpp detail/capacity.hpp detail/slot_events.hpp"
    "state:      detail/permits.hpp detail/keyed_steps.hpp"
    "state:      detail/standing_line.hpp detail/steps.hpp detail/serving.hpp detail/opening.hpp detail/state.hpp"
    "services:   detail/supply.hpp detail/wait_queue.hpp detail/orders.hpp detail/ledger.hpp detail/policy_set.hpp detail/report.hpp"
    "services:   detail/tenancy.hpp detail/quota.hpp detail/cold_list.hpp detail/keyed_set.hpp detail/key_connector.hpp detail/means.hpp"
    "services:   detail/pool_executor.hpp detail/spare_work.hpp detail/context_watch.hpp detail/lifetime_source.hpp"
    "stores:     detail/store.hpp detail/store_group.hpp detail/bucket_store.hpp detail/per_cpu_store.hpp detail/share_store.hpp detail/fronted_store.hpp detail/tagged_stack.hpp detail/treiber_stack.hpp detail/locked_store.hpp detail/cpu.hpp detail/arena.hpp"
    "stores:     detail/depot.hpp detail/thread_slot.hpp detail/thread_slots.hpp"
    "stores:     detail/age_clock.hpp detail/retry.hpp detail/random.hpp"
    "lease:      lease.hpp"
    "parts:      detail/slot.hpp detail/waiter.hpp detail/sync_waiter.hpp detail/spin.hpp detail/task.hpp detail/awaitable_task.hpp detail/workers.hpp detail/alarms.hpp detail/deadline.hpp detail/deadlines.hpp detail/recent_time.hpp detail/tenant.hpp"
    "parts:      detail/chain.hpp detail/thread_number.hpp detail/asymmetric_fence.hpp detail/mutex.hpp detail/timetable.hpp"
    "parts:      detail/answer.hpp detail/overload.hpp detail/job.hpp detail/word128.hpp detail/failure.hpp detail/inside.hpp detail/placed_allocator.hpp detail/recycler.hpp"
    "vocabulary: fwd.hpp connector.hpp lifetime.hpp error.hpp stats.hpp"
    "policy:     policy/*.hpp"
    "base:       detail/config.hpp detail/hand_over.hpp"
)

# Policies decide and never do: std only, and of that no locks, threads or clock reads.
set(policy_may_include "^weir/policy/" "^[a-z_]+$")
set(policy_must_not_include
    "^(mutex|shared_mutex|condition_variable|thread|semaphore|latch|barrier|future)$"
)
set(clock_readers "policy/clock.hpp")

set(forbidden_everywhere "^boost/asio\\.hpp$")
set(max_lines 400)

# ------------------------------------------------------------------------------------------------
if(NOT INCLUDE_DIR)
    message(FATAL_ERROR "layering.cmake needs -DINCLUDE_DIR=<the include directory>")
endif()
set(root "${INCLUDE_DIR}/weir")
file(
    GLOB_RECURSE headers
    RELATIVE "${root}"
    "${root}/*.hpp"
)
if(NOT headers)
    message(FATAL_ERROR "no headers in ${root}")
endif()
set_property(GLOBAL PROPERTY errors 0)

function(complain header text)
    message(SEND_ERROR "include/weir/${header}: ${text}")
    get_property(errors GLOBAL PROPERTY errors)
    math(EXPR errors "${errors} + 1")
    set_property(GLOBAL PROPERTY errors ${errors})
endfunction()

function(matches_any out text)
    set(${out} OFF PARENT_SCOPE)
    foreach(regex IN LISTS ARGN)
        if(text MATCHES "${regex}")
            set(${out} ON PARENT_SCOPE)
        endif()
    endforeach()
endfunction()

# The number of a header's layer, 0 the topmost, or "none"; and its name in ${out}_name.
function(find_layer out header)
    set(${out} none PARENT_SCOPE)
    set(number -1)
    set(previous "")
    foreach(layer IN LISTS layers)
        string(REGEX REPLACE ":.*" "" name "${layer}")
        if(NOT name STREQUAL previous)
            math(EXPR number "${number} + 1")
        endif()
        set(previous "${name}")
        string(REGEX MATCHALL "[^ ]+\\.hpp" patterns "${layer}")
        foreach(pattern IN LISTS patterns)
            string(REPLACE "." "\\." regex "${pattern}")
            string(REPLACE "*" "[^/]*" regex "${regex}")
            if(header MATCHES "^${regex}$")
                set(${out} ${number} PARENT_SCOPE)
                set(${out}_name "${name}" PARENT_SCOPE)
                return()
            endif()
        endforeach()
    endforeach()
endfunction()

function(check_include header layer layer_name included)
    matches_any(is_forbidden "${included}" ${forbidden_everywhere})
    if(is_forbidden)
        complain("${header}" "includes <${included}>: name the narrow header that is needed")
    endif()

    if(header MATCHES "^policy/")
        matches_any(allowed "${included}" ${policy_may_include})
        matches_any(forbidden "${included}" ${policy_must_not_include})
        if(NOT allowed OR forbidden)
            complain("${header}" "includes <${included}>: policies see std and policies only")
        endif()
    endif()

    if(NOT included MATCHES "^weir/(.+)$")
        return()
    endif()
    set(target "${CMAKE_MATCH_1}")
    if(NOT target IN_LIST headers)
        complain("${header}" "includes <${included}>, which does not exist")
        return()
    endif()
    find_layer(target_layer "${target}")
    if(NOT target_layer STREQUAL "none" AND target_layer LESS layer)
        complain("${header}"
                 "includes <${included}>: an arrow up, from ${layer_name} to ${target_layer_name}"
        )
    endif()
    set_property(GLOBAL APPEND PROPERTY "needs ${header}" "${target}")
endfunction()

foreach(header IN LISTS headers)
    find_layer(layer "${header}")
    if(layer STREQUAL "none")
        complain("${header}" "no layer knows it: give it a place in cmake/layering.cmake")
        set(layer 0)
        set(layer_name unknown)
    endif()

    # Not file(STRINGS): it drops lines, and code is full of CMake's list separator.
    file(READ "${root}/${header}" text)
    string(REGEX MATCHALL "\n" newlines "${text}")
    list(LENGTH newlines lines)
    if(lines GREATER max_lines)
        complain("${header}" "has ${lines} lines, more than ${max_lines}: it holds two ideas")
    endif()

    if(header MATCHES "^policy/" AND NOT header IN_LIST clock_readers)
        if(text MATCHES "[A-Za-z_]*[Cc]lock::now")
            complain("${header}" "reads a clock (${CMAKE_MATCH_0}): pass the time in")
        endif()
    endif()

    string(REGEX MATCHALL "(^|\n)[ \t]*#[ \t]*include[ \t]*[<\"][^>\"\n]+" includes "${text}")
    foreach(include IN LISTS includes)
        string(REGEX REPLACE "^[^<\"]*[<\"]" "" included "${include}")
        if(include MATCHES "\"")
            complain("${header}" "includes \"${included}\": headers name each other as <weir/...>")
        endif()
        check_include("${header}" ${layer} "${layer_name}" "${included}")
    endforeach()
endforeach()

# Within a layer the arrows must not run in a circle: drop what needs nothing that is left, until
# nothing changes; what remains is a cycle or stands on one.
set(left ${headers})
set(before "")
while(left AND NOT left STREQUAL before)
    set(before ${left})
    foreach(header IN LISTS before)
        get_property(needs GLOBAL PROPERTY "needs ${header}")
        set(waits OFF)
        foreach(needed IN LISTS needs)
            if(needed IN_LIST left)
                set(waits ON)
            endif()
        endforeach()
        if(NOT waits)
            list(REMOVE_ITEM left "${header}")
        endif()
    endforeach()
endwhile()
foreach(header IN LISTS left)
    complain("${header}" "is part of a cycle of includes, or stands on one")
endforeach()

get_property(errors GLOBAL PROPERTY errors)
list(LENGTH headers count)
if(errors EQUAL 0)
    message(STATUS "${count} headers in their layers")
else()
    message(STATUS "${count} headers, ${errors} errors")
endif()
