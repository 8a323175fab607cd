# Every header of the library compiles alone and without a warning; the umbrella compiles without RTTI.
# Included from tests/CMakeLists.txt.

file(
    GLOB_RECURSE headers CONFIGURE_DEPENDS
    RELATIVE "${PROJECT_SOURCE_DIR}/include"
    "${PROJECT_SOURCE_DIR}/include/weir/*.hpp"
)
# An adapter needs the library it adapts; where that is not found its headers, name.hpp and name_part.hpp, go unchecked.
set(adapter_targets "")
get_property(adapters GLOBAL PROPERTY WEIR_ADAPTERS)
foreach(adapter IN LISTS adapters)
    if(TARGET weir_adapter_${adapter})
        list(APPEND adapter_targets weir_adapter_${adapter})
    else()
        list(FILTER headers EXCLUDE REGEX "^weir/adapters/${adapter}(_[a-z0-9_]+)?\\.hpp$")
    endif()
endforeach()

set(generated "")
foreach(header IN LISTS headers)
    string(REGEX REPLACE "[/.]" "_" name "${header}")
    set(source "${CMAKE_CURRENT_BINARY_DIR}/headers_alone/${name}.cpp")
    file(CONFIGURE OUTPUT "${source}" CONTENT "#include <${header}>\n")
    list(APPEND generated "${source}")
endforeach()

add_library(weir_headers_alone OBJECT EXCLUDE_FROM_ALL ${generated})
target_link_libraries(weir_headers_alone PRIVATE weir::weir ${adapter_targets})
weir_warnings(weir_headers_alone)
target_compile_options(weir_headers_alone PRIVATE -Werror)

add_library(weir_no_rtti OBJECT EXCLUDE_FROM_ALL "${CMAKE_CURRENT_SOURCE_DIR}/umbrella_tu.cpp")
target_link_libraries(weir_no_rtti PRIVATE weir::weir)
weir_warnings(weir_no_rtti)
target_compile_options(weir_no_rtti PRIVATE -Werror -fno-rtti)

# Built by the test, not by `all`: compiling every header takes longer than many a test run.
foreach(check IN ITEMS headers_alone no_rtti)
    add_test(NAME ${check} COMMAND "${CMAKE_COMMAND}" --build "${PROJECT_BINARY_DIR}" --config
                                   $<CONFIG> --target weir_${check}
    )
    # Two builds in one tree at a time would trip over each other.
    set_tests_properties(
        ${check} PROPERTIES LABELS headers TIMEOUT 900 RESOURCE_LOCK build_tree
    )
endforeach()
