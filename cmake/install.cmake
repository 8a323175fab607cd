# install(), export and the package files behind `find_package(weir)`.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(weir_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/weir")

install(
    DIRECTORY "${PROJECT_SOURCE_DIR}/include/weir"
    DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
    FILES_MATCHING
    PATTERN "*.hpp"
)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/weir")

install(TARGETS weir EXPORT weir INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(
    EXPORT weir
    NAMESPACE weir::
    FILE weirTargets.cmake
    DESTINATION "${weir_package_dir}"
)

configure_package_config_file(
    "${PROJECT_SOURCE_DIR}/cmake/weirConfig.cmake.in" "${PROJECT_BINARY_DIR}/weirConfig.cmake"
    INSTALL_DESTINATION "${weir_package_dir}"
    NO_SET_AND_CHECK_MACRO
)
# Before 1.0 a minor version may break; a header-only library runs on every architecture.
write_basic_package_version_file(
    "${PROJECT_BINARY_DIR}/weirConfigVersion.cmake"
    COMPATIBILITY SameMinorVersion
    ARCH_INDEPENDENT
)
install(FILES "${PROJECT_BINARY_DIR}/weirConfig.cmake"
              "${PROJECT_BINARY_DIR}/weirConfigVersion.cmake" DESTINATION "${weir_package_dir}"
)
