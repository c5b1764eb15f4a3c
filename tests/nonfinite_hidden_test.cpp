// SPDX-License-Identifier: Apache-2.0
// NaN and infinities at hidden places: they reach no output, no gradient and no parameter.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <limits>
#include <tuple>

#include "support/gradients.hpp"

namespace {

using attn::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::Case;
using support::Problem;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr Case small{};
constexpr Case several_tiles{.n_q = 133, .n_k = 261, .d = 4, .d_v = 3, .seed = 3};

/// Keys 4, 7 and 8 of nine, and so in every nine that follow.
constexpr bool hidden_key(Index j) { return j % 9 == 4 || j % 9 >= 7; }
constexpr auto hide = [](attn::Position at) { return !hidden_key(at.key); };

/// NaN and infinities where nobody looks.
Problem<> spoiled(Problem<> p) {
  for (Index j = 0; j < p.K.rows(); ++j) {
    if (!hidden_key(j)) continue;
    p.K.row(j).setConstant(j % 9 == 4 ? nan : infinity);
    p.V.row(j).setConstant(j % 9 == 7 ? nan : -infinity);
  }
  return p;
}

template <class Gradients, class Flatten>
void expect_same_gradients(const Gradients& found, const Gradients& clean, Flatten flatten) {
  EXPECT_TRUE(support::near(found.query, clean.query, 1e-14)) << "dQ";
  EXPECT_TRUE(support::near(found.key, clean.key, 1e-14)) << "dK";
  EXPECT_TRUE(support::near(found.value, clean.value, 1e-14)) << "dV";
  EXPECT_TRUE(clean.key.allFinite());
  EXPECT_TRUE(support::near(flatten(found), flatten(clean), 1e-12)) << "parameters";
}

/// A call whose parts hide the hidden keys gives the same whatever these hold.
template <class Parts, class Flatten>
void expect_hidden_keys_reach_nothing(const Case& c, const Parts& parts, Flatten flatten) {
  SCOPED_TRACE(c);
  const Problem<> clean(c), dirty = spoiled(clean);
  std::apply(
      [&](const auto&... part) {
        const auto expected = attn::attention_forward(clean.Q, clean.K, clean.V, part...);
        const auto forward = attn::attention_forward(dirty.Q, dirty.K, dirty.V, part...);
        EXPECT_TRUE(expected.output.allFinite());
        EXPECT_TRUE(support::near(forward.output, expected.output, 1e-14)) << "O";
        EXPECT_TRUE(support::near(forward.log_sum_exp, expected.log_sum_exp, 1e-14)) << "L";
        EXPECT_TRUE(support::near(attn::attention_weights(dirty.Q, dirty.K, part...),
                                  attn::attention_weights(clean.Q, clean.K, part...), 1e-14))
            << "P";
        expect_same_gradients(
            attn::attention_backward(dirty.Q, dirty.K, dirty.V, forward, dirty.dO, part...),
            attn::attention_backward(clean.Q, clean.K, clean.V, expected, clean.dO, part...),
            flatten);
      },
      parts);
}

template <class... Parts>
void expect_hidden_keys_reach_nothing(const Parts&... parts) {
  expect_hidden_keys_reach_nothing(small, std::make_tuple(parts...), support::no_parameters);
  expect_hidden_keys_reach_nothing(several_tiles, std::make_tuple(parts...),
                                   support::no_parameters);
}

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
  expect_same_gradients(support::forward_and_backward(dirty, parts),
                        support::forward_and_backward(clean, parts), flatten);
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
