# SPDX-License-Identifier: Apache-2.0
# Images from a CSV file, with test images of their own and without.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)

# A faint dot, a dark dot and a dark square, in the middle of 4 x 4 pixels: a training moves images
# by a pixel.
set(rows "")
foreach(i RANGE 1 60)
  math(EXPR noise "${i} * 7 % 3")
  set(above "${noise},0,0,0,0")
  set(below "0,0,0,0,0,0")
  string(APPEND rows "${above},6,0,0,0,0,${below},0\n")
  string(APPEND rows "${above},16,0,0,0,0,${below},1\n")
  string(APPEND rows "${above},16,16,0,0,16,16,0,0,0,0,0,2\n")
endforeach()
file(WRITE ${WORK}/images.csv "${rows}")

set(fast --target 2 --mean-size 4 --bags 40 --repeats 1 --test-bags 80 --epochs 40 --quiet
  --hidden 16 --features 8 --attention-dim 4 --learning-rate 0.02)
foreach(attention gated additive)
  expect(0 ARGS --csv images.csv --attention ${attention} ${fast} --metrics ${attention}.json
    SAYS "150 images to fill bags with, 30 for test bags, 4 x 4 pixels" "${attention} attention")
  file(READ ${WORK}/${attention}.json metrics)
  string(JSON auc GET "${metrics}" models 0 auc)
  string(JSON hits GET "${metrics}" models 0 hit_rate)
  string(JSON chance GET "${metrics}" chance_of_hit)
  if(auc LESS 0.95 OR hits LESS 0.9 OR chance GREATER 0.8)
    message(SEND_ERROR "attention does not find the image that decides: ${metrics}")
  endif()
endforeach()
expect(0 ARGS --csv images.csv --test-csv images.csv ${fast} --html other.html
  SAYS "180 images to fill bags with, 180 for test bags" "Bags shaded by attention: other.html")
