# SPDX-License-Identifier: Apache-2.0
# A broken page is noticed for all that is wrong with it; without a browser nothing is.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/../../support/browser.cmake)
if(NOT BROWSER)
  message(STATUS "skipped: no browser")
  return()
endif()

file(WRITE ${WORK}/broken.html "<!doctype html><html><head></head><body>
<p class=\"cell\" data-weight=\"1\">x</p><img src=\"http://example.invalid/x.png\">
<script>console.warn('heard'); throw new Error('thrown');</script></body></html>")
file(WRITE ${WORK}/look.cmake "cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../../support/browser.cmake)
browse(FILE broken.html CELLS 2 COUNT p 3 TOOLTIP weight)
browse(FILE missing.html)
")

# look(<exit code> <browser> <text>...): what look.cmake ends with and says.
function(look code browser)
  execute_process(COMMAND ${CMAKE_COMMAND} -D WORK=${WORK} -D BROWSER=${browser} -P look.cmake
    WORKING_DIRECTORY ${WORK} RESULT_VARIABLE result OUTPUT_VARIABLE out ERROR_VARIABLE out
  )
  if(NOT result EQUAL code)
    message(SEND_ERROR "ended with ${result}, not ${code}:\n${out}")
  endif()
  foreach(text IN LISTS ARGN)
    string(FIND "${out}" "${text}" at)
    if(at EQUAL -1)
      message(SEND_ERROR "does not say '${text}':\n${out}")
    endif()
  endforeach()
endfunction()

look(1 ${BROWSER} "'cells' is not 2" "'count p' is not 3" "no tooltip 'weight' at" "hover" "focus"
  "error: Uncaught Error: thrown" "not loaded: http://example.invalid" "asked for http" "heard"
  "there is no"
)
file(WRITE ${WORK}/missing.html "<!doctype html>")
look(0 "" "skipped: no browser")
