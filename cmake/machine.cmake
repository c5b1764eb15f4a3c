# SPDX-License-Identifier: Apache-2.0
# What the commands test.cmake and demo.cmake need of a machine: tools and packages are looked for,
# named where they are missing, and installed where that is possible.
include_guard()

cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH attn_source)
set(attn_build ${attn_source}/build)

function(attn_say)
  string(JOIN "" text ${ARGV})
  message(STATUS "attn: ${text}")
endfunction()

# How many compilers run at once: the processors, but no more than the memory holds, since one
# translation unit of templates can take a gigabyte. CMAKE_BUILD_PARALLEL_LEVEL overrules it.
function(attn_count_jobs result)
  if(DEFINED ENV{CMAKE_BUILD_PARALLEL_LEVEL})
    set(jobs $ENV{CMAKE_BUILD_PARALLEL_LEVEL})
  else()
    cmake_host_system_information(RESULT jobs QUERY NUMBER_OF_LOGICAL_CORES)
    cmake_host_system_information(RESULT megabytes QUERY TOTAL_PHYSICAL_MEMORY)
    math(EXPR fit "${megabytes} / 1200")
    if(fit LESS jobs)
      set(jobs ${fit})
    endif()
    if(jobs LESS 1)
      set(jobs 1)
    endif()
  endif()
  set(${result} ${jobs} PARENT_SCOPE)
endfunction()

# The words in front of a command that needs root: none for root, sudo where it asks no password.
# <able> is FALSE where neither holds or the machine has no apt-get.
function(attn_find_apt command able)
  set(${able} FALSE PARENT_SCOPE)
  find_program(attn_apt apt-get NO_CACHE)
  if(NOT attn_apt)
    return()
  endif()
  execute_process(COMMAND id -u OUTPUT_VARIABLE user OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(prefix "")
  if(NOT user STREQUAL "0")
    execute_process(COMMAND sudo -n true RESULT_VARIABLE refused OUTPUT_QUIET ERROR_QUIET)
    if(refused)
      return()
    endif()
    set(prefix sudo -n)
  endif()
  set(${able} TRUE PARENT_SCOPE)
  set(${command} ${prefix} env DEBIAN_FRONTEND=noninteractive ${attn_apt} PARENT_SCOPE)
endfunction()

# Installs Debian packages where that is possible. Says so where it is not: what follows then
# downloads what it can, or stops with a sentence of its own.
function(attn_install_packages)
  list(JOIN ARGV " " packages)
  attn_say("missing here: ${packages}")
  attn_find_apt(apt able)
  if(NOT able)
    attn_say("installing them takes root, or sudo without a password, and apt-get. By hand it is: "
      "apt-get install ${packages}")
    return()
  endif()
  get_property(updated GLOBAL PROPERTY attn_apt_updated)
  if(NOT updated)
    attn_say("apt-get update")
    execute_process(
      COMMAND ${apt} -q -o Acquire::Retries=0 -o Acquire::http::Timeout=20 update
      OUTPUT_QUIET RESULT_VARIABLE failed
    )
    set_property(GLOBAL PROPERTY attn_apt_updated TRUE)
  endif()
  attn_say("apt-get install ${packages}")
  execute_process(COMMAND ${apt} install -q -y --no-install-recommends ${ARGV}
    OUTPUT_QUIET RESULT_VARIABLE failed
  )
  if(failed)
    attn_say("apt-get could not install them")
  endif()
endfunction()

# Makes sure of a compiler and of make or ninja; sets <generator>.
function(attn_need_tools generator)
  find_program(attn_ninja NAMES ninja ninja-build NO_CACHE)
  find_program(attn_make NAMES make gmake NO_CACHE)
  find_program(attn_compiler NAMES $ENV{CXX} c++ g++ clang++ NO_CACHE)
  set(missing "")
  if(NOT attn_ninja AND NOT attn_make)
    list(APPEND missing ninja-build)
  endif()
  if(NOT attn_compiler)
    list(APPEND missing g++)
  endif()
  if(missing)
    attn_install_packages(${missing})
    find_program(attn_ninja NAMES ninja ninja-build NO_CACHE)
    find_program(attn_compiler NAMES c++ g++ clang++ NO_CACHE)
  endif()
  if(NOT attn_compiler)
    message(FATAL_ERROR "attn needs a C++20 compiler, such as g++ 12 or clang 14, and found none.")
  endif()
  if(NOT attn_ninja AND NOT attn_make)
    message(FATAL_ERROR "attn needs ninja or make, and found neither.")
  endif()
  if(attn_ninja)
    set(${generator} Ninja PARENT_SCOPE)
  else()
    set(${generator} "Unix Makefiles" PARENT_SCOPE)
  endif()
endfunction()

# Looks for the dependencies in ARGN as the build itself will, and installs what is missing.
function(attn_need_packages generator)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${attn_source}/cmake/probe -B ${attn_build}/probe -G ${generator}
      "-DNEEDS=${ARGN}" -Wno-dev
    OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE failed
  )
  if(failed)
    message("${output}")
    message(FATAL_ERROR "attn: the compiler or the build tool of this machine does not work.")
  endif()
  file(READ ${attn_build}/probe/missing.txt missing)
  if(missing)
    attn_install_packages(${missing})
  endif()
endfunction()

# Makes sure of a browser, in which the pages that examples write are tested; says so where there is
# none.
function(attn_need_browser)
  set(browsers chromium chromium-browser google-chrome google-chrome-stable)
  find_program(attn_browser NAMES ${browsers} NO_CACHE)
  if(NOT attn_browser)
    attn_install_packages(chromium)
    find_program(attn_browser NAMES ${browsers} NO_CACHE)
  endif()
  if(NOT attn_browser)
    attn_say("the pages that examples write are not tested, because there is no browser here")
  endif()
endfunction()

# Sets <missing> to the Debian packages of those tools of neon.cmake that are not here.
function(attn_find_cross_tools missing)
  find_program(cross_compiler aarch64-linux-gnu-g++ NO_CACHE)
  find_program(emulator qemu-aarch64 NO_CACHE)
  file(GLOB googletest /usr/src/googletest/CMakeLists.txt ${attn_build}/test/_deps/gtest-src)
  set(packages "")
  if(NOT cross_compiler)
    list(APPEND packages g++-aarch64-linux-gnu)
  endif()
  if(NOT emulator)
    list(APPEND packages qemu-user)
  endif()
  if(NOT googletest)
    list(APPEND packages googletest)
  endif()
  set(${missing} "${packages}" PARENT_SCOPE)
endfunction()

# Looks for what it takes to compile and run the tests for 64-bit ARM, as neon.cmake does it, and
# installs what is missing. Sets <ready>, and says why where it is FALSE.
function(attn_need_neon ready)
  set(${ready} FALSE PARENT_SCOPE)
  cmake_host_system_information(RESULT processor QUERY OS_PLATFORM)
  if(processor MATCHES "^(aarch64|arm64)$")
    attn_say("this processor has NEON, so every test is a test of NEON")
    return()
  endif()
  attn_find_cross_tools(missing)
  if(missing)
    attn_install_packages(${missing})
    attn_find_cross_tools(missing)
  endif()
  if(missing)
    list(JOIN missing ", " missing)
    attn_say("NEON is not tested, because this is missing: ${missing}")
  else()
    set(${ready} TRUE PARENT_SCOPE)
  endif()
endfunction()

# attn_configure(<folder under build/> <generator> <further arguments...>)
function(attn_configure folder generator)
  # One download serves all builds.
  set(sources "")
  file(GLOB downloads ${attn_build}/test/_deps/*-src)
  if(downloads AND NOT folder STREQUAL "test")
    list(APPEND sources --no-warn-unused-cli)
    foreach(download IN LISTS downloads)
      string(REGEX REPLACE "^.*/([^/]*)-src$" "\\1" name ${download})
      string(TOUPPER ${name} NAME)
      list(APPEND sources -DFETCHCONTENT_SOURCE_DIR_${NAME}=${download})
    endforeach()
  endif()
  attn_say("configuring build/${folder}")
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${attn_source} -B ${attn_build}/${folder} -G ${generator}
      -DCMAKE_BUILD_TYPE=Release -Wno-dev ${sources} ${ARGN}
    RESULT_VARIABLE failed
  )
  if(failed)
    message(FATAL_ERROR "attn: build/${folder} could not be configured, see above.")
  endif()
endfunction()
