# SPDX-License-Identifier: Apache-2.0
# Files of pairs: a dictionary, characters and words with tabs; a saved model answers as before.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)
set(small --embed-dim 8 --hidden 16 --epochs 3 --learning-rate 0.01 --quiet)

# Every letter has one phoneme, so that a little is learnt soon.
set(dictionary ";;; made up\n")
set(letters "")
set(words "")
foreach(a IN ITEMS a e i o u)
  foreach(b IN ITEMS b d k l m n p r s t)
    foreach(c IN ITEMS a e i o u)
      string(TOUPPER "${b}" B)
      string(APPEND dictionary "${a}${b}${c} ${a}1 ${B} ${c}0 # ${b}\n")
      string(APPEND letters "${a}${b}${c}\t${c}${b}${a}\tignored\n")
      string(APPEND words "The ${a} is ${b}${c}.\tden ${a} är ${b}${c} .\n")
    endforeach()
  endforeach()
endforeach()
foreach(name dictionary letters words)
  file(WRITE ${WORK}/${name}.txt "${${name}}")
endforeach()

expect(0 ARGS --pairs dictionary.txt --format cmudict ${small} --save cmu.model
  --metrics trained.json --translate abi SAYS "sources to train on" "token errors %" "\"abi\"")
expect(0 ARGS --pairs letters.txt ${small} --limit 200 --longest 3 --no-baseline
  SAYS "exact match %" "attention")
file(APPEND ${WORK}/letters.txt "abcdef\tfedcba\n")
expect(0 ARGS --pairs letters.txt ${small} --longest 3 --no-baseline
  SAYS "to test; 1 of more than 3 tokens are left out")
expect(0 ARGS --pairs words.txt --tokens words ${small} --no-baseline --translate "the a is ba ."
  SAYS "looks most at")

expect(0 ARGS --load cmu.model --pairs dictionary.txt --format cmudict --metrics loaded.json)
if(OUTPUT MATCHES "epoch")
  message(SEND_ERROR "a loaded model is trained: ${OUTPUT}")
endif()
file(READ ${WORK}/trained.json trained)
file(READ ${WORK}/loaded.json loaded)
string(JSON before GET "${trained}" models 0 error_rate)
string(JSON after GET "${loaded}" models 0 error_rate)
if(NOT before STREQUAL after)
  message(SEND_ERROR "the error was ${before}, and is ${after} when loaded")
endif()
expect(0 ARGS --load cmu.model --translate abi edo SAYS "\"abi\"" "\"edo\"" "looks most at")
if(OUTPUT MATCHES "exact match")
  message(SEND_ERROR "with something to translate there is nothing to judge: ${OUTPUT}")
endif()
expect(2 ARGS --load cmu.model --pairs letters.txt
  SAYS "cmu.model: this model translates characters to words, and the data are characters and characters.")
expect(2 ARGS --load cmu.model --hidden 8 SAYS "--hidden means a new model, not --load's.")
