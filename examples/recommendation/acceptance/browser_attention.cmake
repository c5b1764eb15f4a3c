# SPDX-License-Identifier: Apache-2.0
# The page in a browser: a cell an item that the model looks at, and what the pointer brings up.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/../../support/browser.cmake)

# 24 of 24 users with 7 ratings, the last of which came next: 6 cells each.
set(ratings "")
foreach(user RANGE 1 24)
  foreach(step RANGE 1 7)
    math(EXPR item "(${user} + ${step}) % 12")
    string(APPEND ratings "${user}::<film ${item}>::8::${step}\n")
  endforeach()
endforeach()
file(WRITE ${WORK}/ratings.dat "${ratings}")
expect(0 ARGS --ratings ratings.dat --layers 1 --embed-dim 16 --epochs 5 --quiet)
browse(FILE attention.html CELLS 144 COUNT .card 24 TOOLTIP "times an even share" "<film ")
