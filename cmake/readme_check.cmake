# The README's first code is an example that is compiled and run. A test: cmake -DROOT=<source directory> -P readme_check.cmake
cmake_minimum_required(VERSION 3.21)
file(READ "${ROOT}/README.md" readme)
file(READ "${ROOT}/examples/01_first_pool.cpp" example)

string(FIND "${readme}" "```cpp\n" begin)
math(EXPR begin "${begin} + 7")
string(SUBSTRING "${readme}" ${begin} -1 code)
string(FIND "${code}" "```" end)
string(SUBSTRING "${code}" 0 ${end} code)

set(include "#include <weir/pool.hpp>\n")
string(FIND "${code}" "${include}" has_include)
string(REPLACE "${include}\n" "" code "${code}")
string(LENGTH "${code}" length)
string(FIND "${example}" "${code}" found)
if(length LESS 100 OR NOT has_include EQUAL 0 OR found EQUAL -1)
    message(FATAL_ERROR "README.md: its first code is not to be found in examples/01_first_pool.cpp, word for word")
endif()
