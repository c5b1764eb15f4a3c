# SPDX-License-Identifier: Apache-2.0
# Bad data and bad options: one sentence with file and line, exit code 2.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)
write_texts(${WORK}/good.tsv)

expect(2 ARGS --train missing.tsv --test good.tsv SAYS "missing.tsv: there is no such file.")
expect(2 ARGS --train good.tsv --test good.tsv --glove missing.txt
  SAYS "missing.txt: there is no such file.")

file(WRITE ${WORK}/unlabelled.tsv "pos\tfine\nno label here\n")
expect(2 ARGS --train unlabelled.tsv --test good.tsv SAYS "unlabelled.tsv:2: this line has no label")

# An invalid byte cannot be written by CMake; a program that turns octal escapes into bytes can.
execute_process(COMMAND printf "pos\\ta\\nneg\\tcaf\\351\\n" OUTPUT_FILE ${WORK}/latin.tsv)
expect(2 ARGS --train latin.tsv --test good.tsv
  SAYS "latin.tsv:2: byte 8 of this line (0xE9) is not valid UTF-8")

file(WRITE ${WORK}/empty.txt "\n\n")
file(WRITE ${WORK}/full.txt "one\ntwo\nthree\n")
expect(2 ARGS --class-file pos=empty.txt neg=full.txt --cross-validate 2
  SAYS "empty.txt:1: the class 'pos' is empty")
file(WRITE ${WORK}/other.tsv "neutral\tso so\n")
expect(2 ARGS --train good.tsv --test other.tsv
  SAYS "other.tsv:1: the class 'neutral' has no example in the training data.")
file(WRITE ${WORK}/one.tsv "pos\ta\npos\tb\n")
expect(2 ARGS --train one.tsv --test good.tsv SAYS "at least two classes")

file(WRITE ${WORK}/quotes.csv "pos,fine\nneg,\"open\n")
expect(2 ARGS --train quotes.csv --test good.tsv SAYS "quotes.csv:2: a quoted field")

expect(2 ARGS --load good.tsv --classify text SAYS "good.tsv:1: this is not a saved")
expect(2 ARGS --train good.tsv SAYS "there is nothing to test with")
expect(2 ARGS --train good.tsv --test good.tsv --cross-validate 3 SAYS "only one of")
expect(2 ARGS --no-such-option SAYS "no-such-option")
expect(2 ARGS --attention quadratic SAYS "quadratic")
expect_unwritable(OPTIONS save metrics html TRAINING "epoch" ARGS --train good.tsv --test good.tsv)
expect(0 ARGS --help SAYS "--cross-validate")
