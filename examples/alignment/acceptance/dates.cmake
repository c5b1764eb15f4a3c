# SPDX-License-Identifier: Apache-2.0
# Without a file: learns to write dates as ISO 8601 does, beats the model without attention, and
# writes page, chart and metrics; the same whatever the number of threads.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)
set(small --dates 2 --lines 2400 --epochs 6 --embed-dim 16 --hidden 32 --learning-rate 0.01)

expect(0 ARGS ${small} --metrics one.json --threads 1 --translate "3 March 1999"
  SAYS "the dates are made up" "2400 sources to train on, 101 to validate, 401 to test"
    "attention, epoch 6/6" "pairs/s" "validation loss" "exact match %" "fixed context"
    "Exact matches by the length of the source" "source tokens" "attention.html" "lengths.svg"
    "looks most at"
)
foreach(name attention.html lengths.svg one.json)
  if(NOT EXISTS ${WORK}/${name})
    message(SEND_ERROR "there is no ${name}")
  endif()
endforeach()
file(READ ${WORK}/one.json one)
foreach(i 0 1)
  string(JSON exact_${i} GET "${one}" models ${i} exact_match)
endforeach()
string(JSON name GET "${one}" models 1 name)
string(JSON ranges LENGTH "${one}" models 0 by_length)
if(NOT name STREQUAL "fixed context" OR ranges LESS 5)
  message(SEND_ERROR "the metrics are incomplete: ${one}")
endif()
if(exact_0 LESS 0.2 OR exact_1 GREATER 0.1)
  message(SEND_ERROR "attention is not ahead: ${one}")
endif()

set(tiny --dates 1 --lines 300 --epochs 2 --hidden 16 --no-baseline --quiet)
expect(0 ARGS ${tiny} --metrics one.json --threads 1)
expect(0 ARGS ${tiny} --metrics three.json --threads 3)
if(OUTPUT MATCHES "epoch" OR OUTPUT MATCHES "fixed context")
  message(SEND_ERROR "--quiet or --no-baseline is not heard: ${OUTPUT}")
endif()
file(READ ${WORK}/one.json one)
file(READ ${WORK}/three.json three)
string(JSON single GET "${one}" models 0 error_rate)
string(JSON shared GET "${three}" models 0 error_rate)
if(NOT single STREQUAL shared)
  message(SEND_ERROR "threads change the result: ${single} and ${shared}")
endif()
