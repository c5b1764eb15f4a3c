# SPDX-License-Identifier: Apache-2.0
# A short training: the table, the page, the pictures, metrics; the same whatever the number of
# threads.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)

expect(0 ARGS ${small} --metrics one.json --threads 1
  SAYS "No files given: the digits are drawn."
    "additive attention, epoch 1/6" "canvases/s" "validation error" "mean pooling, epoch 6/6"
    "MLP on pixels" "pointing %" "Chance:" "Where it looked: attention.html"
)
foreach(name attention.html attention_right.png attention_wrong.png)
  if(NOT EXISTS ${WORK}/${name})
    message(SEND_ERROR "there is no ${name}")
  endif()
endforeach()

file(READ ${WORK}/one.json one)
foreach(i RANGE 2)
  foreach(field name accuracy pointing_accuracy parameters train_seconds)
    string(JSON ${field}_${i} GET "${one}" models ${i} ${field})
  endforeach()
endforeach()
string(JSON chance GET "${one}" chance)
if(NOT name_0 STREQUAL "additive attention" OR NOT name_1 STREQUAL "mean pooling"
    OR NOT name_2 STREQUAL "MLP on pixels")
  message(SEND_ERROR "the models are not those that were asked for: ${one}")
endif()
if(accuracy_0 LESS accuracy_1 OR accuracy_0 LESS accuracy_2 OR accuracy_0 LESS 0.6)
  message(SEND_ERROR "attention does not stand above the baselines: ${one}")
endif()
if(pointing_accuracy_0 LESS 0.8 OR NOT pointing_accuracy_1 EQUAL chance)
  message(SEND_ERROR "attention does not point at the digits: ${one}")
endif()

expect(0 ARGS ${small} --metrics three.json --threads 3 --quiet --no-baselines)
file(READ ${WORK}/three.json three)
string(JSON repeated GET "${three}" models 0 accuracy)
if(NOT repeated STREQUAL accuracy_0)
  message(SEND_ERROR "threads change the result: ${repeated} and ${accuracy_0}")
endif()
