# SPDX-License-Identifier: Apache-2.0
# What acceptance tests share: a fresh folder, and running PROGRAM with expectations.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})

# expect(<exit code> [SAYS <text>...] ARGS <argument>...): runs the program in WORK; every SAYS text
# must stand in what it prints.
function(expect code)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SAYS;ARGS")
  execute_process(COMMAND ${PROGRAM} ${arg_ARGS} WORKING_DIRECTORY ${WORK}
    RESULT_VARIABLE result OUTPUT_VARIABLE out ERROR_VARIABLE err
  )
  if(NOT result STREQUAL code)
    message(SEND_ERROR "${PROGRAM} ${arg_ARGS}\nended with ${result}, not ${code}:\n${out}${err}")
  endif()
  foreach(text IN LISTS arg_SAYS)
    string(FIND "${out}${err}" "${text}" at)
    if(at EQUAL -1)
      message(SEND_ERROR "${PROGRAM} ${arg_ARGS}\ndoes not say '${text}':\n${out}${err}")
    endif()
  endforeach()
  set(OUTPUT "${out}${err}" PARENT_SCOPE)
endfunction()
