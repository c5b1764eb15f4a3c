# SPDX-License-Identifier: Apache-2.0
# Tries the benchmark report at PROGRAM in the folder WORK: every row on tiny sizes, JSON and SVG
# that can be read, and the ways in which it must fail.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})

# attn_report_run(<expected exit status> <text that the output must match> <arguments>...)
function(attn_report_run expected text)
  execute_process(COMMAND ${PROGRAM} ${ARGN}
    RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output
  )
  if(NOT status EQUAL expected OR NOT output MATCHES "${text}")
    list(JOIN ARGN " " arguments)
    message("${output}")
    message(FATAL_ERROR
      "attn_report ${arguments} ended with ${status} in place of ${expected}, or without `${text}`")
  endif()
endfunction()

attn_report_run(0 "0 are wrong" --quick --json ${WORK}/report.json --svg ${WORK}/report.svg)

# The JSON: a value and a verdict in every row, and a grid.
file(READ ${WORK}/report.json json)
string(JSON quick GET "${json}" quick)
string(JSON rows LENGTH "${json}" rows)
string(JSON cells LENGTH "${json}" grid cells)
if(NOT quick OR rows LESS 30 OR NOT cells EQUAL 56)
  message(FATAL_ERROR "report.json has ${rows} rows and ${cells} cells, quick: ${quick}")
endif()
math(EXPR last "${rows} - 1")
foreach(row RANGE ${last})
  string(JSON name GET "${json}" rows ${row} work)
  string(JSON value GET "${json}" rows ${row} value)
  string(JSON verdict GET "${json}" rows ${row} verdict)
  string(JSON note GET "${json}" rows ${row} note)
  if(NOT value GREATER 0 AND NOT (verdict STREQUAL "not measured" AND note))
    message(FATAL_ERROR "report.json: row ${row}, ${name}, is `${value}`, ${verdict}")
  endif()
endforeach()

# The SVG: every element that opens closes, in turn, and each of the eight d has two curves.
file(READ ${WORK}/report.svg svg)
string(REGEX MATCHALL "<polyline " curves "${svg}")
list(LENGTH curves count)
if(NOT count EQUAL 16)
  message(FATAL_ERROR "report.svg has ${count} curves in place of 16")
endif()
if(svg MATCHES "[\" ,(]-?(nan|inf)[\" ,)]")
  message(FATAL_ERROR "report.svg contains `${CMAKE_MATCH_0}`")
endif()
string(REPLACE ";" "," svg "${svg}")
string(REGEX MATCHALL "<[^>]*>" tags "${svg}")
set(open "")
foreach(tag IN LISTS tags)
  if(tag MATCHES "^</([a-z]+)>$")
    set(closed ${CMAKE_MATCH_1})
    list(POP_BACK open opened)
    if(NOT closed STREQUAL "${opened}")
      message(FATAL_ERROR "report.svg closes ${closed} where ${opened} is open")
    endif()
  elseif(tag MATCHES "^<([a-z]+)[^>]*[^/]?>$" AND NOT tag MATCHES "/>$")
    string(REGEX REPLACE "^<([a-z]+).*$" "\\1" name "${tag}")
    list(APPEND open ${name})
  endif()
endforeach()
if(open)
  message(FATAL_ERROR "report.svg leaves ${open} open")
endif()

# A wrong result fails the report and gives no value; so do rows that do not exist.
attn_report_run(1 "WRONG RESULT.*1 are wrong" --quick --tolerance 0 --only "^causal")
attn_report_run(2 "no row matches" --quick --only "no such row")
attn_report_run(2 "no regular expression" --quick --only "(")
