# SPDX-License-Identifier: Apache-2.0
# What the compiler is told of the language and of INCLUDES, the folders joined by '|'.
string(REPLACE "|" ";" INCLUDES "${INCLUDES}")
set(flags ${INCLUDES})
list(TRANSFORM flags PREPEND "-I")
list(PREPEND flags -std=c++20)
