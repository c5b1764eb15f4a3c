// SPDX-License-Identifier: Apache-2.0
// The vector instructions that the build names are those that the packs are made of.
#include <gtest/gtest.h>

#include <attn/engine/packet.hpp>
#include <string>

namespace {

#define ATTN_TEST_TEXT(name) #name
#define ATTN_TEST_TEXT_OF(macro) ATTN_TEST_TEXT(macro)

const std::string instructions = ATTN_TEST_INSTRUCTIONS;

/// Numbers of type A in a pack under the instructions of this build.
template <class A>
std::size_t expected_width() {
  if (instructions == "scalar") return 1;
  if (instructions == "avx2") return 32 / sizeof(A);
#if defined(__AVX512F__)
  return 64 / sizeof(A);
#elif defined(__AVX__)
  return 32 / sizeof(A);
#else
  return 16 / sizeof(A);  // SSE2 and NEON, which every 64-bit processor has
#endif
}

TEST(Instructions, DecideTheWidthOfAPack) {
  EXPECT_EQ(attn::engine::Pack<float>::width, attn::Index(expected_width<float>()));
  EXPECT_EQ(attn::engine::Pack<double>::width, attn::Index(expected_width<double>()));
}

TEST(Instructions, StandInTheNameOfTheNamespace) {
  const std::string abi = ATTN_TEST_TEXT_OF(ATTN_ABI);
  if (instructions == "scalar" || instructions == "avx2")
    EXPECT_NE(abi.find("_" + instructions), std::string::npos) << abi;
  else
    EXPECT_EQ(abi.find("_scalar"), std::string::npos) << abi;
}

}  // namespace
