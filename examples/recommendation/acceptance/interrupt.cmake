# SPDX-License-Identifier: Apache-2.0
# Ctrl-C: the batch is finished, what is there is reported, the exit code is 130.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)

expect_interruptible(SECONDS 1 FLAG interrupted SAYS "(interrupted)" "co-occurrence"
  ARGS --users 300 --layers 1 --embed-dim 16 --epochs 1000000 --patience 0
)
