# SPDX-License-Identifier: Apache-2.0
# What attn and its tests, benchmarks and examples stand on: one table, one function for each
# dependency. Each function first looks for an installed package; where there is none, the top-level
# project downloads a pinned release.
include_guard()

# name of the CMake package | Debian package | repository | tag, or commit where there are no tags
set(attn_dependency_Eigen3 libeigen3-dev https://gitlab.com/libeigen/eigen.git 3.4.0)
set(attn_dependency_GTest libgtest-dev https://github.com/google/googletest.git v1.14.0)
set(attn_dependency_benchmark libbenchmark-dev https://github.com/google/benchmark.git v1.8.3)
set(attn_dependency_CLI11 libcli11-dev https://github.com/CLIUtils/CLI11.git v2.4.2)
set(attn_dependency_nlohmann_json nlohmann-json3-dev https://github.com/nlohmann/json.git v3.11.3)
set(attn_dependency_ZLIB zlib1g-dev https://github.com/madler/zlib.git v1.3.1)
set(attn_dependency_stb libstb-dev https://github.com/nothings/stb.git
  8b5f1f37b5b75829fc72d38e7b5d4bcbf8a26d55
)

# Looks for an installed package and sets <result> to TRUE or FALSE. No version is asked for:
# Eigen's version file would refuse 5 to a request for 3.4, so the one lower bound is checked by
# hand.
function(attn_find name result)
  if(name STREQUAL "ZLIB")  # whose own package names its targets otherwise
    find_package(ZLIB MODULE QUIET)
    set(ZLIB_DIR ${ZLIB_INCLUDE_DIRS})
    set(ZLIB_VERSION ${ZLIB_VERSION_STRING})
  elseif(name STREQUAL "stb")  # headers without a package
    find_path(stb_DIR stb_image_write.h PATH_SUFFIXES stb HINTS ENV stb_ROOT)
    mark_as_advanced(stb_DIR)
    if(stb_DIR)
      set(stb_FOUND TRUE)
    endif()
  else()
    find_package(${name} CONFIG QUIET)
  endif()
  set(found ${${name}_FOUND})
  if(found AND name STREQUAL "Eigen3" AND Eigen3_VERSION AND Eigen3_VERSION VERSION_LESS 3.4)
    message(STATUS "attn: Eigen ${Eigen3_VERSION} in ${Eigen3_DIR} is older than 3.4")
    set(found FALSE)
  endif()
  if(found)
    string(JOIN " " what ${name} ${${name}_VERSION})
    message(STATUS "attn: ${what} found in ${${name}_DIR}")
  endif()
  set(${result} ${found} PARENT_SCOPE)
endfunction()

# Downloads the pinned release of a dependency; further arguments go to FetchContent_Declare.
function(attn_download name)
  list(POP_FRONT attn_dependency_${name} package url tag)
  set(way_out "Install it (on Debian and Ubuntu: apt-get install ${package}), or set the \
environment variable ${name}_ROOT to the folder in which it is installed.")
  if(NOT PROJECT_IS_TOP_LEVEL)
    message(FATAL_ERROR "attn needs ${name}, and it is not installed. ${way_out}")
  endif()

  string(TOUPPER ${name} NAME)
  string(TOLOWER ${name} folder)
  set(ref refs/tags/${tag})
  set(shallow ON)
  string(LENGTH ${tag} letters)
  if(letters EQUAL 40)  # a commit, which a shallow clone does not reach
    set(ref HEAD)
    set(shallow OFF)
  endif()
  if(NOT FETCHCONTENT_SOURCE_DIR_${NAME} AND NOT EXISTS ${PROJECT_BINARY_DIR}/_deps/${folder}-src)
    message(STATUS "attn: ${name} is not installed, downloading ${tag} from ${url}")
    execute_process(
      COMMAND ${CMAKE_COMMAND} -E env GIT_TERMINAL_PROMPT=0
        git ls-remote --exit-code ${url} ${ref}
      TIMEOUT 60 RESULT_VARIABLE unreachable OUTPUT_QUIET ERROR_QUIET
    )
    if(unreachable)
      message(FATAL_ERROR "attn needs ${name}, and it is neither installed nor can it be \
downloaded from ${url}. ${way_out}")
    endif()
  endif()

  include(FetchContent)
  set(FETCHCONTENT_UPDATES_DISCONNECTED ON)
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)  # the options set here hold in the dependency's own build
  FetchContent_Declare(${name} GIT_REPOSITORY ${url} GIT_TAG ${tag} GIT_SHALLOW ${shallow} SYSTEM
    ${ARGN}
  )
  FetchContent_MakeAvailable(${name})
  set(${folder}_SOURCE_DIR ${${folder}_SOURCE_DIR} PARENT_SCOPE)
  set(${folder}_BINARY_DIR ${${folder}_BINARY_DIR} PARENT_SCOPE)
endfunction()

# Downloads a dependency that is headers alone and gives it the target that its package would give.
# The folder that SOURCE_SUBDIR names does not exist, so that nothing of the dependency's own build
# is read.
function(attn_download_headers name target include_dir)
  attn_download(${name} SOURCE_SUBDIR headers-alone)
  string(TOLOWER ${name} folder)
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} INTERFACE ${${folder}_SOURCE_DIR}/${include_dir})
  set(${folder}_SOURCE_DIR ${${folder}_SOURCE_DIR} PARENT_SCOPE)
endfunction()

function(attn_need_eigen)
  if(TARGET Eigen3::Eigen)  # the enclosing project has chosen its own
    return()
  endif()
  attn_find(Eigen3 found)
  if(found)
    return()
  endif()
  attn_download(Eigen3 SOURCE_SUBDIR headers-alone)
  # A package of the downloaded headers, which the tests of attn's own package need to find as well.
  set(package_dir ${PROJECT_BINARY_DIR}/eigen3-package)
  file(WRITE ${package_dir}/Eigen3Config.cmake "\
set(Eigen3_VERSION 3.4.0)
if(NOT TARGET Eigen3::Eigen)
  add_library(Eigen3::Eigen INTERFACE IMPORTED)
  target_include_directories(Eigen3::Eigen INTERFACE \"${eigen3_SOURCE_DIR}\")
endif()
")
  set(Eigen3_DIR ${package_dir} CACHE PATH "Folder of Eigen3Config.cmake" FORCE)
  find_package(Eigen3 CONFIG REQUIRED)
endfunction()

function(attn_need_googletest)
  attn_find(GTest found)
  if(NOT found)
    set(INSTALL_GTEST OFF)
    set(BUILD_GMOCK OFF)
    attn_download(GTest)
  endif()
endfunction()

function(attn_need_benchmark)
  attn_find(benchmark found)
  if(NOT found)
    set(BENCHMARK_ENABLE_TESTING OFF)
    set(BENCHMARK_ENABLE_INSTALL OFF)
    set(BENCHMARK_ENABLE_WERROR OFF)
    attn_download(benchmark)
  endif()
endfunction()

function(attn_need_cli11)
  attn_find(CLI11 found)
  if(NOT found)
    attn_download_headers(CLI11 CLI11::CLI11 include)
  endif()
endfunction()

function(attn_need_json)
  attn_find(nlohmann_json found)
  if(NOT found)
    attn_download_headers(nlohmann_json nlohmann_json::nlohmann_json single_include)
  endif()
endfunction()

function(attn_need_zlib)
  attn_find(ZLIB found)
  if(found)
    return()
  endif()
  set(SKIP_INSTALL_ALL ON)
  set(ZLIB_BUILD_EXAMPLES OFF)
  attn_download(ZLIB)
  set_target_properties(zlib PROPERTIES EXCLUDE_FROM_ALL ON)
  add_library(attn_zlib INTERFACE)
  add_library(ZLIB::ZLIB ALIAS attn_zlib)
  # Its build makes zconf.h.
  target_include_directories(attn_zlib SYSTEM INTERFACE ${zlib_SOURCE_DIR} ${zlib_BINARY_DIR})
  target_link_libraries(attn_zlib INTERFACE zlibstatic)
endfunction()

function(attn_need_stb)
  attn_find(stb found)
  if(found)
    add_library(stb::stb INTERFACE IMPORTED GLOBAL)
    target_include_directories(stb::stb INTERFACE ${stb_DIR})
  else()
    attn_download_headers(stb stb::stb .)
  endif()
endfunction()
