// SPDX-License-Identifier: Apache-2.0
// NaN and infinities at hidden places reach nothing through score functions and score modifiers.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <tuple>
#include <type_traits>

#include "support/hidden_keys.hpp"

namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::expect_hidden_keys_reach_nothing;
using support::hide;
using support::infinity;
using support::nan;
using support::Problem;
using support::small;

TEST(HiddenKeys, ReachNoParameterOfAScoreFunction) {
  const auto scale = [](const auto& g) {
    return VectorXd::Constant(1, g.template of<attn::CosineSimilarity>().scale).eval();
  };
  const auto mask = attn::mask_mod(hide);
  expect_hidden_keys_reach_nothing(small, std::tuple(attn::CosineSimilarity{.scale = 2}, mask),
                                   scale);
  const MatrixXd W = support::random(5, 5, 9);
  const VectorXd v = support::random_vector(5, 10);
  const auto additive = [](const auto& g) {
    const auto& a = g.template of<attn::Additive>();
    VectorXd all(60);
    all << a.Wq.reshaped(), a.Wk.reshaped(), a.v, a.b;
    return all;
  };
  expect_hidden_keys_reach_nothing(small, std::tuple(attn::Additive{W, W, v, v}, mask), additive);
  const auto bilinear = [](const auto& g) {
    return VectorXd(g.template of<attn::Bilinear>().W.reshaped());
  };
  expect_hidden_keys_reach_nothing(small, std::tuple(attn::Bilinear{W}, mask), bilinear);
  const auto f = attn::score_function([](const auto& q, const auto& k) { return q.dot(k); });
  expect_hidden_keys_reach_nothing(small, std::tuple(f, mask), support::no_parameters);
}

TEST(HiddenKeys, ReachNoParameterOfAModifier) {
  const auto mod =
      attn::score_mod([](auto s, auto at, auto a) { return a * s - s * at.query; }, 2.0);
  const auto flatten = [](const auto& g) {
    VectorXd all(65);
    all << g.template of<attn::Softcap>().cap, g.parts.template of<attn::ScoreMod>().parameters,
        g.template of<attn::DenseBias>().B.reshaped();
    return all;
  };
  const MatrixXd B = support::random(7, 9, 11);
  expect_hidden_keys_reach_nothing(
      small, std::tuple(attn::Softcap{2}, mod, attn::DenseBias{B}, attn::mask_mod(hide)), flatten);
}

TEST(HiddenKeys, ReachNothingWhereAScoreFunctionHidesThem) {
  // The function sees no positions, so the first feature of a key says that it is hidden.
  Problem<> p({});
  p.K.col(0).setZero();
  p.K(2, 0) = p.K(5, 0) = 1;
  const auto score = attn::score_function([](const auto& q, const auto& k) {
    using S = std::decay_t<decltype(q.dot(k))>;
    return k(0) == S(1) ? S(-infinity) : S(q.dot(k));
  });
  const auto parts = std::tuple(score);
  const MatrixXd clean = attn::attention(p.Q, p.K, p.V, score);
  const auto clean_gradient = support::forward_and_backward(p, parts);
  p.V.row(2).setConstant(nan);
  p.V.row(5).setConstant(infinity);
  EXPECT_TRUE(support::near(attn::attention(p.Q, p.K, p.V, score), clean, 1e-14));
  const auto gradient = support::forward_and_backward(p, parts);
  EXPECT_TRUE(support::near(gradient.query, clean_gradient.query, 1e-14));
  EXPECT_TRUE(support::near(gradient.value, clean_gradient.value, 1e-14));
  p.K.col(0).setOnes();
  const auto nothing = attn::attention_forward(p.Q, p.K, p.V, score);
  EXPECT_TRUE((nothing.output.array() == 0.0).all());
  EXPECT_TRUE((nothing.log_sum_exp.array() == -infinity).all());
}

TEST(HiddenQuery, ReachesNoGradient) {
  const Problem<> clean({});
  Problem<> dirty = clean;
  dirty.Q.row(2).setConstant(nan);
  dirty.dO.row(2).setConstant(infinity);
  const auto parts = std::tuple(attn::mask_mod([](attn::Position at) { return at.query != 2; }),
                                attn::CosineSimilarity{.scale = 2});
  const auto flatten = [](const auto& g) {
    return VectorXd::Constant(1, g.template of<attn::CosineSimilarity>().scale).eval();
  };
  support::expect_same_gradients(support::forward_and_backward(dirty, parts),
                                 support::forward_and_backward(clean, parts), flatten);
}

}  // namespace
