# SPDX-License-Identifier: Apache-2.0
# Ctrl-C: the batch is finished, what is there is reported, the exit code is 130.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)

expect_interruptible(SECONDS 1.5 FLAG interrupted
  SAYS "gated attention" "shorter training" "attention.html"
  ARGS --epochs 1000000 --bags 20 --test-bags 20
)
