# SPDX-License-Identifier: Apache-2.0
# The three pages in a browser: all cells are there, and a tooltip shows the weight.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/../../support/browser.cmake)

expect(0 SAYS tokens.html alignment.html regions.html)
# 11 of 20 for the second of four tokens.
browse(FILE tokens.html CELLS 14 COUNT ".card.right" 1 ".card.wrong" 1 .odd.cell 1 .key.cell 3
  CELL ".card.right .key.cell"
  TOOLTIP "0.5500 | \"good\", index 1 of 4" "2.2 times an even share"
  NEXT "0.0500 | \"at\", index 2 of 4"
)
# 18 of 20 in the first head, 2 of 4 in the second; 80 x 80 without labels.
browse(FILE alignment.html CELLS 6418 COUNT "th[scope]" 12 .alignment 3
  CELL "figure:nth-child(2) .cell"
  TOOLTIP "0.5000 | written \"the\" (0) | read \"le\" (0) | 1.5 times an even share"
  NEXT "0.2500 | written \"the\" (0) | read \"chat\" (1)"
)
browse(FILE regions.html CELLS 39 COUNT .picture 4 .box.truth 4 .box.strongest 2
  CELL ".card:first-child .cell"
  TOOLTIP "0.6000 | region, index 1 of 4: rows 0 to 11, columns 16 to 31 | 2.4 times an even share"
  NEXT "0.1000 | region, index 2 of 4"
)
