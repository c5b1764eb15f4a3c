# SPDX-License-Identifier: Apache-2.0
# Without arguments: learns the made-up texts, beats both baselines, writes the page and the metrics.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)

expect(0 ARGS --metrics metrics.json
  SAYS "epoch 1" "examples/s" "macro-F1" "mean pooling" "bag of words" "planted key words"
    "attention.html" "account:" "delivery:" "payment:" "quality:"
)
if(NOT EXISTS ${WORK}/attention.html)
  message(SEND_ERROR "there is no attention.html")
endif()

file(READ ${WORK}/metrics.json metrics)
foreach(i RANGE 2)
  string(JSON accuracy_${i} GET "${metrics}" models ${i} accuracy)
  string(JSON name_${i} GET "${metrics}" models ${i} name)
  string(JSON seconds GET "${metrics}" models ${i} train_seconds)
  string(JSON f1 GET "${metrics}" models ${i} macro_f1)
endforeach()
if(NOT name_1 STREQUAL "mean pooling" OR NOT name_2 STREQUAL "bag of words")
  message(SEND_ERROR "the baselines are not in the metrics: ${metrics}")
endif()
if(accuracy_0 LESS 0.97 OR accuracy_0 LESS accuracy_1 OR accuracy_0 LESS accuracy_2)
  message(SEND_ERROR "attention does not stand above the baselines: ${metrics}")
endif()
string(JSON share GET "${metrics}" key_word_share attention)
string(JSON words GET "${metrics}" key_word_share words)
if(share LESS 0.4 OR words GREATER 0.15)
  message(SEND_ERROR "the attention does not fall on the key words: ${metrics}")
endif()

# The same seed, the same answer.
expect(0 ARGS --metrics again.json --quiet)
file(READ ${WORK}/again.json again)
string(JSON repeated GET "${again}" models 0 accuracy)
if(NOT repeated EQUAL accuracy_0)
  message(SEND_ERROR "the seed does not fix the result: ${repeated} and ${accuracy_0}")
endif()
