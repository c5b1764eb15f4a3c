# SPDX-License-Identifier: Apache-2.0
# A text file; a saved model judges and writes as before.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)
set(text "")
foreach(i RANGE 1 60)
  string(APPEND text "line ${i} says naïve things\n")
endforeach()
file(WRITE ${WORK}/text.txt "${text}")

expect(0 ARGS --text text.txt --layers 1 --embed-dim 16 --hidden 16 --context 24 --steps 40
  --save a.model --metrics trained.json --prompt "line 7" --tokens 30 --top-k 3)
string(REGEX MATCH "A sample.*\n\n30" sample "${OUTPUT}")
expect(0 ARGS --text text.txt --load a.model --metrics loaded.json --prompt "line 7" --tokens 30
  --top-k 3)
string(REGEX MATCH "A sample.*\n\n30" again "${OUTPUT}")
if(NOT sample OR NOT sample STREQUAL again)
  message(SEND_ERROR "the loaded model writes '${again}' and wrote '${sample}'")
endif()
file(READ ${WORK}/trained.json trained)
file(READ ${WORK}/loaded.json loaded)
string(JSON before GET "${trained}" models 0 validation_loss)
string(JSON after GET "${loaded}" models 0 validation_loss)
if(NOT before STREQUAL after)
  message(SEND_ERROR "the loss was ${before}, and is ${after} when loaded")
endif()
expect(0 ARGS --load a.model --temperature 0 --tokens 5 SAYS "5 characters,")
if(OUTPUT MATCHES "bigram")
  message(SEND_ERROR "without a text there is nothing to judge: ${OUTPUT}")
endif()

expect(2 ARGS --load a.model --prompt "Q" SAYS "--prompt: the model does not know the character 'Q'")
expect(2 ARGS --load a.model --layers 2 SAYS "--layers means a new model, not --load's.")
file(WRITE ${WORK}/other.txt "quite other words: #####\n")
expect(2 ARGS --load a.model --text other.txt
  SAYS "other.txt: the model does not know the character 'q'")
