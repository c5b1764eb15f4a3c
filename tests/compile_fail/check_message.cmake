# SPDX-License-Identifier: Apache-2.0
# Compiles SOURCE with COMPILER and holds the outcome against the expectations in the comments of
# SOURCE.
cmake_minimum_required(VERSION 3.25)
cmake_path(GET SOURCE FILENAME name)

# The expectations, one a line. Brackets and semicolons would split or join CMake's lists.
function(as_plain_text text result)
  string(REPLACE ";" "{semicolon}" text "${text}")
  string(REPLACE "[" "{open}" text "${text}")
  string(REPLACE "]" "{close}" text "${text}")
  set(${result} "${text}" PARENT_SCOPE)
endfunction()

file(READ ${SOURCE} text)
as_plain_text("${text}" text)
string(REGEX MATCHALL "// expect: [^\n]+" expectations "${text}")
string(REGEX MATCH "// expect-ok" must_compile "${text}")
if(NOT expectations AND NOT must_compile)
  message(FATAL_ERROR "${name} has no comment \"// expect: <text>\"")
endif()

include(${CMAKE_CURRENT_LIST_DIR}/flags.cmake)
# In the plain locale g++ quotes with ASCII letters. Only the first error counts, so the compiler
# stops there, which halves its time.
execute_process(
  COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C
    ${COMPILER} ${flags} -include ${PRECOMPILED} -fsyntax-only -Wfatal-errors
    -fno-diagnostics-color ${SOURCE}
  RESULT_VARIABLE refused
  OUTPUT_VARIABLE output
  ERROR_VARIABLE output
)

if(must_compile)
  if(refused)
    message("${output}")
    message(FATAL_ERROR "${name} was expected to compile")
  endif()
  return()
endif()
if(NOT refused)
  message(FATAL_ERROR "${name} compiles, and was expected to be refused")
endif()

as_plain_text("${output}" output)
string(REGEX MATCH "[^\n]*error:[^\n]*" first "${output}")
foreach(expectation IN LISTS expectations)
  string(REPLACE "// expect: " "" expectation "${expectation}")
  string(FIND "${first}" "${expectation}" place)
  if(place EQUAL -1)
    message("${first}")
    message("the first error does not contain \"${expectation}\"")
    set(broken TRUE)
  endif()
endforeach()
if(broken)
  message(FATAL_ERROR "${name} is refused with another message")
endif()
