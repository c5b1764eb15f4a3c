# SPDX-License-Identifier: Apache-2.0
# cmake -P cmake/test.cmake: gets what is missing, builds everything and runs every test.
#
#   build/test      tests, benchmarks and examples with the machine's C++ compiler
#   build/sanitize  the tests under the address and undefined-behaviour sanitizers, compiled for
#                   this machine's processor, so that its vector width is tested as well; with
#                   clang++ where it can do that, so that a second compiler runs every test
#   build/clang     what headers, package and compile-time errors promise, with clang++ where it is
#
# The folders of recorded cases and data sets come from ATTN_CASES_DIR and ATTN_DATA_DIR in the
# environment.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/machine.cmake)

attn_need_tools(generator)
attn_need_packages(${generator} Eigen3 GTest benchmark CLI11 nlohmann_json)
attn_count_jobs(jobs)

# Goes on after an error, so that one run shows every broken file; the tests of what could not be
# built fail.
set(keep_going -k)
if(generator STREQUAL "Ninja")
  set(keep_going -k 0)
endif()
set(broken "")
macro(attn_build_suite folder)
  attn_configure(${folder} ${generator} ${ARGN})
  attn_say("building build/${folder} with ${jobs} jobs")
  execute_process(
    COMMAND ${CMAKE_COMMAND} --build ${attn_build}/${folder} --parallel ${jobs} -- ${keep_going}
    RESULT_VARIABLE failed
  )
  if(failed)
    list(APPEND broken build/${folder})
  endif()
endmacro()

# Whether a compiler has the sanitizers' runtime: clang's is a package of its own.
function(attn_can_sanitize compiler result)
  file(WRITE ${attn_build}/probe/empty.cpp "int main() {}\n")
  execute_process(
    COMMAND ${compiler} -fsanitize=address,undefined ${attn_build}/probe/empty.cpp
      -o ${attn_build}/probe/empty
    RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET
  )
  if(failed)
    set(${result} FALSE PARENT_SCOPE)
  else()
    set(${result} TRUE PARENT_SCOPE)
  endif()
endfunction()

set(suites test sanitize)
attn_build_suite(test)
find_program(clang clang++ NO_CACHE)
set(sanitizing_compiler "")
if(clang)
  attn_can_sanitize(${clang} clang_sanitizes)
  if(clang_sanitizes)
    set(sanitizing_compiler -DCMAKE_CXX_COMPILER=${clang})
  endif()
endif()
# Without optimisation: with it the sanitizers take three times as long to compile.
attn_build_suite(sanitize ${sanitizing_compiler}
  -DATTN_SANITIZE=address,undefined -DATTN_TEST_NATIVE=ON -DATTN_TEST_PREFIX=sanitize.
  -DATTN_TEST_OPTIMIZATION=-O0 -DATTN_BUILD_BENCHMARKS=OFF -DATTN_BUILD_EXAMPLES=OFF
)
if(clang)
  list(APPEND suites clang)
  attn_build_suite(clang
    -DCMAKE_CXX_COMPILER=${clang} -DATTN_TEST_PREFIX=clang. -DATTN_TEST_PROGRAMS=OFF
    -DATTN_BUILD_BENCHMARKS=OFF -DATTN_BUILD_EXAMPLES=OFF
  )
else()
  attn_say("there is no clang++ here, so nothing is tested with clang")
endif()

# One run of ctest over all builds gives one summary.
list(TRANSFORM suites REPLACE "(.+)" "subdirs(\\1)\n" OUTPUT_VARIABLE directories)
list(JOIN directories "" directories)
file(WRITE ${attn_build}/CTestTestfile.cmake "${directories}")
execute_process(
  COMMAND ${CMAKE_CTEST_COMMAND} --test-dir ${attn_build} --output-on-failure --no-tests=error
    --parallel ${jobs}
  RESULT_VARIABLE failed
)
if(broken)
  list(JOIN broken ", " broken)
  message(FATAL_ERROR "attn: not everything could be built in ${broken}, see above.")
endif()
if(failed)
  message(FATAL_ERROR "attn: some tests failed, see above.")
endif()
