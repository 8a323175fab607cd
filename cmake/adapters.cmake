# The libraries that include/weir/adapters adapts, as far as they are found: for an adapter `name` there is then a
# target `weir_adapter_name` that brings weir and the library. Users need none of this: they link what they have.

# weir_adapter(<name> <target>...): declares it if all the targets are there. The global property WEIR_ADAPTERS has the
# names of all, declared or not.
function(weir_adapter name)
    set_property(GLOBAL APPEND PROPERTY WEIR_ADAPTERS ${name})
    foreach(target IN LISTS ARGN)
        if(NOT TARGET ${target})
            message(STATUS "weir: the adapter ${name} is left out (${target})")
            return()
        endif()
    endforeach()
    add_library(weir_adapter_${name} INTERFACE)
    target_link_libraries(weir_adapter_${name} INTERFACE weir::weir ${ARGN})
endfunction()

# weir_find_library(<target> <header> <library>): for libraries without a CMake package of their own.
function(weir_find_library target header library)
    find_path(WEIR_${library}_INCLUDE "${header}")
    find_library(WEIR_${library}_LIBRARY ${library})
    if(WEIR_${library}_INCLUDE AND WEIR_${library}_LIBRARY AND NOT TARGET ${target})
        add_library(${target} UNKNOWN IMPORTED GLOBAL)
        set_target_properties(
            ${target} PROPERTIES IMPORTED_LOCATION "${WEIR_${library}_LIBRARY}"
                                 INTERFACE_INCLUDE_DIRECTORIES "${WEIR_${library}_INCLUDE}"
        )
    endif()
endfunction()

# weir_adapters_of(<linked> <missing> <source>): the targets of the adapters whose <weir/adapters/NAME.hpp> the source
# includes, and the names of those that are left out here.
function(weir_adapters_of linked missing source)
    get_property(known GLOBAL PROPERTY WEIR_ADAPTERS)
    file(STRINGS "${source}" includes REGEX "^#include <weir/adapters/[a-z0-9_]+\\.hpp>")
    set(targets "")
    set(absent "")
    foreach(include IN LISTS includes)
        string(REGEX REPLACE "^.*/([a-z0-9_]+)\\.hpp>.*$" "\\1" adapter "${include}")
        if(TARGET weir_adapter_${adapter})
            list(APPEND targets weir_adapter_${adapter})
        elseif(adapter IN_LIST known)
            list(APPEND absent ${adapter})
        endif()
    endforeach()
    set(${linked} "${targets}" PARENT_SCOPE)
    set(${missing} "${absent}" PARENT_SCOPE)
endfunction()

find_package(PostgreSQL QUIET)
find_package(SQLite3 QUIET)
find_package(OpenSSL QUIET)
weir_find_library(hiredis::hiredis hiredis/hiredis.h hiredis)
weir_find_library(mariadb::mariadb mariadb/mysql.h mariadb)

weir_adapter(libpq PostgreSQL::PostgreSQL)
weir_adapter(sqlite SQLite::SQLite3)
weir_adapter(hiredis hiredis::hiredis)
weir_adapter(mariadb mariadb::mariadb)
weir_adapter(tcp)
weir_adapter(local)
weir_adapter(tls OpenSSL::SSL)
