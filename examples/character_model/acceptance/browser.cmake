# SPDX-License-Identifier: Apache-2.0
# The page with the losses in a browser.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/../../support/browser.cmake)

expect(0 ARGS --layers 1 --embed-dim 16 --hidden 24 --context 48 --steps 110 --tokens 1 --quiet
  SAYS loss.html)
browse(FILE loss.html CELLS 0 COUNT svg 1 polyline.curve 4)
