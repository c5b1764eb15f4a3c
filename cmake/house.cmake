# SPDX-License-Identifier: Apache-2.0
# How attn's own tests, benchmarks and examples are compiled. Nothing here reaches a consumer:
# everything is set on the targets that attn_house_target() is called for.
include_guard()

set(ATTN_SANITIZE "" CACHE STRING "Sanitizers for attn's own targets, such as address,undefined")
option(ATTN_NATIVE "Compile attn's benchmarks and examples for this machine's processor" ON)

# A compiler that nobody has tried may know warnings that nobody has seen, so only these two are
# strict.
set(attn_strict OFF)
if((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION MATCHES "^12\\.")
    OR (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION MATCHES "^14\\."))
  set(attn_strict ON)
endif()
option(ATTN_WARNINGS_AS_ERRORS "Take warnings in attn's own targets for errors" ${attn_strict})

if(PROJECT_IS_TOP_LEVEL)
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Kind of build" FORCE)
  endif()
  find_program(ATTN_CCACHE ccache)
  mark_as_advanced(ATTN_CCACHE)
  if(ATTN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    # Without this it does not look behind precompiled headers.
    set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${ATTN_CCACHE}
    )
  endif()
endif()

include(CheckCXXCompilerFlag)
if(NOT MSVC)
  check_cxx_compiler_flag(-march=native ATTN_HAS_MARCH_NATIVE)
endif()

# Warnings of the house, without -Werror; also used where a test calls the compiler itself.
if(MSVC)
  set(attn_warnings /W4)
else()
  set(attn_warnings -Wall -Wextra -Wconversion -Wshadow)
endif()

# attn_house_target(<target> [NATIVE]): attn::attn with the warnings and sanitizers of the house;
# NATIVE compiles for this machine's processor where ATTN_NATIVE and the compiler allow it.
function(attn_house_target target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "NATIVE" "" "")
  target_link_libraries(${target} PRIVATE attn::attn)
  target_compile_options(${target} PRIVATE ${attn_warnings})
  set_target_properties(${target} PROPERTIES
    CXX_EXTENSIONS OFF
    COMPILE_WARNING_AS_ERROR ${ATTN_WARNINGS_AS_ERRORS}
  )
  if(ATTN_SANITIZE)
    set(sanitizers -fsanitize=${ATTN_SANITIZE} -fno-sanitize-recover=all)
    # Eigen forms addresses within empty matrices, whose data is null.
    if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
      list(APPEND sanitizers -fno-sanitize=pointer-overflow)
    endif()
    target_compile_options(${target} PRIVATE ${sanitizers} -fno-omit-frame-pointer -g1)
    target_link_options(${target} PRIVATE ${sanitizers})
  endif()
  if(arg_NATIVE AND ATTN_NATIVE AND ATTN_HAS_MARCH_NATIVE)
    attn_compile_native(${target})
  endif()
endfunction()

function(attn_compile_native target)
  target_compile_options(${target} PRIVATE -march=native)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++'s own avx512fintrin.h reads variables that it leaves undefined on purpose.
    target_compile_options(${target} PRIVATE -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
endfunction()
