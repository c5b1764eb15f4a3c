// SPDX-License-Identifier: Apache-2.0
// Attention over sizes around the tiles, 0, 1, T-1, T, T+1 and 2T+3, held to its promised accuracy.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <set>

#include "support/accuracy.hpp"

namespace {

using attn::Index;
using support::Case;
using support::Problem;

std::set<Index> sizes_around(Index tile) { return {0, 1, tile - 1, tile, tile + 1, 2 * tile + 3}; }

/// f(problem) for sizes of queries and keys around the tiles of a call with these features: all of
/// the keys with few queries, and a block of queries, and one more, with a tile of keys and one.
template <class T, class Normalizer, class F>
void for_all_sizes(Index d, Index d_v, F f) {
  const auto tiles = attn::engine::call_tiles<T, Normalizer>(d, d_v, 1 << 20, 1 << 10);
  const auto masked = attn::engine::call_tiles<T, Normalizer>(d, d_v, 1 << 20, 1 << 10, true);
  const auto try_sizes = [&](Index n_q, Index n_k) {
    const Case c{.n_q = n_q, .n_k = n_k, .d = d, .d_v = d_v, .seed = 3};
    SCOPED_TRACE(c);
    f(Problem<T>(c));
  };
  std::set<Index> keys = sizes_around(tiles.keys);
  keys.merge(sizes_around(masked.keys));
  for (const Index n_k : keys)
    for (const Index n_q : sizes_around(attn::engine::panel_width<T>)) try_sizes(n_q, n_k);
  for (const Index n_q : {tiles.queries, tiles.queries + 1}) try_sizes(n_q, tiles.keys + 1);
}

template <class T, class Normalizer = attn::Softmax, class... Parts>
void expect_accuracy(Index d, Index d_v, const Parts&... parts) {
  for_all_sizes<T, Normalizer>(d, d_v, [&](const Problem<T>& p) {
    const attn::MatrixX<T> O = attn::attention(p.Q, p.K, p.V, parts...);
    EXPECT_TRUE(support::accurate(O, p, parts...));
  });
}

TEST(AttentionSize, OfTheDefaultKeepsItsAccuracy) {
  expect_accuracy<float>(3, 2);
  expect_accuracy<double>(3, 2);
}

TEST(AttentionSize, OfAFewNumbersKeepsItsAccuracy) {
  for (Index n_q = 0; n_q < 60; n_q = n_q * 2 + 1)
    for (Index n_k = 0; n_k < 60; n_k = n_k * 2 + 1)
      for (const Index d : {1, 2, 5, 33}) {
        const Case c{.n_q = n_q, .n_k = n_k, .d = d, .d_v = 3, .seed = 4};
        SCOPED_TRACE(c);
        const Problem<float> p(c);
        const attn::MatrixX<float> O = attn::attention(p.Q, p.K, p.V);
        EXPECT_TRUE(support::accurate(O, p));
        const auto f = attn::attention_forward(p.Q, p.K, p.V, attn::SoftmaxWithSink{0.5});
        EXPECT_TRUE(support::accurate(f.output, p, attn::SoftmaxWithSink{0.5}));
      }
}

TEST(AttentionSize, OfNothingHasGradientsOfZero) {
  // dV without columns, dK and dV without rows, dQ without rows.
  for (const Case c : {Case{.d_v = 0}, Case{.n_k = 0}, Case{.n_q = 0}}) {
    SCOPED_TRACE(c);
    const Problem<float> p(c);
    const auto f = attn::attention_forward(p.Q, p.K, p.V);
    const auto g = attn::attention_backward(p.Q, p.K, p.V, f, p.dO);
    EXPECT_EQ(g.query.rows(), c.n_q);
    EXPECT_EQ(g.value.rows(), c.n_k);
    EXPECT_TRUE(g.query.isZero(0) && g.key.isZero(0) && g.value.isZero(0));
  }
}

TEST(AttentionSize, OfWideFeaturesKeepsItsAccuracy) { expect_accuracy<double>(600, 2); }

TEST(AttentionSize, UnderAMaskKeepsItsAccuracy) {
  expect_accuracy<float>(4, 3, attn::Causal::bottom_right());
  expect_accuracy<double>(4, 3, attn::SlidingWindow{100, 5}, attn::KeyPadding{150});
}

TEST(AttentionSize, WithModifiersKeepsItsAccuracy) {
  expect_accuracy<float>(4, 3, attn::Softcap{2}, attn::Alibi{0.01}, attn::Causal{.offset = 3});
  expect_accuracy<double>(4, 3, attn::Alibi{0.01}, attn::Softcap{2}, attn::SoftmaxWithSink{0.5});
}

TEST(AttentionSize, OfSigmoidKeepsItsAccuracy) {
  // Without a division the sum grows with n_k, and with it the rounding of both sides.
  expect_accuracy<float, attn::Sigmoid>(4, 3, attn::Sigmoid{-5});
  expect_accuracy<double, attn::Sigmoid>(4, 3, attn::Sigmoid{-5}, attn::Causal{});
}

template <class T, class Normalizer>
void expect_threshold_accuracy(double bound) {
  const attn::DotProduct score;
  for_all_sizes<T, Normalizer>(4, 3, [&](const Problem<T>& p) {
    const auto O = attn::attention(p.Q, p.K, p.V, score, Normalizer{}, attn::Causal{.offset = 9});
    const auto exact =
        attn::reference::attend(p.Q, p.K, p.V, score, Normalizer{}, attn::Causal{.offset = 9});
    EXPECT_TRUE(support::near(O, exact.output, bound));
  });
}

TEST(AttentionSize, OfSparseNormalisersAgreesWithTheDefinition) {
  expect_threshold_accuracy<float, attn::Sparsemax>(1e-5);
  expect_threshold_accuracy<double, attn::Sparsemax>(1e-13);
  expect_threshold_accuracy<float, attn::Entmax15>(1e-5);
  expect_threshold_accuracy<double, attn::Entmax15>(1e-13);
}

TEST(AttentionSize, LeavesLogSumExpAndWeightsRight) {
  for_all_sizes<double, attn::Softmax>(3, 2, [](const Problem<double>& p) {
    const attn::Causal mask{.offset = -2};
    const auto expected = attn::reference::attend(p.Q, p.K, p.V, mask);
    const auto forward = attn::attention_forward(p.Q, p.K, p.V, mask);
    EXPECT_TRUE(support::near(forward.log_sum_exp, expected.log_sum_exp, 1e-13));
    const auto weighted = attn::attention_with_weights(p.Q, p.K, p.V, mask);
    EXPECT_TRUE(support::near(weighted.weights, expected.weights, 1e-14));
    EXPECT_TRUE(support::near(weighted.output, expected.output, 1e-14));
    EXPECT_TRUE(support::near(attn::attention_weights(p.Q, p.K, mask), expected.weights, 1e-14));
  });
}

TEST(AttentionSize, OfZeroIsFineInBackward) {
  for (const Case& c : {Case{.n_q = 0}, Case{.n_k = 0}, Case{.d_v = 0}, Case{.d = 0}}) {
    SCOPED_TRACE(c);
    const Problem<> p(c);
    const auto forward = attn::attention_forward(p.Q, p.K, p.V, attn::Causal{});
    const auto g = attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, attn::Causal{});
    EXPECT_TRUE(support::near(g.query, attn::MatrixX<double>::Zero(c.n_q, c.d), 0));
    EXPECT_TRUE(support::near(g.key, attn::MatrixX<double>::Zero(c.n_k, c.d), 0));
    EXPECT_EQ(g.value.rows(), c.n_k);
    EXPECT_EQ(g.value.cols(), c.d_v);
  }
}

}  // namespace
