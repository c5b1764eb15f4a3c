# SPDX-License-Identifier: Apache-2.0
# Ctrl-C: the batch is finished, what is there is reported, the exit code is 130.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)

expect_interruptible(SECONDS 2 FLAG models 0 interrupted
  SAYS "(interrupted)" "Test set" "shorter training" "attention.html"
  ARGS --epochs 100000 --patience 100000
)
