// SPDX-License-Identifier: Apache-2.0
// The scalar rules of the score modifiers, with numbers worked out by hand.
#include <gtest/gtest.h>

#include <array>
#include <attn/attn.hpp>
#include <cmath>
#include <vector>

#include "support/nonfinite.hpp"
#include "support/random.hpp"

namespace {

using attn::Extent;
using attn::Index;
using attn::Position;
using Eigen::MatrixXd;
using Eigen::VectorXd;

using support::infinity;

TEST(Softcap, KeepsScoresWithinTheCap) {
  const attn::Softcap cap{5};
  EXPECT_DOUBLE_EQ(cap.apply(2.5, Position{}, Extent{}), 5 * std::tanh(0.5));
  EXPECT_DOUBLE_EQ(cap.apply(-1e4, Position{}, Extent{}), -5.0);
}

TEST(Alibi, TakesTheSlopeTimesTheDistance) {
  const attn::Alibi alibi{.slopes = VectorXd{{0.5, 0.25}}};
  EXPECT_DOUBLE_EQ(alibi.apply(1.0, Position{0, 0, 5, 2}, Extent{}), 1.0 - 1.5);
  EXPECT_DOUBLE_EQ(alibi.apply(1.0, Position{0, 1, 2, 6}, Extent{}), 0.0);
}

TEST(Alibi, CountsFromItsOffset) {
  const attn::Alibi shifted{.slopes = 1.0, .offset = 3};
  EXPECT_DOUBLE_EQ(shifted.apply(0.0, Position{0, 0, 1, 4}, Extent{}), 0.0);
  const attn::Alibi aligned = attn::Alibi::bottom_right(1.0);
  EXPECT_DOUBLE_EQ(aligned.apply(0.0, Position{0, 0, 1, 9}, Extent{2, 10}), 0.0);
  EXPECT_DOUBLE_EQ(aligned.apply(0.0, Position{0, 0, 0, 9}, Extent{2, 10}), -1.0);
}

TEST(Alibi, HasTheSlopesOfThePaper) {
  const attn::Alibi eight = attn::Alibi::standard(8);
  for (Index h = 0; h < 8; ++h) EXPECT_DOUBLE_EQ(eight.slopes(h), std::exp2(-double(h + 1)));
  // Twelve heads: the eight above, then every other slope of sixteen.
  const attn::Alibi twelve = attn::Alibi::standard(12);
  EXPECT_EQ(twelve.slopes.size(), 12);
  EXPECT_DOUBLE_EQ(twelve.slopes(7), std::exp2(-8.0));
  EXPECT_DOUBLE_EQ(twelve.slopes(8), std::exp2(-0.5));
  EXPECT_DOUBLE_EQ(twelve.slopes(11), std::exp2(-3.5));
}

TEST(Alibi, TakesSlopesInAnyForm) {
  const std::vector<float> list{0.5F, 0.25F};
  EXPECT_DOUBLE_EQ(attn::Alibi{list}.slopes(1), 0.25);
  const Eigen::VectorXf standing{{0.5F, 0.25F}};
  EXPECT_DOUBLE_EQ(attn::Alibi{standing}.slopes(1), 0.25);
  const Eigen::RowVectorXd lying{{0.5, 0.25}};
  EXPECT_DOUBLE_EQ(attn::Alibi{lying}.slopes(1), 0.25);
  EXPECT_DOUBLE_EQ(attn::Alibi{1}.slopes(7), 1.0);
}

TEST(DenseBias, AddsTheNumberOfItsPlace) {
  MatrixXd B(2, 3);
  B << 1, 2, 3, 4, 5, 6;
  const attn::DenseBias bias{B};
  EXPECT_EQ(bias.apply(0.5, Position{0, 0, 1, 2}, Extent{}), 6.5);
}

TEST(DenseBias, BroadcastsTheDimensionsOfSizeOne) {
  const double numbers[] = {1, 2, 3, 4, 5, 6};
  const attn::DenseBias by_head{attn::bhtd(numbers, 1, 2, 1, 3)};
  EXPECT_EQ(by_head.apply(0.0, Position{4, 1, 7, 2}, Extent{}), 6.0);
  const attn::DenseBias by_batch_and_query{attn::bhtd(numbers, 2, 1, 3, 1)};
  EXPECT_EQ(by_batch_and_query.apply(0.0, Position{1, 5, 0, 8}, Extent{}), 4.0);
}

TEST(DenseBias, OfMinusInfinityMasksWhateverTheScoreIs) {
  const attn::DenseBias bias{MatrixXd::Constant(1, 1, -infinity)};
  EXPECT_EQ(bias.apply(infinity, Position{}, Extent{}), -infinity);
  EXPECT_EQ(bias.apply(std::nan(""), Position{}, Extent{}), -infinity);
}

// The buckets of T5's published implementation for 32 buckets and a maximum distance of 128.
TEST(RelativePositionBias, SortsDistancesAsT5Does) {
  const attn::RelativePositionBias both{MatrixXd(MatrixXd::Zero(32, 1))};
  const auto bucket = [&](Index distance) { return both.bucket(1000, 1000 + distance); };
  EXPECT_EQ(bucket(0), 0);
  EXPECT_EQ(bucket(-1), 1);
  EXPECT_EQ(bucket(-7), 7);
  EXPECT_EQ(bucket(-8), 8);
  EXPECT_EQ(bucket(-12), 9);
  EXPECT_EQ(bucket(-16), 10);
  EXPECT_EQ(bucket(-64), 14);
  EXPECT_EQ(bucket(-127), 15);
  EXPECT_EQ(bucket(-500), 15);
  EXPECT_EQ(bucket(1), 17);
  EXPECT_EQ(bucket(8), 24);
  EXPECT_EQ(bucket(500), 31);
}

TEST(RelativePositionBias, GivesTheFutureOneBucketInOneDirection) {
  const attn::RelativePositionBias past{MatrixXd(MatrixXd::Zero(32, 1)),
                                        attn::RelativePositionOptions{.bidirectional = false}};
  EXPECT_EQ(past.bucket(10, 12), 0);
  EXPECT_EQ(past.bucket(10, 10), 0);
  EXPECT_EQ(past.bucket(10, 0), 10);
  EXPECT_EQ(past.bucket(20, 4), 16);
  EXPECT_EQ(past.bucket(500, 0), 31);
}

TEST(RelativePositionBias, AddsTheNumberOfBucketAndHead) {
  MatrixXd table(4, 2);
  table << 1, 10, 2, 20, 3, 30, 4, 40;
  const attn::RelativePositionOptions options{.max_distance = 4, .offset = 1};
  const attn::RelativePositionBias bias{table, options};
  // The distance is j - (i + 1).
  EXPECT_EQ(bias.apply(0.5, Position{0, 1, 2, 3}, Extent{}), 10.5);
  EXPECT_EQ(bias.apply(0.5, Position{0, 0, 2, 2}, Extent{}), 2.5);
  EXPECT_EQ(bias.apply(0.5, Position{0, 0, 2, 9}, Extent{}), 4.5);
}

TEST(ScoreMod, CallsTheUsersFunctionWithItsParameters) {
  const auto mod = attn::score_mod(
      [](auto s, Position at, auto a, auto b) { return a * s + b * double(at.key); }, 2.0, 0.5);
  EXPECT_DOUBLE_EQ(mod.apply(3.0, Position{0, 0, 1, 4}, Extent{}), 8.0);
}

TEST(ScoreMod, GivesAGenericPositionTheQueryAsANumber) {
  const auto mod = attn::score_mod([](auto s, auto at) { return s + at.query / 2; });
  EXPECT_DOUBLE_EQ(mod.apply(1.0, Position{0, 0, 3, 4}, Extent{}), 2.5);
}

TEST(Alibi, IsExactFarFromTheStart) {
  const Eigen::MatrixXf Q = support::random<float>(5, 4, 1), K = support::random<float>(7, 4, 2),
                        V = support::random<float>(7, 3, 3);
  EXPECT_EQ(attn::attention(Q, K, V, attn::Alibi{0.5}, attn::PositionOffset{20000001, 20000000}),
            attn::attention(Q, K, V, attn::Alibi{0.5}, attn::PositionOffset{1, 0}));
}

TEST(Alibi, TakesSlopesFromWhateverHoldsThem) {
  const attn::Alibi list{{0.5f, 0.25f}}, array{std::array<double, 2>{0.5, 0.25}},
      vector{std::vector<float>{0.5f, 0.25f}}, eigen{Eigen::Vector2f(0.5f, 0.25f)};
  for (const attn::Alibi& part : {list, array, vector, eigen}) {
    EXPECT_EQ(part.slopes.size(), 2);
    EXPECT_EQ(part.slopes(1), 0.25);
  }
  EXPECT_THROW(attn::Alibi::standard(0), attn::ValueError);
}

}  // namespace
