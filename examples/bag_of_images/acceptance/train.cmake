# SPDX-License-Identifier: Apache-2.0
# A short training on drawn digits: a table, metrics, a page; the same whatever the number of threads.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)
set(small --bags 20 60 --repeats 2 --test-bags 60 --epochs 6 --hidden 24 --features 16)

expect(0 ARGS ${small} --metrics one.json --threads 1
  SAYS "No files given: the digits are drawn." "gated attention, 60 bags" "trainings/s" "AUC"
    "20 bags" "60 bags" "max pooling" "mean pooling" "+-" "highest weight hits"
    "Chance that an image drawn from a positive bag hits" "attention.html"
)
if(NOT EXISTS ${WORK}/attention.html)
  message(SEND_ERROR "there is no attention.html")
endif()
file(READ ${WORK}/one.json one)
string(JSON count LENGTH "${one}" models)
if(NOT count EQUAL 6)
  message(SEND_ERROR "there are not three models for each of two numbers of bags: ${one}")
endif()
foreach(i RANGE 5)
  string(JSON auc GET "${one}" models ${i} auc)
  if(auc LESS 0 OR auc GREATER 1)
    message(SEND_ERROR "an area is not between 0 and 1: ${one}")
  endif()
endforeach()
string(JSON name GET "${one}" models 3 name)
string(JSON bags GET "${one}" models 3 bags)
string(JSON hits GET "${one}" models 3 hit_rate)
if(NOT name STREQUAL "gated attention" OR NOT bags EQUAL 60)
  message(SEND_ERROR "the fourth training is not attention on 60 bags: ${one}")
endif()

expect(0 ARGS ${small} --metrics three.json --threads 3 --quiet)
if(OUTPUT MATCHES "trainings/s")
  message(SEND_ERROR "--quiet shows progress:\n${OUTPUT}")
endif()
file(READ ${WORK}/three.json three)
foreach(i RANGE 5)
  string(JSON first GET "${one}" models ${i} auc)
  string(JSON second GET "${three}" models ${i} auc)
  if(NOT first STREQUAL second)
    message(SEND_ERROR "threads change the result: ${first} and ${second}")
  endif()
endforeach()
