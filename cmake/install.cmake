# SPDX-License-Identifier: Apache-2.0
# Installs the headers and a CMake package, so that find_package(attn) gives attn::attn elsewhere.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(attn_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/attn)

install(DIRECTORY include/attn
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.hpp"
)
install(TARGETS attn EXPORT attn INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT attn
  FILE attnTargets.cmake
  NAMESPACE attn::
  DESTINATION ${attn_package_dir}
)

configure_package_config_file(cmake/attnConfig.cmake.in ${PROJECT_BINARY_DIR}/attnConfig.cmake
  INSTALL_DESTINATION ${attn_package_dir}
  NO_SET_AND_CHECK_MACRO
)
# Before 1.0 a minor version may change names, so only the same minor version will do. Headers have
# no pointer size, hence ARCH_INDEPENDENT.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/attnConfigVersion.cmake
  COMPATIBILITY SameMinorVersion
  ARCH_INDEPENDENT
)
install(
  FILES ${PROJECT_BINARY_DIR}/attnConfig.cmake ${PROJECT_BINARY_DIR}/attnConfigVersion.cmake
  DESTINATION ${attn_package_dir}
)
