# SPDX-License-Identifier: Apache-2.0
# Bad data and bad options: one sentence, exit code 2.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)

expect(2 ARGS --text missing.txt SAYS "missing.txt: there is no such file.")
file(WRITE ${WORK}/empty.txt "")
expect(2 ARGS --text empty.txt SAYS "empty.txt: the text is too short: 0 characters train")
file(WRITE ${WORK}/short.txt "too short\n")
expect(2 ARGS --text short.txt
  SAYS "short.txt: the text is too short: 9 characters train and 1 validate, and 65 and 2 are needed.")
# An invalid byte cannot be written by CMake; a program that turns octal escapes into bytes can.
execute_process(COMMAND printf "a\\ncaf\\351\\n" OUTPUT_FILE ${WORK}/latin.txt)
expect(2 ARGS --text latin.txt SAYS "latin.txt:2: byte 4 of this line (0xE9) is not valid UTF-8")
expect(2 ARGS --load short.txt SAYS "short.txt:1: this is not a saved")
file(WRITE ${WORK}/damaged.model
  "attn character model 1\n{\"description\": {\"characters\": [\"a\"], \"layers\": 0}, \"tensors\": []}\n")
expect(2 ARGS --load damaged.model
  SAYS "damaged.model:2: the description of the saved model is damaged: its layers is 0.")

expect(2 ARGS --no-such-option SAYS "no-such-option")
expect(2 ARGS --steps 0 SAYS "--steps")
expect(2 ARGS --heads 5 SAYS "--heads must divide --embed-dim.")
expect(2 ARGS --kv-heads 3 SAYS "--kv-heads must divide --heads.")
expect(2 ARGS --embed-dim 6 --heads 2 SAYS "must be even, since features turn in pairs.")
# A list of arguments cannot hold an empty one.
execute_process(COMMAND ${PROGRAM} --prompt "" RESULT_VARIABLE result ERROR_VARIABLE err)
if(NOT result EQUAL 2 OR NOT err MATCHES "--prompt needs a character or more.")
  message(SEND_ERROR "an empty prompt ends with ${result}: ${err}")
endif()
expect(2 ARGS --prompt "#" SAYS "--prompt: the model does not know the character '#'")
expect_unwritable(OPTIONS save metrics html TRAINING "step")
expect(0 ARGS --help SAYS "--temperature")
