// SPDX-License-Identifier: Apache-2.0
// Dropout and users' own rules for weights.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <cmath>

#include "support/compare.hpp"
#include "support/problem.hpp"

namespace {

using attn::Extent;
using attn::Index;
using attn::Position;
using Eigen::MatrixXd;
using support::Problem;

TEST(Dropout, KeepsTheShareThatItPromises) {
  const attn::Dropout dropout{.p = 0.3, .seed = 1};
  const Index n = 300;
  double kept = 0;
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < n; ++j) kept += dropout.factor({0, 0, i, j}) != 0.0;
  // Five standard deviations of a binomial share over n^2 draws.
  EXPECT_NEAR(kept / double(n * n), 0.7, 5 * std::sqrt(0.3 * 0.7) / double(n));
}

TEST(Dropout, DividesWhatItKeepsByTheShare) {
  const attn::Dropout dropout{.p = 0.75, .seed = 2};
  for (Index j = 0; j < 50; ++j) {
    const double p = dropout.apply(0.5, Position{0, 0, 0, j}, Extent{});
    EXPECT_TRUE(p == 0.0 || p == 2.0) << p;
  }
}

TEST(Dropout, DependsOnTheSeedAndOnEveryCoordinate) {
  const auto pattern = [](std::uint64_t seed, Position step) {
    const attn::Dropout dropout{.p = 0.5, .seed = seed};
    std::string bits;
    for (Index k = 0; k < 64; ++k)
      bits += dropout.factor({step.batch + k % 4, step.head, step.query, step.key + k / 4}) != 0.0
                  ? 'x'
                  : '.';
    return bits;
  };
  const std::string base = pattern(1, {});
  EXPECT_EQ(base, pattern(1, {}));
  EXPECT_NE(base, pattern(2, {}));
  EXPECT_NE(base, pattern(1, {100, 0, 0, 0}));
  EXPECT_NE(base, pattern(1, {0, 1, 0, 0}));
  EXPECT_NE(base, pattern(1, {0, 0, 1, 0}));
  EXPECT_NE(base, pattern(1, {0, 0, 0, 100}));
}

TEST(Dropout, OfZeroChangesNothing) {
  const Problem<> p({});
  EXPECT_TRUE(support::same_bits(attn::attention(p.Q, p.K, p.V, attn::Dropout{.p = 0, .seed = 3}),
                                 attn::attention(p.Q, p.K, p.V)));
}

TEST(Dropout, HasAPatternThatDoesNotDependOnTheTiles) {
  // The second call meets the same positions in other tiles and other lanes.
  const Problem<> p({.n_q = 300, .n_k = 290, .d = 4, .d_v = 3});
  const attn::Dropout dropout{.p = 0.4, .seed = 9};
  const MatrixXd whole = attn::attention_weights(p.Q, p.K, dropout, attn::Sigmoid{});
  const MatrixXd part =
      attn::attention_weights(p.Q.middleRows(77, 100), p.K.middleRows(31, 200), dropout,
                              attn::Sigmoid{}, attn::PositionOffset{.query = 77, .key = 31});
  EXPECT_TRUE(support::near(part, whole.block(77, 31, 100, 200), 1e-15));
}

TEST(Dropout, LeavesTheSumOfTheRowAlone) {
  const Problem<> p({});
  const attn::Dropout dropout{.p = 0.5, .seed = 4};
  const MatrixXd plain = attn::attention_weights(p.Q, p.K);
  const MatrixXd dropped = attn::attention_weights(p.Q, p.K, dropout);
  for (Index i = 0; i < 7; ++i)
    for (Index j = 0; j < 9; ++j)
      EXPECT_NEAR(dropped(i, j), plain(i, j) * dropout.factor({0, 0, i, j}), 1e-15);
}

TEST(ProbMod, SeesTheWeightAndItsPosition) {
  const Problem<> p({});
  const MatrixXd plain = attn::attention_weights(p.Q, p.K);
  const auto mod = attn::prob_mod([](auto w, Position at) { return w * w + double(at.key); });
  const MatrixXd modified = attn::attention_weights(p.Q, p.K, mod);
  for (Index i = 0; i < 7; ++i)
    for (Index j = 0; j < 9; ++j)
      EXPECT_NEAR(modified(i, j), plain(i, j) * plain(i, j) + double(j), 1e-14);
}

TEST(ProbMod, ComesInTheOrderGiven) {
  const Problem<> p({});
  const auto twice = attn::prob_mod([](auto w, Position) { return 2.0 * w; });
  const auto more = attn::prob_mod([](auto w, Position) { return w + 1.0; });
  const MatrixXd plain = attn::attention_weights(p.Q, p.K);
  const MatrixXd expected = (2 * plain).array() + 1;
  EXPECT_TRUE(support::near(attn::attention_weights(p.Q, p.K, twice, more), expected, 1e-14));
}

TEST(ProbMod, IsTheSameInPacks) {
  const Problem<> p({.n_q = 13, .n_k = 9});
  const auto by_pack = attn::prob_mod([](auto w, auto at) { return w * (at.query - at.key); });
  const auto by_pair =
      attn::prob_mod([](auto w, Position at) { return w * double(at.query - at.key); });
  EXPECT_TRUE(support::near(attn::attention(p.Q, p.K, p.V, by_pack),
                            attn::attention(p.Q, p.K, p.V, by_pair), 1e-14));
}

}  // namespace
