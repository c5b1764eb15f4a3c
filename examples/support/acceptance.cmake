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

# expect_unwritable(OPTIONS <option>... TRAINING <regex> ARGS <argument>...): a path that cannot be
# written is refused, and before the training, whose progress would match the expression.
function(expect_unwritable)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "TRAINING" "OPTIONS;ARGS")
  foreach(option IN LISTS arg_OPTIONS)
    expect(2 ARGS ${arg_ARGS} --${option} missing/folder/file
      SAYS "missing/folder/file: the file cannot be written."
    )
    if(OUTPUT MATCHES "${arg_TRAINING}")
      message(SEND_ERROR "a path that cannot be written was noticed after the training")
    endif()
  endforeach()
endfunction()

# expect_interruptible(SECONDS <n> SAYS <text>... [FLAG <key>...] ARGS <argument>...): Ctrl-C after
# some seconds ends the program with 130; what is there is reported, and the metrics hold true under
# the keys FLAG.
function(expect_interruptible)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "SECONDS" "SAYS;FLAG;ARGS")
  find_program(SHELL sh REQUIRED)
  list(JOIN arg_ARGS " " arguments)
  # A shell makes a program in the background ignore SIGINT; the program asks for it again.
  file(WRITE ${WORK}/run.sh "
'${PROGRAM}' ${arguments} --metrics metrics.json &
sleep ${arg_SECONDS}
kill -INT $!
wait $!
")
  execute_process(COMMAND ${SHELL} run.sh WORKING_DIRECTORY ${WORK} TIMEOUT 120
    RESULT_VARIABLE result OUTPUT_VARIABLE out ERROR_VARIABLE err
  )
  if(NOT result EQUAL 130)
    message(SEND_ERROR "ended with ${result}, not 130:\n${out}${err}")
  endif()
  foreach(text IN LISTS arg_SAYS)
    string(FIND "${out}" "${text}" at)
    if(at EQUAL -1)
      message(SEND_ERROR "does not say '${text}':\n${out}${err}")
    endif()
  endforeach()
  file(READ ${WORK}/metrics.json metrics)
  string(JSON interrupted GET "${metrics}" ${arg_FLAG})
  if(NOT interrupted)
    message(SEND_ERROR "the metrics do not say so: ${metrics}")
  endif()
endfunction()
