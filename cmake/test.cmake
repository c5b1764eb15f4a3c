# SPDX-License-Identifier: Apache-2.0
# cmake -P cmake/test.cmake: gets what is missing, builds everything and runs every test.
#
#   build/test      benchmarks, examples and the tests, without those that take long to compile,
#                   with the machine's C++ compiler
#   build/sanitize  every test under the address and undefined-behaviour sanitizers, compiled for
#                   this machine's processor, so that its vector width is tested as well; with
#                   clang++ where it can do that, so that two compilers are tested
#   build/avx2      the programs that show what vector instructions compute, optimised, with AVX2 and
#                   FMA, where this processor has them; build/test has SSE2 on x86
#   build/scalar    the same programs with Eigen's scalar fallback, EIGEN_DONT_VECTORIZE
#   build/neon      the same programs cross-compiled for 64-bit ARM and run under qemu, where both
#                   are here or can be installed
#   build/clang     what headers, package and compile-time errors promise, with clang++ where it is
#
# Every test with the machine's compiler and one kind of vector instructions is for example
#
#   cmake --workflow --preset avx2
#
# and likewise dev (what the compiler assumes: SSE2 on x86), native (AVX-512 where the processor has
# it), scalar and neon; CMAKE_GENERATOR=Ninja in the environment makes it faster.
#
# The folders of recorded cases and data sets come from ATTN_CASES_DIR and ATTN_DATA_DIR in the
# environment.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/machine.cmake)

attn_need_tools(generator)
attn_need_packages(${generator} Eigen3 GTest benchmark CLI11 nlohmann_json ZLIB stb)
attn_need_browser()
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
# Nothing is timed here. Without optimisation the tests compile in two thirds of the time; what
# optimisation may get wrong shows in the examples, which check their results, and below.
attn_build_suite(test
  -DATTN_TEST_SELECTION=brief -DATTN_TEST_OPTIMIZATION=-O0 -DATTN_BENCH_OPTIMIZATION=-O0
  -DATTN_EXAMPLE_OPTIMIZATION=-O1
)
find_program(clang clang++ NO_CACHE)
set(sanitizing_compiler "")
if(clang)
  attn_can_sanitize(${clang} clang_sanitizes)
  if(clang_sanitizes)
    set(sanitizing_compiler -DCMAKE_CXX_COMPILER=${clang})
  endif()
endif()
# Without optimisation: with it the sanitizers take three times as long to compile. Without -g1,
# which takes another sixth: a report names functions. Without the checks of every single access, a
# third: a wrong address is the address sanitizer's, and the processor refuses null and misaligned
# packets. The preset "sanitize" has it all.
attn_build_suite(sanitize ${sanitizing_compiler}
  -DATTN_SANITIZE=address,undefined -DATTN_TEST_INSTRUCTIONS=native -DATTN_TEST_PREFIX=sanitize.
  "-DATTN_TEST_OPTIMIZATION=-O0 -g0 -fno-sanitize=null,alignment,object-size,vptr"
  -DATTN_BUILD_BENCHMARKS=OFF -DATTN_BUILD_EXAMPLES=OFF
)

# The programs of vector code once more for <instructions>, which are also the folder's name.
macro(attn_build_vector_suite instructions)
  list(APPEND suites ${instructions})
  attn_build_suite(${instructions} ${ARGN}
    -DATTN_TEST_SELECTION=vector -DATTN_TEST_PREFIX=${instructions}.
    -DATTN_BUILD_BENCHMARKS=OFF -DATTN_BUILD_EXAMPLES=OFF
  )
endmacro()

file(READ ${attn_build}/probe/avx2.txt has_avx2)
if(has_avx2)
  attn_build_vector_suite(avx2 -DATTN_TEST_INSTRUCTIONS=avx2)
else()
  attn_say("this processor has no AVX2, so AVX2 is not tested")
endif()
# clang++ without optimisation compiles more than twice as fast as g++ at any level.
set(scalar_compiler "")
if(clang)
  set(scalar_compiler -DCMAKE_CXX_COMPILER=${clang} -DATTN_TEST_OPTIMIZATION=-O0)
endif()
attn_build_vector_suite(scalar ${scalar_compiler} -DATTN_TEST_INSTRUCTIONS=scalar)
attn_need_neon(neon_ready)
if(neon_ready)
  attn_build_vector_suite(neon --toolchain ${attn_source}/cmake/neon.cmake)
endif()

if(clang)
  list(APPEND suites clang)
  attn_build_suite(clang
    -DCMAKE_CXX_COMPILER=${clang} -DATTN_TEST_PREFIX=clang. -DATTN_TEST_SELECTION=none
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
