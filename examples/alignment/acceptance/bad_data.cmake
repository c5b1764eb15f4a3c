# SPDX-License-Identifier: Apache-2.0
# Bad data and bad options: one sentence, exit code 2.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)

expect(2 ARGS --pairs missing.txt SAYS "missing.txt: there is no such file.")
file(WRITE ${WORK}/no_tab.txt "go\tgå\nrun\n")
expect(2 ARGS --pairs no_tab.txt
  SAYS "no_tab.txt:2: this line has no tab between a source and its target.")
file(WRITE ${WORK}/empty.txt "")
expect(2 ARGS --pairs empty.txt SAYS "empty.txt: the pairs are too few: 0 train")
file(WRITE ${WORK}/dictionary.txt "abacus\n")
expect(2 ARGS --pairs dictionary.txt --format cmudict
  SAYS "dictionary.txt:1: the word 'abacus' has no phonemes")
# An invalid byte cannot be written by CMake; a program that turns octal escapes into bytes can.
execute_process(COMMAND printf "a\\tb\\ncaf\\351\\tb\\n" OUTPUT_FILE ${WORK}/latin.txt)
expect(2 ARGS --pairs latin.txt SAYS "latin.txt:2: byte 4 of this line (0xE9) is not valid UTF-8")
expect(2 ARGS --load empty.txt SAYS "empty.txt:1: this is not a saved")
file(WRITE ${WORK}/damaged.model
  "attn translator 1\n{\"description\": {\"source_unit\": \"bytes\"}, \"tensors\": []}\n")
expect(2 ARGS --load damaged.model
  SAYS "damaged.model:2: the description of the saved model is damaged: its source_unit is 'bytes'.")

expect(2 ARGS --no-such-option SAYS "no-such-option")
expect(2 ARGS --epochs 0 SAYS "--epochs")
expect(2 ARGS --hidden 5 SAYS "--hidden must be even: each direction has half of it.")
expect(2 ARGS --format cmudict SAYS "--format says something about --pairs, and there are none.")
expect(2 ARGS --pairs no_tab.txt --dates 2 SAYS "--dates is about made-up dates")
expect(2 ARGS --pairs no_tab.txt --format cmudict --tokens words SAYS "--tokens is for --format tabs")
expect(2 ARGS --translate " " SAYS "--translate: there is nothing to translate.")
# An ideographic space is a character, but no word.
expect(2 ARGS --pairs no_tab.txt --tokens words --translate "　"
  SAYS "--translate: there is nothing to translate.")
string(REPEAT "1.1.1999;" 300 many)
string(REPLACE ";" " " many "${many}")
expect(2 ARGS --translate ${many} SAYS "--translate: this text has 2700 bytes, and up to 2000 are")
expect_unwritable(OPTIONS save metrics html svg TRAINING "epoch")
expect(0 ARGS --help SAYS "--translate")
