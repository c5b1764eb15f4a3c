# SPDX-License-Identifier: Apache-2.0
# Ctrl-C: the batch is finished, what is there is reported, the exit code is 130.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)
find_program(SHELL sh REQUIRED)

# A shell that runs a program in the background makes it ignore SIGINT; the program asks for it again.
file(WRITE ${WORK}/run.sh "
'${PROGRAM}' --users 300 --layers 1 --embed-dim 16 --epochs 1000000 --patience 0 --metrics metrics.json &
sleep 1
kill -INT $!
wait $!
")
execute_process(COMMAND ${SHELL} run.sh WORKING_DIRECTORY ${WORK} TIMEOUT 120
  RESULT_VARIABLE result OUTPUT_VARIABLE out ERROR_VARIABLE err
)
if(NOT result EQUAL 130 OR NOT out MATCHES "\\(interrupted\\)" OR NOT out MATCHES "co-occurrence")
  message(SEND_ERROR "ended with ${result}, not 130, or without a report:\n${out}${err}")
endif()
file(READ ${WORK}/metrics.json metrics)
string(JSON interrupted GET "${metrics}" interrupted)
if(NOT interrupted)
  message(SEND_ERROR "the metrics do not say so: ${metrics}")
endif()
