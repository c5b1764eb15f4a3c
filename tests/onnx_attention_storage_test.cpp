// SPDX-License-Identifier: Apache-2.0
// attn::onnx::attention on 16-bit numbers: arithmetic in float, results rounded once.
#include <gtest/gtest.h>

#include <cstring>

#include "support/onnx_attention.hpp"

namespace {

using support::Array4;
using support::Index;
using support::make_node;
using support::OnnxCall;
using support::OnnxNode;

template <class T>
class OnnxStorage : public testing::Test {};
using Narrow = testing::Types<Eigen::half, Eigen::bfloat16>;
TYPED_TEST_SUITE(OnnxStorage, Narrow);

/// Half a unit in the last place, and what float leaves.
template <class T>
constexpr double bound = std::is_same_v<T, Eigen::half> ? 0x1p-11 + 4e-6 : 0x1p-8 + 4e-6;

TYPED_TEST(OnnxStorage, RoundsOnce) {
  OnnxNode node = make_node({.Sq = 6, .Sk = 9, .P = 8});
  node.causal = true;
  node.left = 7;
  node.softcap = 2.f;
  node.mask = support::random4({2, 1, 6, 17}, 8);
  node.mask(0, 0, 2, 3) = support::neg;
  support::expect_defined<TypeParam>(node, bound<TypeParam>);
  node = make_node({.Hq = 2, .Hk = 1, .Sq = 1, .Sk = 60, .D = 32});
  node.lengths = {33, 60};
  node.rank = 3;
  support::expect_defined<TypeParam>(node, bound<TypeParam>);
}

TYPED_TEST(OnnxStorage, GivesZerosToRowsThatSeeNothing) {
  OnnxNode node = make_node({.Sq = 4, .Sk = 4});
  node.lengths = {2, 4};
  node.causal = true;
  support::expect_defined<TypeParam>(node, bound<TypeParam>);
}

TYPED_TEST(OnnxStorage, CopiesPresentsBitForBit) {
  const OnnxNode node = make_node({.Sk = 3, .P = 4});
  OnnxCall<TypeParam> call(node);
  const auto bits = [](auto x) {
    std::uint16_t b;
    std::memcpy(&b, &x, sizeof b);
    return b;
  };
  const auto nan = Eigen::numext::bit_cast<TypeParam>(std::uint16_t(0xffd5));
  call.K.numbers[0] = nan;  // with a payload
  call.past_value.numbers[1] = static_cast<TypeParam>(-0.f);
  call.ask_presents(node);
  call.run();
  const Index tokens = 7, d = 6, d_v = 3;
  for (Index h = 0; h < 4; ++h)
    for (Index t = 0; t < tokens; ++t) {
      const auto key = [&](Index f) {
        return t < 4 ? call.past_key.numbers[std::size_t((h * 4 + t) * d + f)]
                     : call.K.numbers[std::size_t((h * 3 + t - 4) * d + f)];
      };
      const auto value = [&](Index f) {
        return t < 4 ? call.past_value.numbers[std::size_t((h * 4 + t) * d_v + f)]
                     : call.V.numbers[std::size_t((h * 3 + t - 4) * d_v + f)];
      };
      const std::size_t row = std::size_t(h * tokens + t);
      for (Index f = 0; f < d; ++f)
        EXPECT_EQ(bits(call.present_key.numbers[row * 6 + std::size_t(f)]), bits(key(f)));
      for (Index f = 0; f < d_v; ++f)
        EXPECT_EQ(bits(call.present_value.numbers[row * 3 + std::size_t(f)]), bits(value(f)));
    }
}

}  // namespace
