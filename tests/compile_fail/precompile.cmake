# SPDX-License-Identifier: Apache-2.0
# Makes the header PRECOMPILED, which includes the library, and its precompiled form beside it, where
# both compilers look for it.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/flags.cmake)
file(WRITE ${PRECOMPILED} "#include <attn/attn.hpp>\n")
execute_process(
  COMMAND ${COMPILER} ${flags} -x c++-header ${PRECOMPILED} -o ${PRECOMPILED}.gch
  RESULT_VARIABLE failed
)
if(failed)
  message(FATAL_ERROR "<attn/attn.hpp> does not compile")
endif()
