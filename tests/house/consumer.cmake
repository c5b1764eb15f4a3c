# SPDX-License-Identifier: Apache-2.0
# Builds and runs tests/consumer in the folder WORK: WAY is "installed" (the package is installed
# from BUILD first) or "subdirectory" (the consumer takes attn's SOURCE).
cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE failed)
  if(failed)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "house.consumer.${WAY}: this failed with ${failed}: ${command}")
  endif()
endfunction()

if(WAY STREQUAL "installed")
  file(REMOVE_RECURSE ${WORK}/prefix)
  run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
  set(where -D CMAKE_PREFIX_PATH=${WORK}/prefix -D ATTN_SOURCE_DIR=)
else()
  set(where -D ATTN_SOURCE_DIR=${SOURCE})
endif()
run(${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer -B ${WORK}/build -G ${GENERATOR}
  -D CMAKE_CXX_COMPILER=${COMPILER} -D Eigen3_DIR=${Eigen3_DIR} ${where}
)
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${WORK}/build/consumer)
