# SPDX-License-Identifier: Apache-2.0
# What the acceptance tests share.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)

# A small set that can be learnt: the class is told by one word.
function(write_texts path)
  set(content "")
  foreach(i RANGE 1 30)
    string(APPEND content "pos\ta good film number ${i}\nneg\ta bad film number ${i}\n")
  endforeach()
  file(WRITE ${path} "${content}")
endfunction()
