# SPDX-License-Identifier: Apache-2.0
# Bad data and bad options: one sentence, exit code 2.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)

expect(2 ARGS --images missing.idx --labels missing.idx SAYS "missing.idx: there is no such file.")
file(WRITE ${WORK}/text.idx "no image at all, but text")
expect(2 ARGS --images text.idx --labels text.idx
  SAYS "text.idx: the file starts with the number 1852776553, and IDX labels start with 2049.")
# Bytes cannot be written by CMake; a program that turns octal escapes into bytes can.
function(write_bytes name bytes)
  execute_process(COMMAND printf ${bytes} OUTPUT_FILE ${WORK}/${name})
endfunction()
write_bytes(labels.idx "\\0\\0\\010\\001\\0\\0\\0\\002\\001\\002")
write_bytes(cut.idx "\\0\\0\\010\\003\\0\\0\\0\\002\\0\\0\\0\\002\\0\\0\\0\\002\\001\\002\\003")
expect(2 ARGS --images cut.idx --labels labels.idx
  SAYS "cut.idx: the file is cut off: 2 images of 2 x 2 pixels take 8 bytes, and 3 are there.")
write_bytes(absurd.idx "\\0\\0\\010\\003\\0\\0\\0\\002\\377\\377\\377\\377\\0\\0\\0\\002")
expect(2 ARGS --images absurd.idx --labels labels.idx
  SAYS "absurd.idx: the images are 4294967295 x 2 pixels; 1 to 4096 rows and columns are possible.")
write_bytes(three.idx "\\0\\0\\010\\003\\0\\0\\0\\003\\0\\0\\0\\001\\0\\0\\0\\001\\001\\002\\003")
expect(2 ARGS --images three.idx --labels labels.idx
  SAYS "labels.idx: there are 2 labels, and three.idx holds 3 images; each image needs one.")
write_bytes(damaged.idx "\\037\\213\\010\\0\\0\\0\\0\\0\\0\\003damaged")
expect(2 ARGS --images damaged.idx --labels labels.idx SAYS "damaged.idx: the gzip file is")

file(WRITE ${WORK}/rows.csv "1,2,3,4,0\n1,2,3,0\n")
expect(2 ARGS --csv rows.csv SAYS "rows.csv:2: this row has 4 numbers and the first has 5.")
file(WRITE ${WORK}/few.csv "1,2,3,4,0\n1,2,3,4,1\n")
expect(2 ARGS --csv few.csv SAYS "few.csv: the file holds 2 images; 6 or more are needed")
expect(2 ARGS --csv few.csv --test-csv few.csv
  SAYS "no image has the class 9 that --target asks for; the classes are 0 to 1.")
expect(2 ARGS --csv few.csv --images cut.idx --labels labels.idx SAYS "only one of --images and --csv")
expect(2 ARGS --images cut.idx SAYS "--images and --labels need each other.")

expect(2 ARGS --no-such-option SAYS "no-such-option")
expect(2 ARGS --bags 0 SAYS "--bags")
expect(2 ARGS --attention max SAYS "--attention")
expect_unwritable(OPTIONS metrics html TRAINING "trainings")
expect(0 ARGS --help SAYS "--target" "--test-images")
