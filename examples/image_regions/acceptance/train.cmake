# SPDX-License-Identifier: Apache-2.0
# A short training: the table, the page, the pictures, metrics; attention above the baselines and on
# the digits; the same whatever the number of threads.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)

expect(0 ARGS ${small} --digits 900 --epochs 20 --learning-rate 0.004 --metrics one.json
  SAYS "No files given: the digits are drawn."
    "additive attention, epoch 1/20" "canvases/s" "validation error" "mean pooling, epoch 20/20"
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

foreach(threads 1 3)
  expect(0 ARGS ${small} --digits 300 --epochs 2 --quiet --no-baselines --threads ${threads}
    --metrics ${threads}.json)
  file(READ ${WORK}/${threads}.json of_threads)
  foreach(field accuracy attention_in_box)
    string(JSON ${field}_${threads} GET "${of_threads}" models 0 ${field})
  endforeach()
endforeach()
if(NOT accuracy_1 STREQUAL accuracy_3 OR NOT attention_in_box_1 STREQUAL attention_in_box_3)
  message(SEND_ERROR "threads change the result: ${accuracy_1} ${attention_in_box_1} with one, "
    "${accuracy_3} ${attention_in_box_3} with three")
endif()
