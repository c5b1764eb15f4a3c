# SPDX-License-Identifier: Apache-2.0
# Ctrl-C: the batch is finished, what is there is reported, the exit code is 130.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)
find_program(SHELL sh REQUIRED)

# A shell that runs a program in the background makes it ignore SIGINT; it is asked for again.
file(WRITE ${WORK}/run.sh "
'${PROGRAM}' --digits 120 --digit-size 8 --epochs 100000 --metrics metrics.json &
sleep 1
kill -INT $!
wait $!
")
execute_process(COMMAND ${SHELL} run.sh WORKING_DIRECTORY ${WORK} TIMEOUT 120
  RESULT_VARIABLE result OUTPUT_VARIABLE out ERROR_VARIABLE err
)
if(NOT result EQUAL 130 OR NOT out MATCHES "additive attention \\(interrupted\\)"
    OR NOT out MATCHES "shorter training" OR NOT EXISTS ${WORK}/attention.html)
  message(SEND_ERROR "ended with ${result}, not 130, or without a report:\n${out}${err}")
endif()
file(READ ${WORK}/metrics.json metrics)
string(JSON interrupted GET "${metrics}" models 0 interrupted)
string(JSON models LENGTH "${metrics}" models)
if(NOT interrupted OR NOT models EQUAL 1)
  message(SEND_ERROR "the metrics do not say so: ${metrics}")
endif()
