# SPDX-License-Identifier: Apache-2.0
# The page and the chart in a browser: alignments with all their cells, a tooltip with the weight.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/../../support/browser.cmake)

expect(0 ARGS --dates 1 --lines 240 --epochs 2 --embed-dim 8 --hidden 16 --no-baseline --quiet)
file(READ ${WORK}/attention.html page)
string(REGEX MATCHALL "data-weight=" cells "${page}")
list(LENGTH cells count)
browse(FILE attention.html CELLS ${count} TOOLTIP "written \"" "read \"" "times an even share")
