# SPDX-License-Identifier: Apache-2.0
# The page in a browser: a cell for every region, its weight at the pointer, and the filter.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/../../support/browser.cmake)

# 15 test canvases of 64 regions.
expect(0 ARGS ${small} --digits 90 --epochs 1 --no-baselines)
browse(FILE attention.html CELLS 960 COUNT article 15 TOOLTIP "times an even share")
