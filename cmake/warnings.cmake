# What users compile with (-Wall -Wextra -Wpedantic -Wconversion -Wshadow), for everything we build.
set(weir_warning_flags -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    # clang only warns where g++ refuses: designated initializers out of order.
    list(APPEND weir_warning_flags -Werror=reorder-init-list)
endif()

function(weir_warnings target)
    target_compile_options(${target} PRIVATE ${weir_warning_flags} $<$<BOOL:${WEIR_WERROR}>:-Werror>)
endfunction()
