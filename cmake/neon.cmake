# SPDX-License-Identifier: Apache-2.0
# Toolchain file: Debian's cross-compiler for 64-bit ARM, whose programs run here under qemu. For
# the preset "neon" and for test.cmake.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)

# Headers alone serve every processor, but the C library's own must come before this machine's.
set(CMAKE_CXX_FLAGS_INIT "-idirafter /usr/include")

# This machine's GoogleTest is compiled for another processor, so it is built from its sources.
if(EXISTS /usr/src/googletest/CMakeLists.txt)
  set(FETCHCONTENT_SOURCE_DIR_GTEST /usr/src/googletest CACHE PATH "Sources of GoogleTest")
endif()
