# SPDX-License-Identifier: Apache-2.0
# cmake -P cmake/demo.cmake: gets what is missing, builds the text classifier and runs it on the
# sentences that it makes up itself.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/machine.cmake)

attn_need_tools(generator)
attn_need_packages(${generator} Eigen3 CLI11 nlohmann_json ZLIB stb)
attn_count_jobs(jobs)

attn_configure(demo ${generator} -DATTN_BUILD_TESTS=OFF -DATTN_BUILD_BENCHMARKS=OFF)
set(demo ${attn_build}/demo)
attn_say("building the text classifier")
execute_process(
  COMMAND ${CMAKE_COMMAND} --build ${demo} --parallel ${jobs} --target text_classification
  RESULT_VARIABLE failed
)
if(failed)
  message(FATAL_ERROR "attn: the text classifier could not be built, see above.")
endif()

set(program ${demo}/bin/text_classification)
set(page ${demo}/attention.html)
file(REMOVE ${page})
attn_say("running ${program}")
execute_process(COMMAND ${program} WORKING_DIRECTORY ${demo} RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "attn: the text classifier ended with ${failed}.")
endif()
if(NOT EXISTS ${page})
  message(FATAL_ERROR "attn: the text classifier wrote no ${page}.")
endif()
attn_say("which words it looked at: open ${page} in a browser")
