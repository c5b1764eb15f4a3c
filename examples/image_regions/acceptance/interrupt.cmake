# SPDX-License-Identifier: Apache-2.0
# Ctrl-C: the batch is finished, what is there is reported, the exit code is 130.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)

expect_interruptible(SECONDS 1 FLAG models 0 interrupted
  SAYS "additive attention (interrupted)" "shorter training" "attention.html"
  ARGS --digits 120 --digit-size 8 --epochs 100000
)
file(READ ${WORK}/metrics.json metrics)
string(JSON models LENGTH "${metrics}" models)
if(NOT models EQUAL 1 OR NOT EXISTS ${WORK}/attention.html)
  message(SEND_ERROR "a model that was not trained is reported, or there is no page: ${metrics}")
endif()
