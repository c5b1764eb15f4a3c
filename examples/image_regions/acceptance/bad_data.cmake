# SPDX-License-Identifier: Apache-2.0
# Bad data and bad options: one sentence, exit code 2.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)

# 12 images of 2 x 2 pixels, and their labels.
set(pixels "")
set(classes "")
foreach(i RANGE 1 12)
  string(APPEND pixels "\\377\\000\\000\\377")
  string(APPEND classes "\\001")
endforeach()
set(head "\\000\\000\\010\\003\\000\\000\\000\\014\\000\\000\\000\\002\\000\\000\\000\\002")
set(label_head "\\000\\000\\010\\001\\000\\000\\000\\014")
write_bytes(good.images "${head}${pixels}")
write_bytes(good.labels "${label_head}${classes}")

expect(2 ARGS --images missing.idx --labels good.labels SAYS "missing.idx: there is no such file.")
expect(2 ARGS --images good.labels --labels good.labels SAYS "good.labels: " "2051")
expect(2 ARGS --images good.images --labels good.images SAYS "good.images: " "2049")
write_bytes(cut.images "${head}\\377\\000")
expect(2 ARGS --images cut.images --labels good.labels SAYS "cut.images: the file is cut off")
write_bytes(huge.images
  "\\000\\000\\010\\003\\377\\377\\377\\377\\377\\377\\377\\377\\377\\377\\377\\377")
expect(2 ARGS --images huge.images --labels good.labels SAYS "huge.images: ")
write_bytes(few.labels "\\000\\000\\010\\001\\000\\000\\000\\002\\001\\001")
expect(2 ARGS --images good.images --labels few.labels SAYS "few.labels: " "2 labels" "12")
file(WRITE ${WORK}/bad.csv "1,2,3,4,0\n1,2,3,0\n")
expect(2 ARGS --csv bad.csv SAYS "bad.csv:2: ")
file(WRITE ${WORK}/few.csv "1,2,3,4,0\n4,3,2,1,1\n1,2,3,4,0\n4,3,2,1,1\n1,2,3,4,0\n4,3,2,1,1\n")
expect(2 ARGS --csv few.csv SAYS "there are 5 images to learn from; 10 or more are needed.")
expect(2 ARGS --load good.images SAYS "good.images:1: this is not a saved")

expect(2 ARGS --images good.images SAYS "--images and --labels need each other.")
expect(2 ARGS --no-such-option SAYS "no-such-option")
expect(2 ARGS --attention quadratic SAYS "quadratic")
expect(2 ARGS --features smell SAYS "smell")
expect(2 ARGS --epochs 0 SAYS "--epochs")
expect(2 ARGS --digits 60 --stride 3 SAYS "the stride of convolutions is 2 or 4, not 3.")
expect(2 ARGS --digits 60 --canvas 62
  SAYS "the stride 4 does not divide the canvas of 62 x 62 pixels.")
expect(2 ARGS --digits 60 --features patches --patch 5
  SAYS "patches of 5 pixels cannot stand 6 pixels apart")
expect(2 ARGS --digits 60 --self-attention --heads 5 SAYS "5 heads do not divide 64 channels.")
expect(2 ARGS --digits 60 --canvas 20
  SAYS "a canvas of 20 x 20 pixels cannot hold an image of 28 x 28 pixels.")
expect(2 ARGS --digits 60 --piece-size 29
  SAYS "pieces of 29 x 29 pixels cannot be cut from images of 28 x 28")
# Before the training, not after it.
foreach(option save metrics html png)
  expect(2 ARGS --${option} missing/folder/file SAYS "missing/folder/file" "cannot be written.")
  if(OUTPUT MATCHES "epoch")
    message(SEND_ERROR "a path that cannot be written was noticed after the training")
  endif()
endforeach()
expect(2 ARGS --classify missing.png SAYS "missing.png: there is no such file.")
expect(2 ARGS --classify good.images SAYS "good.images: this is not a PNG image.")
if(OUTPUT MATCHES "epoch")
  message(SEND_ERROR "an image that cannot be read was noticed after the training")
endif()
expect(0 ARGS --help SAYS "--self-attention")
