// SPDX-License-Identifier: Apache-2.0
// Normalisers on rows of scores whose weights are known, through the engine and the definition.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <cmath>

#include "support/compare.hpp"
#include "support/problem.hpp"

namespace {

using attn::Index;
using Eigen::MatrixXd;
using Eigen::RowVectorXd;

/// P of one query whose scores are given: Q is 1 and K the scores.
template <class... Parts>
RowVectorXd weights(const RowVectorXd& scores, const Parts&... parts) {
  const MatrixXd one = MatrixXd::Ones(1, 1);
  const MatrixXd P = attn::attention_weights(one, scores.transpose(), attn::DotProduct{}, parts...);
  const MatrixXd by_definition =
      attn::reference::attend(one, MatrixXd(scores.transpose()), MatrixXd(scores.transpose()),
                              attn::DotProduct{}, parts...)
          .weights;
  EXPECT_TRUE(support::near(P, by_definition, 1e-15));
  return P;
}

TEST(Softmax, IsTheExponentialOverItsSum) {
  const double e = std::exp(1.0);
  const RowVectorXd expected = RowVectorXd{{1.0, e, e * e}} / (1 + e + e * e);
  EXPECT_TRUE(support::near(weights(RowVectorXd{{0.0, 1.0, 2.0}}), expected, 1e-15));
}

TEST(SoftmaxWithSink, HasOneMoreKeyInTheSum) {
  const RowVectorXd scores{{0.0, std::log(2.0)}};
  EXPECT_TRUE(support::near(weights(scores, attn::SoftmaxWithSink{0}),
                            RowVectorXd{{1.0 / 4, 2.0 / 4}}, 1e-15));
  EXPECT_TRUE(support::near(weights(scores, attn::SoftmaxWithSink{std::log(5.0)}),
                            RowVectorXd{{1.0 / 8, 2.0 / 8}}, 1e-15));
}

TEST(SoftmaxWithSink, OfALogitFarBelowIsSoftmax) {
  const RowVectorXd scores{{0.3, -1.0, 2.0}};
  EXPECT_TRUE(support::near(weights(scores, attn::SoftmaxWithSink{-1e4}), weights(scores), 1e-15));
}

TEST(SoftmaxWithSink, OfALogitFarAboveTakesEverything) {
  const RowVectorXd P = weights(RowVectorXd{{0.3, -1.0, 2.0}}, attn::SoftmaxWithSink{1e4});
  EXPECT_TRUE((P.array() == 0.0).all());
}

TEST(Sigmoid, TakesEachScoreForItself) {
  const RowVectorXd scores{{0.0, std::log(3.0), -2.0}};
  EXPECT_TRUE(support::near(weights(scores, attn::Sigmoid{}),
                            RowVectorXd{{0.5, 0.75, 1 / (1 + std::exp(2.0))}}, 1e-15));
  EXPECT_TRUE(support::near(weights(scores, attn::Sigmoid{-std::log(3.0)}).leftCols(2),
                            RowVectorXd{{0.25, 0.5}}, 1e-15));
}

TEST(Sigmoid, ReachesItsLimitsFarOut) {
  const RowVectorXd P = weights(RowVectorXd{{1e4, -1e4}}, attn::Sigmoid{});
  EXPECT_EQ(P(0), 1.0);
  EXPECT_EQ(P(1), 0.0);
}

// Martins & Astudillo 2016: the projection of (1, 0.8, 0.1) onto the simplex is (0.6, 0.4, 0).
TEST(Sparsemax, IsTheNearestPointOfTheSimplex) {
  EXPECT_TRUE(support::near(weights(RowVectorXd{{1.0, 0.8, 0.1}}, attn::Sparsemax{}),
                            RowVectorXd{{0.6, 0.4, 0.0}}, 1e-15));
  EXPECT_TRUE(support::near(weights(RowVectorXd{{0.3, 2.0, 0.9}}, attn::Sparsemax{}),
                            RowVectorXd{{0.0, 1.0, 0.0}}, 1e-15));
}

// (x/2 - tau)^2 with x/2 = (1, 0.5, -1): tau solves (1 - tau)^2 + (0.5 - tau)^2 = 1.
TEST(Entmax15, SquaresWhatLiesAboveItsThreshold) {
  const double tau = (1.5 - std::sqrt(1.5 * 1.5 - 2 * 0.25)) / 2;
  const RowVectorXd expected{{(1 - tau) * (1 - tau), (0.5 - tau) * (0.5 - tau), 0.0}};
  EXPECT_NEAR(expected.sum(), 1.0, 1e-15);
  EXPECT_TRUE(
      support::near(weights(RowVectorXd{{2.0, 1.0, -2.0}}, attn::Entmax15{}), expected, 1e-15));
}

template <class Normalizer>
void expect_a_distribution(const Normalizer& normalizer) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const RowVectorXd scores = 3 * support::random(1, 300, seed);
    const RowVectorXd P = weights(scores, normalizer);
    EXPECT_NEAR(P.sum(), 1.0, 1e-13) << "seed " << seed;
    EXPECT_TRUE((P.array() >= 0.0).all()) << "seed " << seed;
    const RowVectorXd moved = weights((scores.array() + 17.0).matrix().eval(), normalizer);
    EXPECT_TRUE(support::near(moved, P, 1e-13)) << "seed " << seed;
  }
}

TEST(Normalizer, GivesADistributionThatAShiftOfTheScoresDoesNotChange) {
  expect_a_distribution(attn::Softmax{});
  expect_a_distribution(attn::Sparsemax{});
  expect_a_distribution(attn::Entmax15{});
}

template <class Normalizer>
void expect_even_weights(const Normalizer& normalizer, double each) {
  const RowVectorXd equal = RowVectorXd::Constant(7, 1e4);
  EXPECT_TRUE(support::near(weights(equal, normalizer), RowVectorXd::Constant(7, each), 1e-14));
}

TEST(Normalizer, TreatsEqualScoresEqually) {
  expect_even_weights(attn::Softmax{}, 1.0 / 7);
  expect_even_weights(attn::SoftmaxWithSink{1e4}, 1.0 / 8);
  expect_even_weights(attn::Sparsemax{}, 1.0 / 7);
  expect_even_weights(attn::Entmax15{}, 1.0 / 7);
  expect_even_weights(attn::Sigmoid{}, 1.0);
}

TEST(Normalizer, SumsToOneInFloatOverManyKeys) {
  const Eigen::MatrixXf q = Eigen::MatrixXf::Ones(1, 1);
  const Eigen::MatrixXf scores = 5 * support::random<float>(3000, 1, 4);
  const auto sum = [&](const auto& normalizer) {
    return attn::attention_weights(q, scores, normalizer).template cast<double>().sum();
  };
  EXPECT_NEAR(sum(attn::Softmax{}), 1.0, 1e-5);
  EXPECT_NEAR(sum(attn::Sparsemax{}), 1.0, 1e-5);
  EXPECT_NEAR(sum(attn::Entmax15{}), 1.0, 1e-5);
}

/// Thousands of equal or nearly equal scores, of which rounding must not lose the threshold.
template <class Normalizer>
void expect_flat_rows_sum_to_one(const Normalizer& normalizer) {
  for (const Eigen::Index n : {100, 3000, 10007}) {
    Eigen::MatrixXf Q = Eigen::MatrixXf::Zero(3, 4);
    Q(1, 0) = 1e-4f;
    Q(2, 1) = 3e-3f;
    const Eigen::MatrixXf K = support::random<float>(n, 4, 5);
    const Eigen::MatrixXf V = Eigen::MatrixXf::Ones(n, 1);
    const Eigen::MatrixXf O = attn::attention(Q, K, V, normalizer);
    const float error = (O.array() - 1.f).abs().maxCoeff();
    EXPECT_TRUE(error <= 2e-4f) << n << " keys: " << error;
  }
}

TEST(Sparsemax, OfThousandsOfEqualScoresSumsToOne) {
  expect_flat_rows_sum_to_one(attn::Sparsemax{});
}

TEST(Entmax15, OfThousandsOfEqualScoresSumsToOne) { expect_flat_rows_sum_to_one(attn::Entmax15{}); }

}  // namespace
