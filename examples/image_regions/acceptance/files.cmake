# SPDX-License-Identifier: Apache-2.0
# The same images from IDX files, plain and packed, and from CSV give the same answers.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)
find_program(GZIP gzip REQUIRED)

# 60 images of 4 x 4 pixels: the class says which corner has ink.
set(image_0 255 255 0 0 255 255 0 0 0 0 0 0 0 0 0 0)
set(image_1 0 0 0 0 0 0 0 0 0 0 255 255 0 0 255 255)
set(csv "")
set(pixels "")
set(classes "")
foreach(i RANGE 1 30)
  foreach(class 0 1)
    string(JOIN "," row ${image_${class}} ${class})
    string(APPEND csv "${row}\n")
    string(JOIN "" bytes ${image_${class}})
    string(REPLACE "255" "\\377" bytes "${bytes}")
    string(REGEX REPLACE "0" "\\\\000" bytes "${bytes}")
    string(APPEND pixels "${bytes}")
    string(APPEND classes "\\00${class}")
  endforeach()
endforeach()
file(WRITE ${WORK}/digits.csv "${csv}")
set(head "\\000\\000\\010\\003\\000\\000\\000\\074\\000\\000\\000\\004\\000\\000\\000\\004")
write_bytes(images "${head}${pixels}")
write_bytes(labels "\\000\\000\\010\\001\\000\\000\\000\\074${classes}")
foreach(name images labels)
  execute_process(COMMAND ${GZIP} -k ${WORK}/${name} COMMAND_ERROR_IS_FATAL ANY)
endforeach()

set(small --epochs 3 --no-baselines --quiet)
expect(0 ARGS --csv digits.csv ${small} --metrics csv.json
  SAYS "45 images to train on, 5 to validate, 10 to test; canvases of 12 x 12 pixels with 4 pieces"
    "6 x 6 regions"
)
expect(0 ARGS --images images --labels labels ${small} --metrics plain.json)
expect(0 ARGS --images images.gz --labels labels.gz --test-images images --test-labels labels.gz
  ${small} --metrics packed.json SAYS "54 images to train on, 6 to validate, 60 to test")
file(READ ${WORK}/csv.json csv)
file(READ ${WORK}/plain.json plain)
foreach(field accuracy pointing_accuracy attention_in_box)
  string(JSON from_csv GET "${csv}" models 0 ${field})
  string(JSON from_idx GET "${plain}" models 0 ${field})
  if(NOT from_csv STREQUAL from_idx)
    message(SEND_ERROR "${field} is ${from_csv} from CSV and ${from_idx} from IDX")
  endif()
endforeach()
