# Installs weir (WAY=package) or takes its sources (WAY=subdirectory), then configures, builds and runs
# the consumer project from nothing.
foreach(variable IN ITEMS WAY WEIR_SOURCE_DIR WEIR_BINARY_DIR SCRATCH GENERATOR COMPILER VERSION)
    if(NOT DEFINED ${variable})
        message(FATAL_ERROR "check.cmake needs -D${variable}=...")
    endif()
endforeach()

function(run)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        list(JOIN ARGN " " line)
        message(FATAL_ERROR "failed (${status}): ${line}")
    endif()
endfunction()

file(REMOVE_RECURSE "${SCRATCH}")
set(prefix "${SCRATCH}/prefix")
if(WAY STREQUAL "package")
    run("${CMAKE_COMMAND}" --install "${WEIR_BINARY_DIR}" --prefix "${prefix}")
    # A package must work wherever it is moved to: nothing in it may name this tree.
    file(GLOB_RECURSE installed "${prefix}/*")
    foreach(file IN LISTS installed)
        file(STRINGS "${file}" lines)
        string(FIND "${lines}" "${WEIR_SOURCE_DIR}" position)
        if(NOT position EQUAL -1)
            message(FATAL_ERROR "${file} names the source tree")
        endif()
    endforeach()
    set(how "-DCMAKE_PREFIX_PATH=${prefix}" "-DWEIR_WANTED_VERSION=${VERSION}")
else()
    set(how "-DWEIR_SOURCE_DIR=${WEIR_SOURCE_DIR}")
endif()

run("${CMAKE_COMMAND}" -S "${WEIR_SOURCE_DIR}/tests/consumer" -B "${SCRATCH}/build" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${COMPILER}" -DCMAKE_BUILD_TYPE=Debug ${how}
)
run("${CMAKE_COMMAND}" --build "${SCRATCH}/build" --config Debug)
run("${SCRATCH}/build/consumer")
