# SPDX-License-Identifier: Apache-2.0
# Ctrl-C: the batch is finished, what is there is reported, the exit code is 130.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)
find_program(SHELL sh REQUIRED)

# A shell that runs a program in the background makes it ignore SIGINT; the program asks for it again.
file(WRITE ${WORK}/run.sh "
'${PROGRAM}' --epochs 100000 --patience 100000 --metrics metrics.json &
sleep 2
kill -INT $!
wait $!
")
execute_process(COMMAND ${SHELL} run.sh WORKING_DIRECTORY ${WORK} TIMEOUT 120
  RESULT_VARIABLE result OUTPUT_VARIABLE out ERROR_VARIABLE err
)
if(NOT result EQUAL 130)
  message(SEND_ERROR "ended with ${result}, not 130:\n${out}${err}")
endif()
foreach(text "(interrupted)" "Test set" "shorter training" "attention.html")
  string(FIND "${out}" "${text}" at)
  if(at EQUAL -1)
    message(SEND_ERROR "does not say '${text}':\n${out}${err}")
  endif()
endforeach()
file(READ ${WORK}/metrics.json metrics)
string(JSON interrupted GET "${metrics}" models 0 interrupted)
if(NOT interrupted)
  message(SEND_ERROR "the metrics do not say so: ${metrics}")
endif()
