# SPDX-License-Identifier: Apache-2.0
# The page in a browser: every word of every text can be pointed at.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/../../support/browser.cmake)
write_texts(${WORK}/texts.tsv)

expect(0 ARGS --train texts.tsv --test texts.tsv --no-baselines --epochs 2 --quiet)
# 60 texts of 5 words.
browse(FILE attention.html CELLS 300 COUNT .card 60
  CELL ".cell:nth-child(3)" TOOLTIP "\"film\", index 2 of 5 | " " times an even share"
)
