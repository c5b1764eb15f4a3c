# SPDX-License-Identifier: Apache-2.0
# cmake [-D EXAMPLE=<name>] -P cmake/demo.cmake [-- <argument>...]: gets what is missing, builds an
# example, the text classifier if none is named, and runs it in build/demo, where it leaves its
# pages. Without arguments an example makes up what it learns from.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/machine.cmake)

set(examples alignment bag_of_images character_model image_regions recommendation
  text_classification
)
if(NOT EXAMPLE)
  set(EXAMPLE text_classification)
endif()
if(NOT EXAMPLE IN_LIST examples)
  list(JOIN examples ", " examples)
  message(FATAL_ERROR "attn: there is no example ${EXAMPLE}; these can be run: ${examples}.")
endif()

# What stands behind "--" is the example's.
set(arguments "")
set(is_argument FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(k RANGE ${last})
  if(is_argument)
    list(APPEND arguments ${CMAKE_ARGV${k}})
  elseif(CMAKE_ARGV${k} STREQUAL "--")
    set(is_argument TRUE)
  endif()
endforeach()

attn_need_tools(generator)
attn_need_packages(${generator} Eigen3 CLI11 nlohmann_json ZLIB stb)
attn_count_jobs(jobs)

# A warning is the developers' business, and no reason not to see the example.
attn_configure(demo ${generator} -DATTN_BUILD_TESTS=OFF -DATTN_BUILD_BENCHMARKS=OFF
  -DATTN_WARNINGS_AS_ERRORS=OFF
)
set(demo ${attn_build}/demo)
attn_say("building ${EXAMPLE}")
execute_process(
  COMMAND ${CMAKE_COMMAND} --build ${demo} --parallel ${jobs} --target ${EXAMPLE}
  RESULT_VARIABLE failed
)
if(failed)
  message(FATAL_ERROR "attn: ${EXAMPLE} could not be built, see above.")
endif()

set(program ${demo}/bin/${EXAMPLE})
list(JOIN arguments " " spoken)
attn_say("in ${demo}: ${program} ${spoken}")
execute_process(COMMAND ${program} ${arguments} WORKING_DIRECTORY ${demo} RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "attn: ${EXAMPLE} ended with ${failed}.")
endif()
attn_say("the pages to look at are in ${demo}")
