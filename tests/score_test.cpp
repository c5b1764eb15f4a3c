// SPDX-License-Identifier: Apache-2.0
// The scalar rules of the score functions, with numbers worked out by hand.
#include <gtest/gtest.h>

#include <attn/score.hpp>
#include <cmath>

namespace {

using Eigen::MatrixXd;
using Eigen::RowVectorXd;
using Eigen::VectorXd;

const RowVectorXd q{{1.0, 2.0, 2.0}};
const RowVectorXd k{{3.0, 0.0, 4.0}};

TEST(DotProduct, IsTheSumOfProducts) { EXPECT_DOUBLE_EQ(attn::DotProduct{}(q, k), 11.0); }

TEST(ScaledDotProduct, DividesByTheRootOfTheFeatureSize) {
  EXPECT_DOUBLE_EQ(attn::ScaledDotProduct{}(q, k), 11.0 / std::sqrt(3.0));
}

TEST(ScaledDotProduct, TakesAScaleInPlaceOfTheDefault) {
  EXPECT_DOUBLE_EQ(attn::ScaledDotProduct{.scale = 0.5}(q, k), 5.5);
  EXPECT_DOUBLE_EQ(attn::ScaledDotProduct{.scale = 0.0}(q, k), 0.0);
}

TEST(ScaledDotProduct, HasAScaleOfOneWithoutFeatures) {
  EXPECT_EQ(attn::ScaledDotProduct{}.scale_for(0), 1.0);
}

TEST(CosineSimilarity, DividesByBothNorms) {
  EXPECT_DOUBLE_EQ(attn::CosineSimilarity{}(q, k), 11.0 / 15.0);
  EXPECT_DOUBLE_EQ(attn::CosineSimilarity{.scale = 3}(q, k), 2.2);
}

TEST(CosineSimilarity, IsZeroWhereANormIsZero) {
  EXPECT_EQ(attn::CosineSimilarity{}(q, RowVectorXd::Zero(3).eval()), 0.0);
  EXPECT_EQ(attn::CosineSimilarity{}(RowVectorXd::Zero(3).eval(), k), 0.0);
}

TEST(Bilinear, PutsAMatrixBetweenQueryAndKey) {
  MatrixXd W(3, 2);
  W << 1, 0, 0, 1, 2, -1;
  const RowVectorXd narrow{{3.0, 5.0}};
  // q W = (1 + 4, 2 - 2) = (5, 0)
  EXPECT_DOUBLE_EQ(attn::Bilinear{W}(q, narrow), 15.0);
}

TEST(Additive, IsTheNetworkOfBahdanau) {
  const MatrixXd Wq = MatrixXd::Constant(3, 2, 0.1);
  const MatrixXd Wk = MatrixXd::Constant(1, 2, 0.2);
  const VectorXd v{{2.0, -1.0}};
  const RowVectorXd one{{1.5}};
  // Wq^T q = 0.5 and Wk^T k = 0.3, in both places
  EXPECT_DOUBLE_EQ((attn::Additive{Wq, Wk, v}(q, one)), std::tanh(0.8));
  const VectorXd b{{0.2, -0.8}};
  EXPECT_DOUBLE_EQ((attn::Additive{Wq, Wk, v, b}(q, one)), 2 * std::tanh(1.0) - std::tanh(0.0));
}

TEST(ScoreFunction, CallsTheUsersFunction) {
  const auto part =
      attn::score_function([](const auto& a, const auto& b) { return -(a - b).squaredNorm(); });
  EXPECT_DOUBLE_EQ(part(q, k), -(4.0 + 4.0 + 4.0));
}

}  // namespace
