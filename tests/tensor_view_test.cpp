// SPDX-License-Identifier: Apache-2.0
// Views of four dimensions over plain arrays and matrices.
#include <gtest/gtest.h>

#include <attn/tensor_view.hpp>
#include <numeric>
#include <type_traits>
#include <vector>

namespace {

using attn::Index;
using Eigen::MatrixXd;

std::vector<double> counted(std::size_t size) {
  std::vector<double> numbers(size);
  std::iota(numbers.begin(), numbers.end(), 0.0);
  return numbers;
}

TEST(TensorView, OfBhtdHasFeaturesInnermostAndHeadsOutsideTokens) {
  std::vector<double> numbers = counted(2 * 3 * 4 * 5);
  const attn::TensorView<double> v = attn::bhtd(numbers.data(), 2, 3, 4, 5);
  EXPECT_EQ(v(1, 2, 3, 4), 119.0);
  EXPECT_EQ(v(1, 0, 0, 0), 60.0);
  EXPECT_EQ(v(0, 1, 0, 0), 20.0);
  EXPECT_EQ(v(0, 0, 1, 0), 5.0);
  EXPECT_EQ(v.batches() * v.heads() * v.tokens() * v.features(), v.size());
}

TEST(TensorView, OfBthdHasTokensOutsideHeads) {
  std::vector<double> numbers = counted(2 * 3 * 4 * 5);
  const attn::TensorView<double> v = attn::bthd(numbers.data(), 2, 3, 4, 5);
  EXPECT_EQ(v.tokens(), 3);
  EXPECT_EQ(v.heads(), 4);
  EXPECT_EQ(v(0, 1, 0, 0), 5.0);
  EXPECT_EQ(v(0, 0, 1, 0), 20.0);
  EXPECT_EQ(v(1, 3, 2, 4), 119.0);
}

TEST(TensorView, OfAMatrixHasTokensByRows) {
  MatrixXd m = MatrixXd::Zero(3, 6);
  m(2, 5) = 7;
  m(1, 4) = 3;
  const auto v = attn::view(m);
  EXPECT_EQ(v(0, 0, 2, 5), 7.0);
  const auto heads = attn::view(m, attn::Heads{3});
  EXPECT_EQ(heads.heads(), 3);
  EXPECT_EQ(heads.features(), 2);
  EXPECT_EQ(heads(0, 2, 1, 0), 3.0);
}

TEST(TensorView, OfABlockAndOfARowMajorMatrixFollowsTheirStrides) {
  Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> m(4, 6);
  std::iota(m.data(), m.data() + 24, 0.0);
  const auto whole = attn::view(m, attn::Heads{2});
  EXPECT_EQ(whole(0, 1, 3, 2), m(3, 5));
  const auto block = attn::view(m.block(1, 2, 2, 3));
  EXPECT_EQ(block(0, 0, 1, 2), m(2, 4));
}

TEST(TensorView, KeepsConst) {
  const MatrixXd m = MatrixXd::Ones(2, 2);
  static_assert(std::is_same_v<decltype(attn::view(m)), attn::TensorView<const double>>);
  MatrixXd writable = m;
  static_assert(std::is_same_v<decltype(attn::view(writable)), attn::TensorView<double>>);
  static_assert(std::is_convertible_v<attn::TensorView<double>, attn::TensorView<const double>>);
  static_assert(!std::is_convertible_v<attn::TensorView<const double>, attn::TensorView<double>>);
  attn::view(writable)(0, 0, 1, 0) = 5;
  EXPECT_EQ(writable(1, 0), 5.0);
}

TEST(Heads, HaveAsManyKeyValueHeadsUnlessTold) {
  EXPECT_EQ(attn::Heads{8}.key_value_heads(), 8);
  EXPECT_EQ((attn::Heads{.query = 8, .key_value = 2}.key_value_heads()), 2);
}

}  // namespace
