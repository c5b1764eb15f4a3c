# SPDX-License-Identifier: Apache-2.0
# The page in a browser: a box for every image of the shown bags, and a tooltip shows the weight.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/../../support/browser.cmake)

# Bags of five images, without exception: 13 cards of five cells.
expect(0 ARGS --bags 60 --repeats 1 --test-bags 13 --epochs 12 --mean-size 5 --size-deviation 0
  --hidden 24 --features 16 --quiet SAYS "attention.html"
)
file(READ ${WORK}/attention.html html)
string(REGEX MATCHALL "<article" cards "${html}")
list(LENGTH cards count)
math(EXPR cells "5 * ${count}")
if(count LESS 8)
  message(SEND_ERROR "only ${count} bags are shown")
endif()
browse(FILE attention.html CELLS ${cells} COUNT .card ${count}
  TOOLTIP "region, index" " of 5: rows" "times an even share"
)
