// SPDX-License-Identifier: Apache-2.0
// NaN and infinities at hidden places: they reach no output, no gradient and no parameter.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <tuple>

#include "support/hidden_keys.hpp"

namespace {

using attn::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::expect_hidden_keys_reach_nothing;
using support::hidden_key;
using support::hide;
using support::infinity;
using support::nan;
using support::Problem;
using support::small;

TEST(HiddenKeys, ReachNothingWhateverTheNormaliser) {
  const auto mask = attn::mask_mod(hide);
  expect_hidden_keys_reach_nothing(mask);
  expect_hidden_keys_reach_nothing(mask, attn::SoftmaxWithSink{0.5});
  expect_hidden_keys_reach_nothing(mask, attn::Sigmoid{-1});
  expect_hidden_keys_reach_nothing(mask, attn::Sparsemax{});
  expect_hidden_keys_reach_nothing(mask, attn::Entmax15{});
}

TEST(HiddenKeys, ReachNothingThroughWeightModifiers) {
  const auto square = attn::prob_mod([](auto p, attn::Position) { return p * p; });
  expect_hidden_keys_reach_nothing(attn::mask_mod(hide), attn::Dropout{.p = 0.4, .seed = 2});
  expect_hidden_keys_reach_nothing(attn::mask_mod(hide), square);
}

TEST(HiddenKeys, ReachNothingWhereABiasOfMinusInfinityHidesThem) {
  MatrixXd B = support::random(7, 9, 12);
  for (Index j = 0; j < 9; ++j)
    if (hidden_key(j)) B.col(j).setConstant(-infinity);
  const auto flatten = [](const auto& g) {
    VectorXd all(64);
    all << g.template of<attn::DenseBias>().B.reshaped(), g.template of<attn::Softcap>().cap;
    return all;
  };
  const auto parts = [&](const auto& normalizer) {
    return std::tuple(attn::Softcap{2}, attn::DenseBias{B}, normalizer);
  };
  expect_hidden_keys_reach_nothing(small, parts(attn::Softmax{}), flatten);
  expect_hidden_keys_reach_nothing(small, parts(attn::Sigmoid{}), flatten);
  expect_hidden_keys_reach_nothing(small, parts(attn::Entmax15{}), flatten);
}

TEST(HiddenKeys, ReachNothingWhereAModifierHidesThem) {
  const auto pair = attn::score_mod(
      [](auto s, attn::Position at) { return hidden_key(at.key) ? decltype(s)(-infinity) : s; });
  expect_hidden_keys_reach_nothing(pair);
  const auto packs = attn::score_mod(
      [](auto s, auto at) { return attn::math::select(hidden_key(at.key), -infinity, s); });
  expect_hidden_keys_reach_nothing(attn::Softcap{3}, packs, attn::Sparsemax{});
}

TEST(HiddenValue, OfAScoreOfMinusInfinityStaysOut) {
  for (const Index n : {2, 3, 9, 40, 300}) {
    Eigen::MatrixXf Q = Eigen::MatrixXf::Ones(n, 3), K = Eigen::MatrixXf::Random(n, 3);
    Eigen::MatrixXf V = Eigen::MatrixXf::Random(n, 4);
    const Eigen::MatrixXf expected =
        attn::attention(Q, K.bottomRows(n - 1).eval(), V.bottomRows(n - 1).eval());
    K(0, 1) = -std::numeric_limits<float>::infinity();
    V.row(0).setConstant(std::numeric_limits<float>::quiet_NaN());
    const Eigen::MatrixXf found = attn::attention(Q, K, V);
    EXPECT_TRUE((found - expected).cwiseAbs().maxCoeff() <= 1e-5f) << n;
    const Eigen::MatrixXf with_weights = attn::attention_with_weights(Q, K, V).output;
    EXPECT_TRUE((with_weights - expected).cwiseAbs().maxCoeff() <= 1e-5f) << n;
  }
}

TEST(HiddenKey, OfAScoreOfMinusInfinityReachesNoGradient) {
  for (const Index n_q : {1, 16, 60, 300}) {
    Problem<> p({.n_q = n_q, .n_k = 60, .d = 2, .d_v = 3});
    p.Q = p.Q.cwiseAbs().eval();
    const auto masked = std::tuple(attn::mask_mod([](attn::Position at) { return at.key != 5; }));
    const auto expected = support::forward_and_backward(p, masked);
    p.K(5, 0) = -infinity;
    p.V(5, 1) = nan;
    const auto found = support::forward_and_backward(p, std::tuple());
    EXPECT_TRUE(support::near(found.query, expected.query, 1e-12)) << n_q;
    EXPECT_TRUE(support::near(found.key, expected.key, 1e-12)) << n_q;
    EXPECT_TRUE(support::near(found.value, expected.value, 1e-12)) << n_q;
  }
}

}  // namespace
