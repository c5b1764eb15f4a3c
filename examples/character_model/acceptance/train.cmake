# SPDX-License-Identifier: Apache-2.0
# A short training: a table, a page, metrics, a sample; the same whatever the number of threads.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)
set(small --layers 1 --embed-dim 16 --hidden 24 --context 48 --steps 150 --learning-rate 0.01
  --tokens 50)

expect(0 ARGS ${small} --metrics one.json --threads 1
  SAYS "step 100/150" "characters/s" "validation loss" "bigram" "3-gram" "5-gram" "best possible"
    "loss.html" "A sample"
)
foreach(name loss.html one.json)
  if(NOT EXISTS ${WORK}/${name})
    message(SEND_ERROR "there is no ${name}")
  endif()
endforeach()
file(READ ${WORK}/one.json one)
foreach(i 0 1)
  string(JSON loss_${i} GET "${one}" models ${i} validation_loss)
endforeach()
string(JSON best GET "${one}" best_loss)
string(JSON steps GET "${one}" steps)
if(NOT loss_0 LESS loss_1 OR loss_0 LESS best OR NOT steps EQUAL 150)
  message(SEND_ERROR "the loss is not between the best possible and the bigram's: ${one}")
endif()

expect(0 ARGS ${small} --metrics three.json --threads 3 --quiet)
file(READ ${WORK}/three.json three)
string(JSON repeated GET "${three}" models 0 validation_loss)
if(NOT repeated STREQUAL loss_0)
  message(SEND_ERROR "threads change the result: ${repeated} and ${loss_0}")
endif()

# Time that is up ends the training after a step.
expect(0 ARGS ${small} --seconds 0.001 --metrics short.json SAYS "Trained 1 steps")
