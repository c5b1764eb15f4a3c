// SPDX-License-Identifier: Apache-2.0
// What parts copy and what they refer to.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <thread>
#include <vector>

#include "support/compare.hpp"
#include "support/problem.hpp"

namespace {

using attn::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::Problem;

TEST(Parameter, CopiesAMatrix) {
  MatrixXd B = MatrixXd::Zero(7, 9);
  const attn::DenseBias bias{B};
  B.setConstant(5);
  EXPECT_EQ(bias.B.matrix()(0, 0), 0.0);
}

TEST(Parameter, CopiesAnExpression) {
  const MatrixXd B = support::random(9, 7, 3);
  const attn::DenseBias bias{2 * B.transpose()};
  EXPECT_TRUE(support::near(bias.B.matrix(), 2 * B.transpose(), 0));
  const attn::Bilinear block{B.topRows(3)};
  EXPECT_TRUE(support::near(block.W.matrix(), B.topRows(3), 0));
}

TEST(Parameter, RefersToAMap) {
  std::vector<double> numbers(63, 0.0);
  const attn::DenseBias bias{Eigen::Map<const MatrixXd>(numbers.data(), 7, 9)};
  const Problem<> p({});
  const MatrixXd before = attn::attention(p.Q, p.K, p.V, bias);
  numbers[3 + 7 * 4] = 2.0;
  const MatrixXd after = attn::attention(p.Q, p.K, p.V, bias);
  EXPECT_EQ(bias.B.matrix()(3, 4), 2.0);
  EXPECT_TRUE(support::near(after.topRows(3), before.topRows(3), 0));
  EXPECT_FALSE(support::near(after.row(3), before.row(3), 1e-3));
}

TEST(Parameter, RefersToARefOfAnyStride) {
  MatrixXd wide = support::random(7, 30, 4);
  const Eigen::Ref<const MatrixXd, 0, Eigen::OuterStride<>> ref(wide.middleCols(3, 9));
  const attn::DenseBias bias{ref};
  wide(2, 8) = 17;
  EXPECT_EQ(bias.B.matrix()(2, 5), 17.0);
}

TEST(Parameter, RefersToARowMajorMap) {
  std::vector<double> numbers(6);
  for (std::size_t k = 0; k < 6; ++k) numbers[k] = double(k);
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const attn::Bilinear part{Eigen::Map<const RowMajor>(numbers.data(), 2, 3)};
  EXPECT_EQ(part.W.matrix()(1, 2), 5.0);
  EXPECT_EQ(part.W.matrix()(0, 2), 2.0);
}

TEST(Parameter, OfACopiedPartIsIndependent) {
  const attn::DenseBias bias{MatrixXd(MatrixXd::Ones(2, 2))};
  attn::DenseBias copy = bias;
  copy = attn::DenseBias{MatrixXd(MatrixXd::Zero(2, 2))};
  EXPECT_EQ(bias.B.matrix()(1, 1), 1.0);
  EXPECT_EQ(copy.B.matrix()(1, 1), 0.0);
}

TEST(Parameter, IsAVectorLyingOrStanding) {
  const attn::engine::Parameter<double> standing(VectorXd{{1.0, 2.0, 3.0}});
  const attn::engine::Parameter<double> lying(Eigen::RowVectorXd{{1.0, 2.0, 3.0}});
  EXPECT_EQ(standing(2), 3.0);
  EXPECT_EQ(lying(2), 3.0);
  EXPECT_EQ(lying.size(), 3);
}

TEST(HeadValues, ReferToAMap) {
  std::vector<double> slopes{0.5, 0.25};
  const attn::Alibi alibi{Eigen::Map<const VectorXd>(slopes.data(), 2)};
  slopes[1] = 0.125;
  EXPECT_EQ(alibi.slopes(1), 0.125);
  const attn::SoftmaxWithSink sink{Eigen::Map<const VectorXd>(slopes.data(), 2)};
  slopes[0] = 3;
  EXPECT_EQ(sink.logits(0), 3.0);
}

TEST(PartAggregates, AcceptTheNumbersThatPeopleHaveAtHand) {
  const int i = 3;
  const std::size_t s = 2;
  const float f = 0.5F;
  const attn::SlidingWindow window{i, s};
  EXPECT_EQ(Index(window.left), 3);
  EXPECT_EQ(Index(window.right), 2);
  EXPECT_EQ(double(attn::Softcap{50}.cap), 50.0);
  EXPECT_EQ(double(attn::Softcap{f}.cap), 0.5);
  EXPECT_EQ(double(attn::CosineSimilarity{.scale = f}.scale), 0.5);
  EXPECT_EQ(Index(attn::Causal{.offset = s}.offset), 2);
  EXPECT_EQ(Index(attn::Threads{std::thread::hardware_concurrency()}.n),
            Index(std::thread::hardware_concurrency()));
  EXPECT_EQ(attn::Heads{s}.key_value_heads(), 2);
}

}  // namespace
