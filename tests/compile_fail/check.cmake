# Driver of one case; the contract is in CMakeLists.txt.
# cmake -DCOMPILER=... -DINCLUDE_DIRS=a|b -DCASE=file.cpp -P check.cmake
foreach(variable IN ITEMS COMPILER INCLUDE_DIRS CASE)
    if(NOT DEFINED ${variable})
        message(FATAL_ERROR "check.cmake needs -D${variable}=...")
    endif()
endforeach()

file(STRINGS "${CASE}" first_line LIMIT_COUNT 1)
if(NOT first_line MATCHES "^// expect: (.+)$")
    message(FATAL_ERROR "${CASE}: the first line must be `// expect: <regex>`")
endif()
set(expected "${CMAKE_MATCH_1}")

set(command "${COMPILER}" -std=c++20 -fsyntax-only -fmessage-length=0 -fdiagnostics-color=never)
string(REPLACE "|" ";" INCLUDE_DIRS "${INCLUDE_DIRS}")
foreach(dir IN LISTS INCLUDE_DIRS)
    # /usr/include has its place in the compiler's own search; naming it breaks #include_next.
    if(dir AND NOT dir STREQUAL "/usr/include")
        list(APPEND command "-I${dir}")
    endif()
endforeach()

execute_process(
    COMMAND ${command} -DLEGAL "${CASE}"
    RESULT_VARIABLE legal_status
    ERROR_VARIABLE legal_output
)
if(NOT legal_status EQUAL 0)
    message(FATAL_ERROR "the legal twin does not compile:\n${legal_output}")
endif()

execute_process(
    COMMAND ${command} "${CASE}"
    RESULT_VARIABLE status
    ERROR_VARIABLE output
)
if(status EQUAL 0)
    message(FATAL_ERROR "it compiles; expected an error matching `${expected}`")
endif()
if(NOT output MATCHES "error: ([^\n]*)")
    message(FATAL_ERROR "the compiler failed without an error message:\n${output}")
endif()
set(first_error "${CMAKE_MATCH_1}")
if(NOT first_error MATCHES "${expected}")
    message(FATAL_ERROR "expected: ${expected}\nfirst error: ${first_error}\n\n${output}")
endif()
