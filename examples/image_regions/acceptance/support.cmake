# SPDX-License-Identifier: Apache-2.0
# What the acceptance tests share.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)

# Drawn digits of 8 x 8 pixels on canvases of 16 x 16, which have 64 regions: no long training.
set(small --digit-size 8 --canvas 16 --pieces 2)

# write_bytes(<file> <octal escapes>): CMake itself cannot write every byte; printf can.
function(write_bytes file bytes)
  execute_process(COMMAND printf "${bytes}" OUTPUT_FILE ${WORK}/${file})
endfunction()
