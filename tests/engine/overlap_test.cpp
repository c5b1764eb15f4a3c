// SPDX-License-Identifier: Apache-2.0
// Whether strided views share memory, exactly.
#include <gtest/gtest.h>

#include <attn/engine/overlap.hpp>
#include <vector>

namespace {

using attn::Index;
using attn::engine::overlap;
using Eigen::MatrixXd;
using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

TEST(Overlap, IsSeenInBlocksThatShareACorner) {
  MatrixXd m(6, 6);
  EXPECT_TRUE(overlap(attn::view(m.block(0, 0, 3, 3)), attn::view(m.block(2, 2, 3, 3))));
  EXPECT_TRUE(overlap(attn::view(m), attn::view(m)));
  EXPECT_FALSE(overlap(attn::view(m.block(0, 0, 3, 3)), attn::view(m.block(3, 0, 3, 3))));
  EXPECT_FALSE(overlap(attn::view(m.block(0, 0, 3, 3)), attn::view(m.block(0, 3, 3, 3))));
}

TEST(Overlap, IsNotSeenInColumnBlocksThatInterleave) {
  RowMajor m(6, 9);
  EXPECT_FALSE(overlap(attn::view(m.leftCols(3)), attn::view(m.middleCols(3, 3))));
  EXPECT_FALSE(overlap(attn::view(m.rightCols(6), attn::Heads{2}), attn::view(m.leftCols(3))));
  EXPECT_TRUE(overlap(attn::view(m.leftCols(4)), attn::view(m.middleCols(3, 3))));
}

TEST(Overlap, IsNotSeenInEveryOtherNumber) {
  std::vector<double> numbers(40);
  const attn::TensorView<double> even(numbers.data(), {1, 1, 4, 5}, {0, 0, 10, 2});
  const attn::TensorView<double> odd(numbers.data() + 1, {1, 1, 4, 5}, {0, 0, 10, 2});
  EXPECT_FALSE(overlap(even, odd));
  EXPECT_TRUE(overlap(even, attn::bhtd(numbers.data() + 3, 1, 1, 1, 2)));
  EXPECT_FALSE(overlap(even, attn::bhtd(numbers.data() + 3, 1, 1, 1, 1)));
}

TEST(Overlap, FollowsNegativeStrides) {
  std::vector<double> numbers(20);
  const attn::TensorView<double> backwards(numbers.data() + 9, {1, 1, 10, 1}, {0, 0, -1, 1});
  EXPECT_TRUE(overlap(backwards, attn::bhtd(numbers.data(), 1, 1, 1, 1)));
  EXPECT_FALSE(overlap(backwards, attn::bhtd(numbers.data() + 10, 1, 1, 10, 1)));
}

TEST(Overlap, OfNothingIsNothing) {
  MatrixXd m(4, 4);
  EXPECT_FALSE(overlap(attn::view(m), attn::view(m.leftCols(0))));
}

}  // namespace
