// SPDX-License-Identifier: Apache-2.0
// The definition against numbers worked out by hand from the papers' formulas.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <cmath>
#include <limits>

#include "support/compare.hpp"

namespace {

using attn::Index;
using attn::Position;
using Eigen::MatrixXd;
namespace reference = attn::reference;

const double e = std::exp(1.0);
const double infinity = std::numeric_limits<double>::infinity();

/// Two queries, two keys: S = ((1, 0), (0, 1)) for DotProduct.
const MatrixXd unit = MatrixXd::Identity(2, 2);
const MatrixXd V{{1.0, 2.0}, {3.0, 6.0}};

TEST(Reference, WeighsValuesBySoftmaxOfProducts) {
  const auto result = reference::attend(unit, unit, V, attn::DotProduct{});
  const MatrixXd P = MatrixXd{{e, 1.0}, {1.0, e}} / (1 + e);
  EXPECT_TRUE(support::near(result.weights, P, 1e-15));
  const MatrixXd O = MatrixXd{{e + 3, 2 * e + 6}, {1 + 3 * e, 2 + 6 * e}} / (1 + e);
  EXPECT_TRUE(support::near(result.output, O, 1e-15));
  EXPECT_TRUE(support::near(result.log_sum_exp, MatrixXd::Constant(2, 1, std::log(1 + e)), 1e-15));
}

TEST(Reference, ScalesByTheRootOfTheFeatureSizeByDefault) {
  const auto result = reference::attend(unit, unit, V);
  const double s = std::exp(1 / std::sqrt(2.0));
  EXPECT_TRUE(support::near(result.weights.row(0), MatrixXd{{s, 1.0}} / (1 + s), 1e-15));
}

TEST(Reference, HidesWhatAMaskDoesNotPermit) {
  const auto result = reference::attend(unit, unit, V, attn::DotProduct{}, attn::Causal{});
  EXPECT_TRUE(support::near(result.output.row(0), V.row(0), 0));
  EXPECT_EQ(result.weights(0, 1), 0.0);
  EXPECT_EQ(result.log_sum_exp(0), 1.0);
}

TEST(Reference, GivesZeroToAQueryThatSeesNothing) {
  const auto result = reference::attend(unit, unit, V, attn::Causal{.offset = -1});
  EXPECT_TRUE(support::near(result.output.row(0), MatrixXd::Zero(1, 2), 0));
  EXPECT_TRUE(support::near(result.weights.row(0), MatrixXd::Zero(1, 2), 0));
  EXPECT_EQ(result.log_sum_exp(0), -infinity);
  EXPECT_TRUE(support::near(result.output.row(1), V.row(0), 0));
}

TEST(Reference, AppliesModifiersInTheirOrder) {
  const auto twice = attn::score_mod([](auto s, Position) { return 2.0 * s; });
  const auto first_key =
      attn::score_mod([](auto s, Position at) { return s + (at.key == 0 ? 1.0 : 0.0); });
  const auto a = reference::attend(unit, unit, V, attn::DotProduct{}, twice, first_key);
  const auto b = reference::attend(unit, unit, V, attn::DotProduct{}, first_key, twice);
  EXPECT_NEAR(a.log_sum_exp(1), std::log(std::exp(1.0) + std::exp(2.0)), 1e-15);
  EXPECT_NEAR(b.log_sum_exp(1), std::log(std::exp(2.0) + std::exp(2.0)), 1e-15);
}

TEST(Reference, AddsTheSinkToTheSumAlone) {
  const auto result =
      reference::attend(unit, unit, V, attn::DotProduct{}, attn::SoftmaxWithSink{0});
  EXPECT_TRUE(support::near(result.weights.row(0), MatrixXd{{e, 1.0}} / (2 + e), 1e-15));
  EXPECT_NEAR(result.log_sum_exp(0), std::log(1 + e), 1e-15);
}

TEST(Reference, TakesSparseNormalisersFromTheirPapers) {
  const auto sparse =
      reference::attend(unit, unit, V, attn::ScaledDotProduct{.scale = 0.5}, attn::Sparsemax{});
  EXPECT_TRUE(support::near(sparse.weights.row(0), MatrixXd{{0.75, 0.25}}, 1e-15));
  const auto entmax =
      reference::attend(unit, unit, V, attn::ScaledDotProduct{.scale = 0.5}, attn::Entmax15{});
  // x = (1/4, 0): (1/4 - t)^2 + t^2 = 1 gives t = (1/4 - sqrt(31)/4) / 2.
  const double t = (0.25 - std::sqrt(31.0) / 4) / 2;
  EXPECT_NEAR(entmax.weights(0, 0), (0.25 - t) * (0.25 - t), 1e-15);
  EXPECT_NEAR(entmax.weights(0, 1), t * t, 1e-15);
}

TEST(Reference, ModifiesWeightsAfterNormalising) {
  const auto square = attn::prob_mod([](auto p, Position) { return p * p; });
  const auto result = reference::attend(unit, unit, V, attn::DotProduct{}, square);
  EXPECT_NEAR(result.weights(0, 0), e * e / ((1 + e) * (1 + e)), 1e-15);
}

TEST(Reference, LaysHeadsSideBySideAndStacksTheirWeights) {
  // Two query heads on one key-value head of width 1.
  const MatrixXd Q{{0.0, 1.0}};
  const MatrixXd K{{0.0}, {1.0}};
  const MatrixXd values{{2.0}, {4.0}};
  const auto result = reference::attend(Q, K, values, attn::Heads{.query = 2, .key_value = 1});
  EXPECT_NEAR(result.output(0, 0), 3.0, 1e-15);
  EXPECT_NEAR(result.output(0, 1), (2 + 4 * e) / (1 + e), 1e-15);
  EXPECT_EQ(result.weights.rows(), 2);
  EXPECT_NEAR(result.weights(1, 1), e / (1 + e), 1e-15);
  EXPECT_NEAR(result.log_sum_exp(0, 1), std::log(1 + e), 1e-15);
}

TEST(Reference, TellsModifiersTheHead) {
  const MatrixXd Q = MatrixXd::Zero(1, 2), K = MatrixXd::Zero(2, 2);
  const auto by_head =
      attn::score_mod([](auto s, Position at) { return s + double(at.head * at.key); });
  const auto result = reference::attend(Q, K, K, attn::Heads{2}, by_head);
  EXPECT_NEAR(result.log_sum_exp(0, 0), std::log(2.0), 1e-15);
  EXPECT_NEAR(result.log_sum_exp(0, 1), std::log(1 + e), 1e-15);
}

TEST(Reference, ShiftsPositions) {
  const auto result =
      reference::attend(unit, unit, V, attn::Causal{}, attn::PositionOffset{.query = 1, .key = 1});
  EXPECT_EQ(result.weights(0, 1), 0.0);
  const auto later =
      reference::attend(unit, unit, V, attn::Causal{}, attn::PositionOffset{.query = 1, .key = 0});
  EXPECT_GT(later.weights(0, 1), 0.0);
}

TEST(Reference, CountsThePaddingInTheBottomRight) {
  // Two of three keys count, so the last of two queries stands at key 1.
  const MatrixXd K = MatrixXd::Zero(3, 2);
  for (const auto& result :
       {reference::attend(unit, K, K, attn::Causal::bottom_right(), attn::KeyPadding{2}),
        reference::attend(unit, K, K, attn::Causal::bottom_right() & attn::KeyPadding{2})}) {
    const MatrixXd P{{1.0, 0.0, 0.0}, {0.5, 0.5, 0.0}};
    EXPECT_TRUE(support::near(result.weights, P, 1e-15));
  }
}

TEST(Reference, WorksInLongDouble) {
  const auto result = reference::attend<long double>(unit, unit, V, attn::DotProduct{});
  EXPECT_NEAR(double(result.weights(0, 0) - std::exp(1.0L) / (1 + std::exp(1.0L))), 0.0, 1e-19);
}

}  // namespace
