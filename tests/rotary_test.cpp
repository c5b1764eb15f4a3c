// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding: by hand, against its laws, and its errors.
#include <attn/rotary.hpp>
#include <cmath>

#include "gtest/gtest.h"
#include "support/random.hpp"

namespace {

using attn::RotaryEmbedding;
using attn::RotaryPairing;
using attn::RotaryScaling;
using Eigen::MatrixXd;

TEST(RotaryEmbedding, TurnsNeighboursByPositionTimesFrequency) {
  MatrixXd x(2, 4);
  x << 1, 0, 1, 0, 1, 0, 0, 2;
  const MatrixXd y = RotaryEmbedding<double>({.base = 100})(x);
  MatrixXd expected(2, 4);  // the second pair turns by 100^(-2/4) = 0.1 a position
  expected << 1, 0, 1, 0, std::cos(1.0), std::sin(1.0), -2 * std::sin(0.1), 2 * std::cos(0.1);
  EXPECT_TRUE((y - expected).norm() <= 1e-15) << y;
}

TEST(RotaryEmbedding, HalfSplitPairsAreInterleavedPairsInAnotherOrder) {
  const MatrixXd x = support::random<double>(5, 6, 1);
  MatrixXd shuffled(5, 6);
  const Eigen::Index order[] = {0, 3, 1,
                                4, 2, 5};  // half-split feature behind each interleaved one
  for (Eigen::Index f = 0; f < 6; ++f) shuffled.col(f) = x.col(order[f]);
  const MatrixXd halves = RotaryEmbedding<double>({.pairing = RotaryPairing::half_split})(x);
  const MatrixXd neighbours = RotaryEmbedding<double>()(shuffled);
  for (Eigen::Index f = 0; f < 6; ++f)
    EXPECT_TRUE((halves.col(order[f]) - neighbours.col(f)).norm() <= 1e-15);
}

TEST(RotaryEmbedding, ProductsDependOnDistanceAlone) {
  const MatrixXd q = support::random<double>(1, 8, 2), k = support::random<double>(1, 8, 3);
  const RotaryEmbedding<double> rope;
  const auto product = [&](int i, int j) {
    return (rope(q, {}, i) * rope(k, {}, j).transpose())(0);
  };
  EXPECT_NEAR(product(5, 2), product(105, 102), 1e-12);
  EXPECT_GT(std::abs(product(5, 2) - product(5, 3)), 1e-3);
}

TEST(RotaryEmbedding, OffsetIsThePositionOfTheFirstToken) {
  const MatrixXd x = support::random<double>(9, 4, 4);
  const RotaryEmbedding<double> rope;
  EXPECT_EQ(rope(x).bottomRows(3), rope(x.bottomRows(3), {}, 6));
}

TEST(RotaryEmbedding, LeavesFeaturesBeyondDimAlone) {
  const MatrixXd x = support::random<double>(4, 6, 5);
  const MatrixXd y = RotaryEmbedding<double>({.dim = 4})(x);
  EXPECT_EQ(y.rightCols(2), x.rightCols(2));
  EXPECT_EQ(y.leftCols(4), RotaryEmbedding<double>()(x.leftCols(4)));
}

TEST(RotaryEmbedding, TurnsEveryHeadAlike) {
  const MatrixXd x = support::random<double>(4, 6, 6);
  const RotaryEmbedding<double> rope;
  const MatrixXd y = rope(x, attn::Heads{3}, 2);
  for (Eigen::Index h = 0; h < 3; ++h)
    EXPECT_EQ(y.middleCols(2 * h, 2), rope(x.middleCols(2 * h, 2), {}, 2));
}

TEST(RotaryEmbedding, LinearScalingDividesPositions) {
  const MatrixXd x = support::random<double>(1, 4, 7);
  const RotaryEmbedding<double> scaled({.scaling = RotaryScaling::linear, .factor = 4});
  EXPECT_TRUE((scaled(x, {}, 20) - RotaryEmbedding<double>()(x, {}, 5)).norm() <= 1e-14);
}

TEST(RotaryEmbedding, NtkAwareScalingMultipliesTheBase) {
  const MatrixXd x = support::random<double>(3, 4, 8);
  const RotaryEmbedding<double> scaled({.scaling = RotaryScaling::ntk_aware, .factor = 3});
  const RotaryEmbedding<double> by_hand({.base = 10000.0 * 9.0});  // 3^(4 / 2)
  EXPECT_TRUE((scaled(x, {}, 7) - by_hand(x, {}, 7)).norm() <= 1e-14);
}

TEST(RotaryEmbedding, BackwardIsTheTransposedRotation) {
  const MatrixXd x = support::random<double>(3, 4, 9), d = support::random<double>(3, 4, 10);
  const RotaryEmbedding<double> rope({.pairing = RotaryPairing::half_split});
  EXPECT_NEAR(rope(x, {}, 5).cwiseProduct(d).sum(), x.cwiseProduct(rope.backward(d, {}, 5)).sum(),
              1e-13);
}

TEST(RotaryEmbedding, ViewsTurnInPlace) {
  MatrixXd x = support::random<double>(3, 4, 11);
  const MatrixXd before = x;
  const RotaryEmbedding<double> rope;
  rope.apply(attn::view(x), 3);
  EXPECT_EQ(x, rope(before, {}, 3));
  rope.apply_backward(attn::view(x), 3);
  EXPECT_TRUE((x - before).norm() <= 1e-14);
}

TEST(RotaryEmbedding, RefusesOddOrTooManyFeatures) {
  EXPECT_THROW(RotaryEmbedding<double>({.dim = 3}), attn::ValueError);
  EXPECT_THROW(RotaryEmbedding<double>({.base = 0}), attn::ValueError);
  EXPECT_THROW(RotaryEmbedding<double>({.dim = 6})(MatrixXd::Zero(2, 4)), attn::ValueError);
  EXPECT_THROW(RotaryEmbedding<double>()(MatrixXd::Zero(2, 5)), attn::ValueError);
}

}  // namespace
