# SPDX-License-Identifier: Apache-2.0
# Every kind of model trains, and a saved one answers as before; images from files.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)
set(tiny ${small} --digits 120 --no-baselines)

set(additive --attention additive)
set(scaled_dot --attention scaled_dot)
set(none --attention none)
set(between --attention scaled_dot --self-attention)
set(patches --features patches --self-attention --heads 2)
foreach(kind additive scaled_dot none between patches)
  expect(0 ARGS ${tiny} ${${kind}} --epochs 2 --save ${kind}.model --metrics trained.json)
  expect(0 ARGS --digits 120 --digit-size 8 --pieces 2 --load ${kind}.model --metrics loaded.json)
  file(READ ${WORK}/trained.json trained)
  file(READ ${WORK}/loaded.json loaded)
  foreach(field name accuracy pointing_accuracy parameters)
    string(JSON before GET "${trained}" models 0 ${field})
    string(JSON after GET "${loaded}" models 0 ${field})
    if(NOT before STREQUAL after)
      message(SEND_ERROR "${kind}: ${field} was ${before}, and is ${after} when loaded")
    endif()
  endforeach()
endforeach()

# The models to compare with are trained beside a loaded one where they are asked for.
expect(0 ARGS --digits 120 --digit-size 8 --load additive.model --baselines --epochs 1
  SAYS "mean pooling" "MLP on pixels")
if(OUTPUT MATCHES "additive attention, epoch")
  message(SEND_ERROR "a loaded model was trained: ${OUTPUT}")
endif()

# A grey PNG of 8 x 8 pixels, a 1.
set(one "")
string(APPEND one "\\211PNG\\015\\012\\032\\012\\000\\000\\000\\015IHDR\\000\\000\\000\\010\\000")
string(APPEND one "\\000\\000\\010\\010\\000\\000\\000\\000\\341d\\341W\\000\\000\\000\\027IDATx")
string(APPEND one "\\332c\\140\\100\\002\\377\\053\\040\\364\\011\\030\\203\\201\\030\\006\\030")
string(APPEND one "\\000\\000f\\054\\011\\223\\3034\\041\\213\\000\\000\\000\\000IEND\\256B\\140")
string(APPEND one "\\202")
write_bytes(one.png "${one}")
expect(0 ARGS --load additive.model --classify one.png
  SAYS "one.png" "  class " " % 9" "looked most at rows")
if(OUTPUT MATCHES "Test set" OR NOT EXISTS ${WORK}/attention_classified.png)
  message(SEND_ERROR "an image alone is to be classified, and there is to be a picture: ${OUTPUT}")
endif()
# The pictures of an earlier run are canvases larger than one.
expect(2 ARGS --load additive.model --classify attention_right.png
  SAYS "attention_right.png: the image is " ", and the model reads canvases of 16 x 16.")

foreach(option "--channels;8" "--canvas;24" "--features;patches" "--self-attention")
  list(GET option 0 name)
  expect(2 ARGS --load additive.model ${option} SAYS "${name} means a new model, not --load's.")
endforeach()
expect(2 ARGS --load additive.model --digits 120 --digit-size 28
  SAYS "a canvas of 16 x 16 pixels cannot hold an image of 28 x 28 pixels.")
